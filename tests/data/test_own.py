"""Partitions and missing patterns of one's own, and what is said of those that do not fit."""

import sys
from types import ModuleType

import numpy as np
import pytest

from raysim.data.dataset import DataError, Split
from raysim.data.missing import counted, evaluation_mask, training_mask
from raysim.data.own import own_mask, own_parts
from raysim.data.partition import partition
from raysim.scenario.clients import OwnMissing, OwnPartition
from raysim.scenario.functions import bound

NAMES = ("image", "text")
SPLIT = Split({"v": np.zeros((6, 1), np.float32)}, np.array([0, 0, 1, 1, 2, 2]), clients=np.array([1, 1, 0, 0, 0, 2]))


@pytest.fixture
def own(monkeypatch):
    """Names functions `own_functions:f` and so on."""
    module = ModuleType("own_functions")
    monkeypatch.setitem(sys.modules, "own_functions", module)

    def put(**functions):
        for name, function in functions.items():
            setattr(module, name, function)

    return put


def parts(**options):
    return partition(SPLIT, OwnPartition(name="own_functions:f", **options), 3)


def pattern(**options):
    return OwnMissing(name="own_functions:f", **options)


def test_a_function_divides_by_what_it_asks_for(own):
    def f(natural, clients: int, samples):
        return [np.flatnonzero(natural % clients == k) for k in range(clients)] + [[] for _ in range(samples - 6)]

    own(f=f)
    assert [p.tolist() for p in parts(clients=2)] == [[2, 3, 4, 5], [0, 1]]


def test_a_class_takes_its_options_first_and_rows_come_sorted(own):
    class Shuffled:
        def __init__(self, keep: int = 6):
            self.keep = keep

        def __call__(self, samples, rng):
            return np.array_split(rng.permutation(samples)[: self.keep], 2)

    own(f=Shuffled)
    first = parts(keep=4)
    assert [len(p) for p in first] == [2, 2]
    assert all((np.diff(p) > 0).all() and p.dtype == np.int64 for p in first)
    assert all(map(np.array_equal, first, parts(keep=4)))
    spec = OwnPartition(name="own_functions:f", keep=4)
    drawn = {tuple(map(tuple, partition(SPLIT, spec, seed))) for seed in range(4)}
    assert len(drawn) > 1


def test_a_client_may_have_nothing(own):
    own(f=lambda samples: [[], range(2), np.array([5, 3])])
    assert [p.tolist() for p in parts()] == [[], [0, 1], [3, 5]]


def fails(labels):
    raise KeyError("speaker")


def writes(labels):
    labels[0] = 1


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda: 3, "'own_functions:f' returns a int; return a list of row numbers, one array a client"),
        (lambda: [[0], [7]], "'own_functions:f': client 1 gets row 7, but the 6 samples are numbered from 0"),
        (lambda: [[-1]], "'own_functions:f': client 0 gets row -1, but the 6 samples are numbered from 0"),
        (lambda: [[1], [2, 1]], "'own_functions:f': client 1 gets row 1, which client 0 has; give each sample to one "
                                "client"),
        (lambda: [[1, 1]], "'own_functions:f': client 0 gets row 1 twice; give each sample once"),
        (lambda: [[0.5]], "'own_functions:f': client 0 gets float64 of the shape (1,); return integers (R,)"),
        (lambda: [[[1], [2]]], "'own_functions:f': client 0 gets int64 of the shape (2, 1); return integers (R,)"),
        (lambda: [[], []], "'own_functions:f' gives no client a sample; return some row numbers"),
        (fails, f"'own_functions:f' fails: {__file__}:{fails.__code__.co_firstlineno + 1}: KeyError: 'speaker'"),
        (writes, f"'own_functions:f' fails: {__file__}:{writes.__code__.co_firstlineno + 1}: ValueError: assignment "
                 "destination is read-only"),
    ],
)  # fmt: skip
def test_what_is_no_partition_is_one_line(own, f, message):
    own(f=f)
    with pytest.raises(DataError) as caught:
        own_parts(SPLIT, OwnPartition(name="own_functions:f"), 0)
    assert str(caught.value) == message
    assert caught.value.section == "partition"


def test_a_pattern_only_takes_away_and_samples_with_nothing_are_left_out(own):
    def f(present, labels, names, share: float):
        mask = np.ones_like(present)
        mask[labels == 2, :] = False
        mask[: int(share * len(mask)), names.index("text")] = False
        return mask

    own(f=f)
    present = np.array([[True, True], [False, True], [True, False], [True, True], [True, True], [True, True]])
    rows = [np.arange(3), np.arange(3, 6)]
    mask, left = training_mask(present, rows, pattern(share=0.5), NAMES, 0, labels=SPLIT.labels)
    assert mask.tolist() == [[True, False], [False, False], [True, False], [True, True], [False, False], [False, False]]
    assert [p.tolist() for p in left] == [[0, 2], [3]]


def test_at_evaluation_each_sample_is_a_client_of_its_own(own):
    seen = []

    def f(present, parts, split, rng):
        mask = present.copy()
        seen.append((split, [p.tolist() for p in parts]))
        for rows in parts:
            mask[rows] &= rng.random(2) < 0.5
        return mask

    own(f=f)
    present = np.ones((400, 2), dtype=bool)

    def masked(split, empty=None, setting="same"):
        return evaluation_mask(present, setting, pattern(), NAMES, 0, split, empty, np.zeros(400, np.int64))

    kept, dropped = masked("test"), masked("test", "drop")
    assert seen == [("test", [[i] for i in range(400)])] * 2
    nothing = ~dropped.any(axis=1)
    assert 70 < nothing.sum() < 130
    assert (kept[nothing].sum(axis=1) == 1).all()
    assert 0.3 < kept[nothing].mean(axis=0)[0] < 0.7
    assert np.array_equal(kept[~nothing], dropped[~nothing])
    assert not np.array_equal(kept, masked("validation"))
    assert counted(dropped, "same", pattern(), "test", "drop").tolist() == (~nothing).tolist()
    assert counted(kept, "same", pattern(), "test") is None
    assert masked("test", setting="none").all()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda present: present[:1], "'own_functions:f' returns bool of the shape (1, 2) for the test samples; "
                                      "return a bool mask of the shape (6, 2), True where a modality is left"),
        (lambda present: present * 1.0, "'own_functions:f' returns float64 of the shape (6, 2) for the test samples; "
                                        "return a bool mask of the shape (6, 2), True where a modality is left"),
        (lambda names: names.index("video"), None),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_one_line(own, f, message):
    own(f=f)
    with pytest.raises(DataError) as caught:
        own_mask(np.ones((6, 2), bool), [np.arange(6)], SPLIT.labels, pattern(), NAMES, "test", 0)
    assert str(caught.value) == message if message else "ValueError: tuple.index(x)" in str(caught.value)
    assert caught.value.section == "missing"


def test_a_class_that_is_called_otherwise_is_refused(own):
    class Other:
        def __init__(self, rate: float):
            if rate > 1:
                raise ValueError("rate is above 1")

        def __call__(self, present, rate):
            return present

    own(f=Other)
    with pytest.raises(ValueError, match=r"is called with present, .*, and asks for 'rate'; options belong to its"):
        bound("missing", pattern(rate=0.5))
    with pytest.raises(ValueError, match=r"'own_functions:f' cannot be built: .*ValueError: rate is above 1"):
        bound("missing", pattern(rate=2.0))
