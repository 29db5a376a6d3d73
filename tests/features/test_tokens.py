import json
import pickle
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from raysim import registry
from raysim.data.codec import Codec
from raysim.data.dataset import DataError
from raysim.features.tokens import Tokens

CAPTIONS = Path(__file__).parents[2] / "../shared/data/cub_captions/text_testclasses.txt"
TEXTS = ["A grey bird.", "a GREY bird, a big bird", "Grey; grey, big, big!"]


def fitted(texts=(), **options):
    extractor = Tokens(registry.options(Tokens, options))
    extractor.fit(iter(texts))
    return extractor


def pieces(folder):
    """A folder with a small tokenizer of wordpieces, which pads and does not cut."""
    vocabulary = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "gr", "##ey", "bird", "##s", ","])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_words_of_the_training_texts_by_falling_count():
    extractor = fitted(TEXTS, min_count=2)
    codec = Codec(extractor.codec)
    words = ["<pad>", "<unk>", "<bos>", "<eos>", "grey", ",", "a", "big", "bird"]
    assert [codec.tokenizer.id_to_token(i) for i in range(codec.vocabulary)] == words
    (ids,) = extractor.extract(["A big, red BÍRD!"])
    assert (ids.tolist(), ids.dtype) == ([2, 6, 7, 5, 1, 8, 1, 3], np.int64)
    assert codec.decode(ids) == "a big , bird"


def test_the_order_of_the_texts_and_how_they_are_cut_into_calls_do_not_matter():
    one, other = fitted(TEXTS, min_count=1), fitted(TEXTS[::-1], min_count=1)
    assert one.codec == other.codec
    found = [*one.extract(TEXTS[:1]), *one.extract(TEXTS[1:])]
    assert [a.tolist() for a in found] == [a.tolist() for a in other.extract(TEXTS)]


def test_what_is_longer_is_cut_and_still_has_both_marks():
    extractor = fitted(TEXTS, min_count=1, max_tokens=4)
    ids = extractor.extract(["grey grey grey grey", "grey", ""])
    assert [i.tolist() for i in ids] == [[2, 4, 4, 3], [2, 4, 3], [2, 3]]
    assert Codec(extractor.codec).encode(["grey grey grey grey"])[0].tolist() == [2, 4, 4, 3]


def test_an_extractor_that_was_sent_to_another_process_knows_its_words():
    extractor = pickle.loads(pickle.dumps(fitted(TEXTS, min_count=2)))
    assert extractor.extract(["big"])[0].tolist() == [2, 7, 3]


def test_wordpieces_of_a_folder(tmp_path):
    extractor = fitted(tokenizer=str(pieces(tmp_path)), max_tokens=5)
    ids = extractor.extract(["Grey birds", "bird"])
    assert [i.tolist() for i in ids] == [[2, 4, 5, 6, 3], [2, 6, 3]]


def test_ids_can_be_written_as_text_and_read_by_another_codec(tmp_path):
    words, wordpieces = Codec(fitted(TEXTS, min_count=2).codec), Codec(fitted(tokenizer=str(pieces(tmp_path))).codec)
    (ids,) = words.encode(["a GREY bird, big"])
    text = words.decode(ids)
    assert (ids.tolist(), text) == ([2, 6, 4, 8, 5, 7, 3], "a grey bird , big")
    assert words.encode([text])[0].tolist() == ids.tolist()
    assert wordpieces.encode([text])[0].tolist() == [2, 1, 4, 5, 6, 8, 1, 3]


def test_the_real_captions():
    if not CAPTIONS.is_file():
        pytest.skip("needs ../shared/data/cub_captions beside the repository: captions of the 50 test classes")
    texts = CAPTIONS.read_text(encoding="utf-8").splitlines()
    extractor = fitted(texts, max_tokens=32)
    codec = Codec(extractor.codec)
    counts = Counter(word for text in texts for word in re.findall(r"[a-z0-9]+|[^a-z0-9\s]", text.lower()))
    assert sum(n >= 3 for n in counts.values()) == 1166
    assert (len(texts), codec.vocabulary) == (29330, 1170)
    ids = extractor.extract(texts)
    lengths = [len(i) for i in ids]
    assert (min(lengths), max(lengths), lengths.count(32)) == (5, 32, 1008)
    assert {(i[0], i[-1]) for i in ids} == {(2, 3)}
    assert codec.decode(ids[0]) == (
        "the medium sized bird has a dark grey color , a black downward curved beak , and long wings ."
    )


@pytest.mark.parametrize("texts", [["a b c", "a"], [""], []])
def test_too_rare_words_are_an_error(texts):
    with pytest.raises(DataError, match=r"^no word appears 3 times in the training texts; lower min_count$"):
        fitted(texts)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "No such file or directory (os error 2)"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        (json.dumps({"model": 3}), "data did not match any variant of untagged enum ModelUntagged"),
    ],
)
def test_a_folder_without_a_tokenizer_is_an_error(tmp_path, content, what):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError) as caught:
        fitted(tokenizer=str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"tokenizer: {tmp_path} cannot be loaded ({what}")
    assert message.endswith(
        "; give a folder with tokenizer.json, --features text='{name: tokens, tokenizer: /path}', or null for the "
        "words of the training texts"
    )
    assert "\n" not in message


def test_a_name_that_the_hub_does_not_give_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"^tokenizer: nobody/nothing cannot be loaded \([^\n]+\); give a folder "):
        fitted(tokenizer="nobody/nothing")


@pytest.mark.parametrize("options", [{"max_tokens": 2}, {"min_count": 0}, {"tokenizer": 3}, {"lower": True}])
def test_options_that_make_no_sense(options):
    with pytest.raises(ValidationError):
        registry.options(Tokens, options)


PUBLISHED = {"vocabulary": "published", "min_count": 1, "max_tokens": 32}


def test_the_published_words_end_in_a_mark_and_know_their_padding():
    extractor = fitted(["the bird's wing.", "a grey-white wing!"], **PUBLISHED)
    codec = Codec(extractor.codec)
    assert [codec.tokenizer.id_to_token(i) for i in range(3)] == ["<exc>", "<pad>", "<eos>"]
    assert (codec.pad, codec.end) == (1, 2)
    one, other = extractor.extract(["The BIRD doesn't wing.", "a"])
    assert [codec.tokenizer.id_to_token(i) for i in one] == ["the", "bird", "<exc>", "<exc>", "wing", ".", "<eos>"]
    assert other.tolist() == [codec.tokenizer.token_to_id("a"), 2]
    assert codec.caption([*other.tolist(), 4, 4]) == "a"
    (cut,) = extractor.extract(["a " * 40])
    assert (len(cut), cut[-1]) == (32, 2)


def test_a_tokenizer_has_no_vocabulary_beside_it():
    with pytest.raises(ValidationError, match="remove vocabulary"):
        registry.options(Tokens, {"tokenizer": "bert-base-uncased", "vocabulary": "published"})


def test_the_published_words_of_the_real_captions():
    if not CAPTIONS.is_file():
        pytest.skip("needs ../shared/data/cub_captions beside the repository: captions of the 50 test classes")
    captions = CAPTIONS.read_text(encoding="utf-8").splitlines()
    extractor = fitted(captions, vocabulary="published", min_count=4, max_tokens=32)
    ids = extractor.extract(captions)
    assert (len(captions), Codec(extractor.codec).vocabulary) == (29_330, 995)
    assert max(map(len, ids)) == 32
    tokenizer = Codec(extractor.codec).tokenizer
    colours = ("white", "yellow", "red", "blue", "green", "gray", "grey", "brown", "black")
    assert None not in [tokenizer.token_to_id(colour) for colour in colours]
