import pickle

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from raysim.data.codec import Codec


@pytest.fixture
def tokenizer():
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "grey": 2, "bird": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<pad>", "<unk>"])
    return tokenizer


def encoded(tokenizer, *texts):
    return [ids.tolist() for ids in Codec(tokenizer.to_str()).encode(texts)]


def test_text_to_ids_and_back(tokenizer):
    codec = Codec(tokenizer.to_str())
    ids = codec.encode(["grey bird", "bird blue bird"])
    assert [(i.tolist(), i.dtype.name) for i in ids] == [([2, 3], "int64"), ([3, 1, 3], "int64")]
    assert [codec.decode(i) for i in ids] == ["grey bird", "bird bird"]
    assert codec.vocabulary == 4
    assert codec.encode([]) == []


def test_a_text_is_cut_but_never_padded(tokenizer):
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding()
    assert encoded(tokenizer, "bird bird bird", "grey") == [[3, 3], [2]]


def test_no_text_is_one_token(tokenizer):
    assert encoded(tokenizer, "", "grey") == [[0], [2]]


def test_ids_that_mean_nothing_are_left_out(tokenizer):
    assert Codec(tokenizer.to_str()).decode([2, 0, 99, 3]) == "grey bird"


def test_a_codec_travels_as_its_text_alone(tokenizer):
    codec = Codec(tokenizer.to_str())
    before = pickle.dumps(codec)
    codec.encode(["grey"])
    assert pickle.dumps(codec) == before
    assert pickle.loads(before) == codec
    assert pickle.loads(before).encode(["bird"])[0].tolist() == [3]
