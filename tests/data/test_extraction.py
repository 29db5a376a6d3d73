from pathlib import Path

import numpy as np
import pytest

from raysim.data.dataset import DataError
from raysim.data.extraction import Extraction, Part, Work, alike, here
from raysim.data.extractor import Extractor
from raysim.data.media import Unreadable
from raysim.data.recipe import Medium


class Shaped(Extractor):
    """Text -> an array of its digits, in the shape and type of the options; remembers what it was asked."""

    chunk = 2

    def __init__(self, dtype=np.float32, rows=None):
        super().__init__(Extractor.Options())
        self.dtype, self.rows, self.asked, self.opened = dtype, rows, [], 0

    def open(self):
        self.opened += 1

    def extract(self, media):
        self.asked.append(list(media))
        return [self.shaped(np.array([int(c) for c in text], self.dtype)) for text in media]

    def shaped(self, digits):
        return digits if self.rows is None else digits.reshape(*self.rows, -1)


def read(item):
    if item.startswith("?"):
        raise Unreadable(f"no good: {item}")
    return item


@pytest.mark.parametrize(
    ("extractor", "single", "lengths", "values"),
    [
        (Shaped(), True, [1, 1], [[1, 2], [3, 4]]),
        (Shaped(rows=(1, 1)), True, [1, 1], [[[[1, 2]]], [[[3, 4]]]]),
        (Shaped(rows=(2,)), False, [2, 2], [[1], [2], [3], [4]]),
        (Shaped(np.int64), False, [2, 2], [1, 2, 3, 4]),
        (Shaped(np.uint8), False, [2, 2], [1, 2, 3, 4]),
    ],
    ids=["vector", "image", "sequence", "tokens", "bytes"],
)
def test_what_comes_out_makes_the_part(extractor, single, lengths, values):
    part = Work(extractor, read)(["12", "34"])
    assert (part.values.tolist(), part.lengths.tolist(), part.single) == (values, lengths, single)
    assert (part.values.dtype, part.reasons) == (extractor.dtype, {})


def test_sequences_may_differ_in_length():
    part = Work(Shaped(np.int64), read)(["1", "234", "56"])
    assert (part.values.tolist(), part.lengths.tolist()) == ([1, 2, 3, 4, 5, 6], [1, 3, 2])


def test_items_that_cannot_be_read_are_left_out():
    extractor = Shaped(np.int64)
    part = Work(extractor, read)(["?a", "12", "?b", "3"])
    assert (part.values.tolist(), part.lengths.tolist()) == ([1, 2, 3], [0, 2, 0, 1])
    assert part.reasons == {0: "no good: ?a", 2: "no good: ?b"}
    assert extractor.asked == [["12", "3"]]


def test_nothing_is_extracted_where_nothing_can_be_read():
    extractor = Shaped()
    part = Work(extractor, read)(["?a"])
    assert (len(part.values), part.lengths.tolist(), part.reasons) == (0, [0], {0: "no good: ?a"})
    assert extractor.asked == []


@pytest.mark.parametrize(("extractor", "shapes"), [(Shaped(), "(2,) and (3,)"), (Shaped(rows=(1,)), "(2,) and (3,)")])
def test_features_of_unlike_shapes_are_one_line(extractor, shapes):
    with pytest.raises(DataError) as caught:
        Work(extractor, read)(["12", "345"])
    assert str(caught.value) == f"features differ in shape, {shapes}; give the extractor a size"


def test_any_shape_is_like_itself():
    alike([])
    alike([(2, 3), (2, 3)])


def test_here_opens_the_extractor_once():
    extractor = Shaped()
    parts = list(here(Work(extractor, read), [["12", "34"], ["56"]]))
    assert [(number, part.values.tolist()) for number, part in parts] == [(0, [[1, 2], [3, 4]]), (1, [[5, 6]])]
    assert extractor.opened == 1


def modality(folder, items, extractor=None):
    return Extraction("m", Medium("text", items, read), extractor or Shaped(), folder)


def test_equal_items_are_one_and_none_is_none(tmp_path):
    found = modality(tmp_path, ["12", None, "34", "12", "56", None])
    assert (found.items, found.which.tolist()) == (["12", "34", "56"], [0, -1, 1, 0, 2, -1])
    assert [(s, found.chunk(s)) for s in found.starts] == [(0, ["12", "34"]), (2, ["56"])]


def test_equal_paths_are_one_and_arrays_are_not(tmp_path):
    assert len(modality(tmp_path, [Path("a"), Path("a"), Path("b")]).items) == 2
    assert len(modality(tmp_path, [np.ones(2), np.ones(2)]).items) == 2


def test_nothing_but_none(tmp_path):
    found = modality(tmp_path, [None, None])
    assert (found.items, found.which.tolist(), found.pending(), found.failures()) == ([], [-1, -1], [], {})


def test_parts_are_kept(tmp_path):
    found = modality(tmp_path, ["12", "?a", "34", "56", "78"])
    assert found.pending() == [0, 2, 4]
    assert list(found.extract(here, found.pending())) == [2, 2, 1]
    again = modality(tmp_path, found.items)
    assert again.pending() == [0]  # what could not be read may be there by now
    assert [(start, again.part(start).values.tolist()) for start in again.starts] == [
        (0, [[1, 2]]), (2, [[3, 4], [5, 6]]), (4, [[7, 8]]),
    ]  # fmt: skip
    assert again.failures() == {1: "no good: ?a"}


def test_parts_may_come_in_any_order(tmp_path):
    def backwards(work, chunks):
        return reversed(list(here(work, chunks)))

    found = modality(tmp_path, ["12", "34", "56"])
    assert list(found.extract(backwards, [0, 2])) == [1, 2]
    assert [found.part(start).values.tolist() for start in found.starts] == [[[1, 2], [3, 4]], [[5, 6]]]


def test_a_part_keeps_types_and_whether_it_is_single(tmp_path):
    found = modality(tmp_path, ["123", "?a"], Shaped(np.uint8))
    list(found.extract(here, [0]))
    part = found.part(0)
    assert isinstance(part, Part)
    assert (part.values.dtype, part.lengths.tolist(), part.single, part.reasons) == (
        np.uint8, [3, 0], False, {1: "no good: ?a"},
    )  # fmt: skip


def flipped(data):
    """With another last number in the first of its arrays, the values."""
    at = data.index(b"PK", 2) - 1
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [lambda d: b"", lambda d: d[: len(d) // 2], lambda d: d[:-1], lambda d: b"no archive", flipped],
    ids=["empty", "half", "a byte short", "text", "a bit"],
)
def test_a_part_that_is_not_whole_is_pending(tmp_path, spoil):
    found = modality(tmp_path, ["12", "34", "56"])
    list(found.extract(here, [0, 2]))
    path = found.path(2)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    assert found.pending() == [2]
    list(found.extract(here, [2]))
    assert path.read_bytes() == whole


def test_a_part_of_other_items_is_pending(tmp_path):
    list(modality(tmp_path, ["12", "34"]).extract(here, [0]))
    assert modality(tmp_path, ["12"]).pending() == [0]
