"""What is most likely not meant is said, and what is meant is not."""

from dataclasses import replace

import numpy as np
import pytest

from raysim.data import pieces
from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.remarks import remarks


def data(kind, x, present=None):
    split = Split({"m": x}, np.arange(len(x)) % 2, present={} if present is None else {"m": present})
    return Dataset({"m": Modality(kind, x.shape[1:])}, ("a", "b"), False, split, split, split)


PIXELS = np.linspace(0, 255, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
LINE = "image 'm' has values up to 255 as floats; networks take them as they are: write x.astype('uint8') for pixels"
SAME = "'m' is the same in all samples that were looked at: it tells nothing"
SCALE = "where networks want numbers near 1: set dataset.standardize: true"


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (data("image", PIXELS.astype(np.float32)), True),
        (data("image", PIXELS.astype(np.uint8)), False),
        (data("image", (PIXELS / 255).astype(np.float32)), False),
        (data("image", ((PIXELS - 127) / 74).astype(np.float32)), False),
        (data("image", PIXELS.astype(np.float32), np.zeros(2, bool)), False),
        (data("vector", PIXELS.reshape(2, -1).astype(np.float32)), False),
    ],
)
def test_pixels_as_floats_are_remarked_on(dataset, said):
    assert [text.startswith(LINE) for text in remarks(dataset)] == [True] * said


NOISE = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
STEPS = np.repeat(NOISE[:, None], 3, axis=1)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (data("vector", NOISE), []),
        (data("vector", NOISE * 1e6 + 1), ["'m' varies by "]),
        (data("vector", NOISE * [1, 1, 1, 5e3]), ["'m' varies by "]),
        (data("vector", NOISE * [0, 0, 0, 1]), []),
        (data("vector", NOISE * 1e-9), ["'m' varies by "]),
        (data("vector", NOISE * 0 + 7), [SAME]),
        (data("image", np.full((9, 1, 4, 4), 7, np.uint8)), [SAME]),
        (data("vector", NOISE, np.arange(300) > 298), []),  # one alone tells nothing
        (data("vector", np.where(np.arange(300)[:, None] == 2, NOISE, 3.0), np.arange(300) != 2), [SAME]),
        (data("vector", np.full((9, 4), 1e5)), [SAME]),
    ],
)
def test_modalities_that_tell_nothing_or_are_not_scaled(dataset, said):
    found = list(remarks(dataset))
    assert [text[: len(start)] for text, start in zip(found, said, strict=True)] == said
    assert all(text in (SAME, *(t for t in found if t.endswith(SCALE))) for text in found)


def test_only_what_is_valid_of_a_sequence_counts():
    def of(x, lengths):
        found = data("sequence", x)
        return replace(found, train=replace(found.train, lengths={"m": np.full(len(x), lengths)}))

    late = np.concatenate([STEPS * 0, STEPS[:, :1] * 1e6], axis=1)
    assert list(remarks(of(late, 3))) == [SAME]
    (said,) = remarks(of(late, 4))
    assert said.endswith(SCALE)


def labelled(train, test, multi_label=False):
    splits = (Split({"m": NOISE[: len(y)]}, np.array(y)) for y in (train, test, test))
    return Dataset({"m": Modality("vector", (4,))}, tuple("abcde"), multi_label, *splits)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (labelled([0, 1, 2], [0, 1]), []),
        (labelled([2, 2, 2], [2, 2]), ["all training samples are of class 'c': there is nothing to tell apart"]),
        (
            labelled([0, 1, 2], [0, 3, 3]),
            ["there is no training sample of class 'd', but 4 to be judged by: what nobody has seen counts as wrong"],
        ),
        (
            labelled([0, 0], [1, 2, 3, 4]),
            [
                "all training samples are of class 'a': there is nothing to tell apart",
                "there is no training sample of class 'b', 'c', 'd' and 1 more, but 8 to be judged by: what nobody has "
                "seen counts as wrong",
            ],
        ),
        (labelled([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], [[0, 1, 0, 0, 0]], multi_label=True), []),
        (
            labelled([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], [[1, 0, 0, 0, 1]], multi_label=True),
            [
                "every training sample has the label 'a': there is nothing to learn of it",
                "there is no training sample with the label 'e', but 2 to be judged by: what nobody has seen counts as "
                "wrong",
            ],
        ),
    ],
)
def test_what_cannot_be_learnt(dataset, said):
    assert list(remarks(dataset)) == said


def test_targets_that_are_all_the_same():
    y = np.column_stack([NOISE[:9, 0], np.full(9, 2.5)])
    split = Split({"m": NOISE[:9]}, y)
    found = Dataset({"m": Modality("vector", (4,))}, (), False, split, split, split, targets=("age", "height"))
    assert list(remarks(found)) == ["all training samples have the same 'height': there is nothing to learn"]


def test_a_sample_that_is_looked_at_alone_does_not_vary(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1)
    assert list(remarks(data("vector", NOISE))) == []
