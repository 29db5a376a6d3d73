"""Captions that name colours, and texts that are written out."""

import numpy as np
import pytest
import torch

from raysim.data.codec import Codec
from raysim.data.dataset import Modality
from raysim.features.tokens import Tokens
from raysim.generation import captions
from raysim.generation.captions import coloured, obstacle, pair, shown, written
from raysim.generation.colours import RANGES

WORDS = "this bird is completely", *RANGES


def modality(texts=WORDS, longest=8, **options):
    """Of texts whose words are all known."""
    tokens = Tokens(Tokens.Options(min_count=1, **options))
    tokens.fit(texts)
    codec = Codec(tokens.codec)
    return Modality("tokens", (longest,), codec.vocabulary, codec)


@pytest.mark.parametrize(("vocabulary", "length"), [("published", 6), ("bert", 7)])
def test_a_caption_of_each_colour_is_ids_as_batches_have_them(vocabulary, length):
    text = modality(vocabulary=vocabulary)
    ids, lengths = coloured(text)
    assert (ids.shape, ids.dtype, lengths.tolist()) == ((8, 8), torch.int64, [length] * 8)
    assert (ids[:, length:] == 0).all()
    said = [text.codec.decode(row[:length].tolist()) for row in ids]
    assert said == [f"this bird is completely {colour}" for colour in RANGES]


def test_ids_are_written_out_up_to_their_end():
    text = modality(vocabulary="published")
    ids, _ = coloured(text)
    ids[0, 6:] = 4  # after the end
    found = written(text, ids[:2])
    assert found.tolist() == ["this bird is completely white", "this bird is completely yellow"]
    assert found.dtype.kind == "U"


def test_what_can_be_shown():
    known = modality()
    modalities = {"a": Modality("image", (3, 8, 8)), "b": Modality("vector", (2,)), "c": known}
    assert shown(modalities) == ("a", "c")
    assert shown({"c": Modality("tokens", (8,), 5)}) == ()


def test_a_text_and_an_image():
    assert pair({"a": "image", "b": "tokens", "c": "vector"}) == ("b", "a")
    assert pair({"a": "image", "b": "tokens", "c": "image"}) is None
    assert pair({"a": "image"}) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (modality(vocabulary="published"), None),
        (modality([word.replace("gray", "grey") for word in WORDS], vocabulary="published"),
         "is made of captions, and 't' has no word 'gray'; prepare it with a lower min_count"),
        (modality(longest=6), "is made of captions of 7 words, and 't' has 6 at most; write 0"),
        (Modality("tokens", (8,), 9),
         "is made of captions, and nothing says what the ids of 't' mean; prepare it as tokens, or write 0"),
    ],
)  # fmt: skip
def test_what_no_caption_can_be_made_of(text, problem):
    assert obstacle("t", text) == problem


def test_without_the_extra_nothing_is_read(monkeypatch):
    text = modality()
    monkeypatch.setattr(captions.importlib.util, "find_spec", lambda name: None)
    assert obstacle("t", text) == captions.MISSING
    assert "\n" not in captions.MISSING


def test_an_array_of_ids_is_any_integers():
    text = modality(vocabulary="published")
    ids, _ = coloured(text)
    assert written(text, torch.from_numpy(ids.numpy().astype(np.int32))).tolist() == written(text, ids).tolist()
