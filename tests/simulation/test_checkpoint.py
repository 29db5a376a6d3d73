"""Checkpoints on the disk: what is written, what is read back, and every way in which a file can be wrong."""

import errno
import json
import re

import numpy as np
import pytest

from raysim.disk import write
from raysim.simulation.checkpoint import Checkpoints, NoCheckpoint
from raysim.simulation.snapshot import Snapshot

SCENARIO, VERSIONS = {"name": "toy"}, {"torch": "2"}


def snapshot(round_, clients=()):
    return Snapshot(
        round=round_,
        x={"w": np.float32([round_, 0, 2.5])[::2], "a/b": np.float32([])},
        frozen={"w": np.float32([-1, 0])},
        server={"w": {"control": np.float64([0.1, round_]), "odd/name": np.int64(7)}},
        clients={c: {"optimizer/task/0/m": np.float32([c, round_]), "step": np.int64(round_)} for c in clients},
        figures={"best": {"round": 1, "splits": {"test": {"loss": float("inf"), "auc": None}}}, "seconds": 0.1 + 0.2},
    )


@pytest.fixture
def store(tmp_path):
    """Makes the checkpoints of a trial as a new process would find them."""

    def store(trial="toy", keep=2, **more):
        return Checkpoints(tmp_path / "checkpoints", tmp_path / "metrics.jsonl", trial, keep, **more)

    return store


@pytest.fixture
def save(tmp_path):
    """Lets a round end and writes its checkpoint."""

    def save(store, round_, clients=()):
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"round": round_, "clients": [1, 2]}) + "\n")
        return store.write(snapshot(round_, clients), SCENARIO, VERSIONS)

    return save


@pytest.fixture
def names(tmp_path):
    return lambda: sorted(p.name for p in (tmp_path / "checkpoints").iterdir())


def assert_equal(found, expected):
    assert found.round == expected.round
    assert found.figures == expected.figures
    for table in ("x", "frozen"):
        assert_same(getattr(found, table), getattr(expected, table))
    for table in ("server", "clients"):
        assert list(getattr(found, table)) == list(getattr(expected, table))
        for key, inner in getattr(expected, table).items():
            assert_same(getattr(found, table)[key], inner)


def assert_same(found, expected):
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in found.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in expected.items()
    }


def test_what_is_written_is_read_back_to_the_bit(store, save):
    first = store()
    assert first.read() is None
    save(first, 1)
    size = save(first, 2, (3, 12))
    found = store().read()
    assert_equal(found.snapshot, snapshot(2, (3, 12)))
    assert (found.scenario, found.versions, found.damaged) == (SCENARIO, VERSIONS, ())
    assert found.records == ({"round": 1}, {"round": 2})
    assert 1000 < size < 3000


def test_later_states_override_earlier_ones_and_the_order_is_that_of_writing(store, save):
    first = store()
    save(first, 1, (1, 2, 3))
    save(first, 2, (2, 5))
    found = store().read().snapshot
    assert list(found.clients) == [1, 3, 2, 5]
    assert {c: int(s["step"]) for c, s in found.clients.items()} == {1: 1, 3: 1, 2: 2, 5: 2}


def test_a_checkpoint_costs_what_its_own_clients_cost(store, save, names):
    first = store(keep=1)
    everyone = save(first, 1, range(100))
    assert save(first, 2, (1, 2)) < everyone / 5
    assert names() == [
        "clients-000001.safetensors", "clients-000002.safetensors", "round-000002.json", "round-000002.safetensors",
    ]  # fmt: skip
    assert len(store().read().snapshot.clients) == 100


def test_files_that_nothing_needs_are_removed(store, save, names):
    first = store(keep=2)
    for round_, clients in ((1, (1, 2)), (2, (2,)), (3, (1,)), (4, ())):
        save(first, round_, clients)
    assert names() == [
        "clients-000002.safetensors", "clients-000003.safetensors", "round-000003.json", "round-000003.safetensors",
        "round-000004.json", "round-000004.safetensors",
    ]  # fmt: skip
    first.remove()
    assert not first.folder.exists()


def test_a_store_that_was_read_goes_on_where_it_was(store, save):
    save(store(), 1, (1, 2))
    second = store()
    second.read()
    save(second, 2, (2,))
    third = store()
    found = third.read().snapshot
    assert {c: int(s["step"]) for c, s in found.clients.items()} == {1: 1, 2: 2}
    assert store().read().records == ({"round": 1}, {"round": 2})


WRONG = {
    "torn manifest": ("round-000002.json", lambda d: d[: len(d) // 2], "round-000002.json cannot be read"),
    "empty manifest": ("round-000002.json", lambda d: b"", "round-000002.json cannot be read"),
    "a list": ("round-000002.json", lambda d: b"[1]", "round-000002.json cannot be read"),
    "another number": (
        "round-000002.json", lambda d: d.replace(b'"round": 2', b'"round": 3', 1), "the checksum of round-000002.json",
    ),
    "no manifest": ("round-000002.json", None, None),
    "truncated": ("round-000002.safetensors", lambda d: d[:-1], r"round-000002.safetensors has \d+ bytes instead"),
    "a bit": ("round-000002.safetensors", lambda d: d[:-1] + bytes([d[-1] ^ 1]), "the checksum of round-000002.safet"),
    "a header": ("round-000002.safetensors", lambda d: bytes([d[0] ^ 8]) + d[1:], "the checksum of round-0000"),
    "networks gone": ("round-000002.safetensors", None, "round-000002.safetensors cannot be read: No such file"),
    "clients gone": ("clients-000002.safetensors", None, "clients-000002.safetensors cannot be read"),
    "foreign clients": ("clients-000002.safetensors", lambda d: b"x" * len(d), "the checksum of clients-000002"),
    "a pickle": ("round-000002.safetensors", lambda d: b"\x80\x04\x95" + d[3:], "the checksum of round-000002.safet"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "change", "what"), WRONG.values(), ids=list(WRONG))
def test_a_damaged_one_is_noticed_and_the_one_before_is_used(store, save, names, file, change, what):
    first = store()
    save(first, 1, (1, 2))
    save(first, 2, (2,))
    path = first.folder / file
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    second = store()
    found = second.read()
    assert_equal(found.snapshot, snapshot(1, (1, 2)))
    assert [bool(re.match(what or "never", text)) for text in found.damaged] == ([True] if what else [])
    assert names() == ["clients-000001.safetensors", "round-000001.json", "round-000001.safetensors"]
    save(second, 2, (2,))
    assert store().read().snapshot.round == 2


@pytest.mark.parametrize("change", [lambda d: d[:5], lambda d: d.replace(b"1", b"7", 1), None])
def test_metrics_that_do_not_reach_a_checkpoint_are_noticed(store, save, tmp_path, change):
    first, path = store(), tmp_path / "metrics.jsonl"
    save(first, 1)
    save(first, 2)
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(NoCheckpoint, match=r"^no checkpoint is intact: metrics.jsonl is not what it was at round 2; m"):
        store().read()


def test_one_line_too_few_costs_one_checkpoint_only(store, save, tmp_path):
    first, path = store(), tmp_path / "metrics.jsonl"
    save(first, 1)
    save(first, 2)
    path.write_bytes(path.read_bytes()[:-4])
    assert store().read().snapshot.round == 1


def test_what_is_after_the_checkpoint_in_metrics_does_not_matter(store, save, tmp_path):
    first = store()
    save(first, 1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 2}\n{"rou')
    assert store().read().records == ({"round": 1},)


def test_lines_of_later_rounds_may_be_there_before_it_is_written(store, save, tmp_path):
    first = store()
    save(first, 1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"round": r}) + "\n" for r in (2, 3, 4, 5))
    first.write(snapshot(3), SCENARIO, VERSIONS)
    first.write(snapshot(4), SCENARIO, VERSIONS)
    assert [r["round"] for r in store().read().records] == [1, 2, 3, 4]


def test_none_that_is_intact_is_an_error_that_says_what_to_do(store, save):
    first = store()
    save(first, 1)
    save(first, 2)
    for path in first.folder.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(NoCheckpoint) as caught:
        store().read()
    assert re.fullmatch(
        r"no checkpoint is intact: round-000002.safetensors has 0 bytes instead of \d+; round-000001.safetensors has 0 "
        r"bytes instead of \d+; remove .*/test_\w+ to run the trial anew",
        str(caught.value),
    )
    assert len(list(first.folder.glob("*.json"))) == 2


def test_those_of_another_trial_are_foreign(store, save):
    save(store(trial="other"), 1)
    with pytest.raises(NoCheckpoint, match=r"round-000001.json is of another trial; remove"):
        store().read()


def test_those_of_another_version_are_not_gone_on_with(store, save, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("raysim.simulation.checkpoint.FORMAT", "raysim checkpoint 1")
        save(store(), 1)
    with pytest.raises(NoCheckpoint, match=r"round-000001.json is of another version \(raysim checkpoint 1\); remove"):
        store().read()


def test_a_manifest_cannot_name_files_elsewhere(store, save, tmp_path):
    first = store()
    save(first, 1)
    (tmp_path / "secret").write_bytes(b"1")
    path = first.folder / "round-000001.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../secret"] = {"bytes": 1, "blake2b": ""}
    from raysim.simulation.checkpoint import _sealed  # as whoever knows the format could

    del manifest["checksum"]
    path.write_bytes(_sealed(manifest))
    with pytest.raises(NoCheckpoint, match=r"a manifest names the file '\.\./secret'"):
        store().read()


@pytest.mark.parametrize("files", [0, 1, 2])
def test_a_full_disk_leaves_the_one_before_and_the_next_one_has_all(store, save, names, files):
    written = []

    def full(path, data):
        written.append(path)
        if len(written) - 1 == files:
            path.with_name(f".{path.name}.tmp").write_bytes(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    save(store(), 1, (1, 2))
    second = store(write=full)
    second.read()
    with pytest.raises(OSError, match="No space left"):
        save(second, 2, (2,))
    assert store().read().snapshot.round == 1
    assert names() == ["clients-000001.safetensors", "round-000001.json", "round-000001.safetensors"]
    save(second, 3, (2, 1))
    found = store().read().snapshot
    assert (found.round, {c: int(s["step"]) for c, s in found.clients.items()}) == (3, {1: 3, 2: 3})
