import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from raysim.data import mapped, pieces, unpacked
from raysim.data.arrays import Reading, read
from raysim.data.cache import CACHE
from raysim.data.dataset import DataError, in_memory
from raysim.data.digest import data_digest
from raysim.data.mapped import File, Gone, Mapped
from raysim.data.ragged import Ragged
from raysim.data.scaling import moments, standardized
from raysim.data.scores import Scaling
from raysim.training import loading
from raysim.training.shelf import Shelf

N, T, D = 61, 5, 3
LENGTHS = np.arange(N) % T + 1
ENDS = np.cumsum(LENGTHS)


def arrays(**changes):
    """Vectors, sequences and tokens with and without padding, pictures; natural clients; some samples lack some."""
    rng = np.random.default_rng(0)
    sequences = rng.standard_normal((N, T, D)) * (1, 10, 0.1) + (5, 0, -3)
    vectors = rng.standard_normal((N, 2))
    vectors[3] = np.nan
    found = {
        "x.vector": vectors, "present.vector": np.arange(N) != 3,
        "x.sequence": sequences.astype(np.float32), "length.sequence": LENGTHS,
        "x.steps": rng.standard_normal((ENDS[-1] + 2, D)).astype(np.float16),
        "span.steps": np.stack([ENDS - LENGTHS, ENDS], axis=1),
        "x.tokens": rng.integers(9, size=(N, T)).astype(np.int32), "length.tokens": LENGTHS[::-1],
        "x.image": rng.integers(256, size=(N, 1, 2, 2)).astype(np.uint8),
        "y": np.arange(N) % 3, "split": np.arange(N) // 5 % 3, "client": np.arange(N) // 16,
    }  # fmt: skip
    return {**found, **changes}


def save(folder, found):
    folder.mkdir()
    for key, array in found.items():
        np.save(folder / f"{key}.npy", array)
    return folder


def one(path, array):
    np.save(path, array)
    file = File.of(path)
    assert file is not None
    return Mapped(file, array.dtype)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 100)


def plain(scaling):
    return {m: s if isinstance(s, str) else {k: v.tolist() for k, v in vars(s).items()} for m, s in scaling.items()}


AS_STORED = {
    "x.vector": lambda x: np.asfortranarray(x.astype(">f8")), "x.steps": lambda x: x.astype(">f4"),
    "length.sequence": lambda x: x.astype(">u2"), "y": lambda x: x.astype(np.int8), "split": lambda x: x.astype(">i2"),
}  # fmt: skip
"""Some other ways in which the same arrays lie on a disk."""


@pytest.mark.parametrize("standardize", [False, True, dict.fromkeys(("vector", "sequence", "steps"), "client"),
                                         {"sequence": "fedmultimodal", "steps": "train"}])  # fmt: skip
def test_a_folder_is_the_same_as_a_file_to_the_bit(tmp_path, standardize, small_pieces):
    np.savez(tmp_path / "a.npz", **arrays())
    options = Reading(standardize=standardize)
    whole, lazy = read(tmp_path / "a.npz", options), read(save(tmp_path / "a", arrays()), options)
    otherwise = read(save(tmp_path / "b", {k: AS_STORED.get(k, np.asarray)(x) for k, x in arrays().items()}), options)
    assert data_digest(whole) == data_digest(lazy) == data_digest(otherwise)
    assert list(whole.modalities.items()) == list(lazy.modalities.items()) == list(otherwise.modalities.items())
    assert list(whole.modalities) == sorted(whole.modalities)
    assert plain(whole.scaling) == plain(lazy.scaling)
    for split in ("train", "validation", "test"):
        rows = [np.arange(len(whole.split(split)))[::-2], np.array([0])]
        mask = whole.split(split).presence(whole.names)
        first, second = (loading.load(d, d.split(split), rows, mask, torch.device("cpu")) for d in (whole, lazy))
        assert all(torch.equal(first.x[m][...], second.x[m][...]) for m in whole.names)
        assert torch.equal(first.y, second.y)


def test_nothing_of_the_samples_is_in_memory_or_sent(tmp_path):
    many = {"x.a": np.zeros((3000, 100)), "y": np.zeros(3000, int), "split": np.arange(3000) % 3}
    data = read(save(tmp_path / "a", many), Reading())
    assert all(isinstance(data.split(s).inputs["a"], Mapped) for s in ("train", "validation", "test"))
    assert len(pickle.dumps(data)) < 100_000
    assert isinstance(in_memory(data).test.inputs["a"], np.ndarray)


def test_the_values_of_samples_without_padding_stay_one_array_in_memory(tmp_path):
    data = in_memory(read(save(tmp_path / "a", arrays()), Reading()))
    assert data.train.inputs["steps"].values is data.test.inputs["steps"].values
    assert data_digest(data) == data_digest(read(tmp_path / "a", Reading()))


def test_what_is_taken_is_a_copy_in_the_form_of_networks(tmp_path):
    x = one(tmp_path / "a.npy", np.arange(12.0).reshape(4, 3)).astype(np.float32).pick(np.array([3, 1, 2]))
    assert (len(x), x.shape, x.ndim, x.dtype) == (3, (3, 3), 2, np.float32)
    assert x[0].tolist() == [9, 10, 11]
    assert x[np.array([True, False, True])].tolist() == [[9, 10, 11], [6, 7, 8]]
    assert x[1:][:, 0].tolist() == x[1:, 0].tolist() == [3, 6]
    assert x.pick(np.array([2])).take(slice(None)).tolist() == [[6, 7, 8]]
    taken = x[:]
    taken[:] = 0
    assert np.asarray(x)[0, 0] == 9


def test_a_shelf_takes_steps_of_a_file(tmp_path):
    x = one(tmp_path / "a.npy", np.arange(24, dtype=np.float32).reshape(3, 4, 2))
    shelf = Shelf(x, torch.tensor([[2, 0], [1, -1]]), 1)
    assert shelf[...].tolist() == [[[[16, 17]], [[0, 1]]], [[[8, 9]], [[0, 0]]]]


def test_steps_after_the_end_are_zeros_after_scaling_too(tmp_path):
    x = one(tmp_path / "a.npy", np.full((2, 3, 1), 4.0)).shortened(np.array([1, 3]))
    scaled = standardized(x, [(np.array([0, 1]), np.array([0]))], np.ones(2, bool), np.array([1, 3]))
    assert scaled[:].tolist() == [[[0], [0], [0]], [[4], [4], [4]]]
    assert x.take(np.array([1, 0]), 2).tolist() == [[[4], [4]], [[4], [0]]]


def test_pages_are_let_go_of_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LET_GO_BYTES", 1000)
    x = one(tmp_path / "a.npy", np.arange(4000).reshape(1000, 4))
    assert [int(x[np.array([i])].sum()) for i in (0, 999, 0)] == [6, 15990, 6]
    assert x[:].sum() == x[:].sum() == 3999 * 2000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_rows_here_and_there_are_read_and_not_mapped(tmp_path):
    values = np.random.default_rng(0).standard_normal((512, 64, 256)).astype(np.float32)
    x = one(tmp_path / "rows.npy", values)
    rows = np.arange(0, 512, 4)
    assert np.array_equal(x[rows], values[rows])
    assert np.array_equal(x.take(rows[::-1], 5), values[rows[::-1], :5])
    assert np.array_equal(x[np.array([-1])], values[-1:])
    with pytest.raises(IndexError):
        x[np.array([512])]
    mapped_kb = re.findall(r"rows\.npy\n(?:\w+:.*\n)*?Rss:\s+(\d+) kB", Path("/proc/self/smaps").read_text())
    assert [int(size) for size in mapped_kb] == [pytest.approx(0, abs=256)]  # of 32 MB


@pytest.mark.parametrize("array", [np.zeros((3, 0)), np.asfortranarray(np.ones((3, 2))), np.array("a"), np.array(1.0)])
def test_what_is_not_numbers_row_after_row_is_no_file_of_samples(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert File.of(tmp_path / "a.npy") is None


def test_a_file_that_has_gone_or_changed_is_one_line(tmp_path):
    x, y = one(tmp_path / "a.npy", np.ones((2, 2))), one(tmp_path / "b.npy", np.ones((2, 2)))
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    (tmp_path / "b.npy").unlink()
    with pytest.raises(Gone, match=r"a\.npy has changed since the study began; run it again with --resume"):
        _ = x[0]
    with pytest.raises(Gone, match=r"b\.npy cannot be read on this machine: No such file or directory; give a path"):
        _ = y[0]


@pytest.mark.parametrize("features", [1, 2, 7])
@pytest.mark.parametrize("count", [1, 5, 130, 3001, 20011])
def test_moments_are_those_of_all_at_once_to_the_bit(features, count):
    rng = np.random.default_rng(count)
    x = rng.standard_normal((count, features)) * 10.0 ** rng.integers(-3, 4, features) + rng.standard_normal(features)
    ends = np.cumsum(rng.integers(0, 700, 60))
    power, mean, deviation = moments(lambda: np.split(x, ends[ends < count]))
    unit = np.ldexp(x, -power)
    assert np.array_equal(power, np.frexp(np.abs(x).max(axis=0))[1])
    assert np.array_equal(mean, unit.mean(axis=0))
    assert np.array_equal(deviation, np.where(unit.std(axis=0) > 1e-14, unit.std(axis=0), 0))


def test_nothing_has_no_moments():
    assert moments(lambda: [np.zeros((0, 3))]) is None


def test_scores_of_groups_are_each_groups_own():
    both = Scaling.stacked([Scaling(np.array([1]), np.array([0.5]), np.array([0.25])),
                            Scaling(np.array([0]), np.array([3.0]), np.array([0.0]))])  # fmt: skip
    assert both.scored(np.array([[2.0], [7.0], [4.0]]), np.array([0, 1, -1])).tolist() == [[2], [0], [4]]


def test_a_power_beyond_float64_is_divided_by_all_the_same():
    tiny = Scaling(np.array([-1073]), np.array([0.0]), np.array([1.0]))
    assert tiny.scores(np.array([[5e-324]])).tolist() == [[0.5]]


def test_pieces_hold_whole_samples_in_order(small_pieces):
    found = pieces.cut(np.zeros((10, 5)), np.arange(10)[::-1])
    assert [p.tolist() for p in found] == [[9, 8], [7, 6], [5, 4, 3], [2, 1], [0]]
    ragged = Ragged(np.zeros((30, 1)), np.array([[0, 20], [20, 21], [21, 22]]))
    assert [p.tolist() for p in pieces.cut(ragged, np.arange(3))] == [[0, 1, 2]]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr("raysim.data.headers.LARGE_BYTES", 1000)
    return tmp_path / "cache/unpacked"


def test_a_large_archive_is_unpacked_once(tmp_path, cache):
    np.savez_compressed(tmp_path / "a.npz", **arrays())
    first = read(tmp_path / "a.npz", Reading())
    (folder,) = cache.glob("a-*")
    assert isinstance(first.train.inputs["sequence"], Mapped)
    changed = (folder / "x.sequence.npy").stat().st_mtime_ns
    assert data_digest(read(tmp_path / "a.npz", Reading())) == data_digest(first)
    assert (folder / "x.sequence.npy").stat().st_mtime_ns == changed


def test_another_archive_of_the_same_name_takes_the_place_of_the_first(tmp_path, cache):
    np.savez(tmp_path / "a.npz", **arrays())
    read(tmp_path / "a.npz", Reading())
    (before,) = cache.glob("a-*")
    np.savez(tmp_path / "a.npz", **arrays(y=np.zeros(N, int)))
    assert read(tmp_path / "a.npz", Reading()).train.labels.max() == 0
    (after,) = cache.glob("a-*")
    assert before != after


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, cache, monkeypatch):
    np.savez(tmp_path / "a.npz", **arrays())

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(unpacked.shutil, "copyfileobj", full)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.npz", Reading())
    assert str(caught.value) == (
        f"{tmp_path / 'a.npz'} is unpacked once, 0.0 GB, to {cache}: No space left on device; free some space, or set "
        "RAYSIM_CACHE to a folder that has it"
    )
    assert [p.name for p in Path(cache).iterdir() if not p.name.endswith(".lock")] == []


@pytest.mark.parametrize("name", ["a/b", "../../../out", "a\\b"])
def test_keys_that_are_no_names_of_files_leave_an_archive_as_it_is(tmp_path, cache, name):
    named = {f"x.{name}" if key == "x.sequence" else key: array for key, array in arrays().items()}
    named = {f"length.{name}" if key == "length.sequence" else key: array for key, array in named.items()}
    np.savez(tmp_path / "a.npz", **named)
    assert name in read(tmp_path / "a.npz", Reading()).names
    assert {p.name for p in tmp_path.rglob("*")} <= {"a.npz", "cache", "unpacked"}
