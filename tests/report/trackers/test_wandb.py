"""Offline files, read with Weights & Biases' own record format."""

import json
import struct
import sys

import pytest

from raysim.report.trackers.wandb import Wandb

NEEDS = "needs Weights & Biases: make test-trackers, or pip install 'raysim[wandb]'"
BLOCK = 32768


def records(path):
    """The records of a file in LevelDB's log format: blocks of pieces of (checksum, length, kind, data)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # no room for a head
            at += BLOCK - at % BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(whole)
            whole = b""


def content(items):
    return {"/".join(i.nested_key) if i.nested_key else i.key: json.loads(i.value_json) for i in items}


@pytest.fixture
def offline(study, monkeypatch):
    pytest.importorskip("wandb", reason=NEEDS)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return study("wandb", timeout_s=20.0)


def test_a_server_wants_a_key_before_anything_starts(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match="has no key; run 'wandb login', set WANDB_API_KEY, or write mode: offline"):
        Wandb(Wandb.Options()).ready()
    Wandb(Wandb.Options(mode="offline")).ready()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password abc\n")
    Wandb(Wandb.Options()).ready()
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    Wandb(Wandb.Options()).ready()


@pytest.mark.filterwarnings("default")
def test_a_study_that_goes_on_has_each_round_once(offline):
    offline.killed()
    assert offline.warnings == []
    (file,) = (offline.folder / "wandb").glob("offline-run-*/*.wandb")
    assert file.stem == f"run-{offline.note['id']}"
    found = list(records(file))
    (run,) = [record.run for record in found if record.HasField("run")]
    assert (run.run_id, run.display_name, run.run_group) == (offline.note["id"], "method=zero,seed=7", "study")
    assert (run.project, list(run.tags)) == ("raysim", ["out"])
    assert content(run.config.update)["method.width"] == 3
    rows = [content(record.history.item) for record in found if record.HasField("history")]
    assert [(row["_step"], row["validation/accuracy"]) for row in rows] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    summary = [content(record.summary.update) for record in found if record.HasField("summary")]
    assert {"reported/test/accuracy": 1.0}.items() <= {k: v for part in summary for k, v in part.items()}.items()
    saved = {path.name for path in file.parent.glob("files/*")}
    assert saved >= {"model.safetensors", "report.md", "scenario.yaml"}
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]


@pytest.mark.filterwarnings("default")
def test_a_failed_trial_says_why(offline, told):
    offline.process(offline.started(), *offline.rounds(1), told.failed).close()
    (file,) = (offline.folder / "wandb").glob("offline-run-*/*.wandb")
    found = list(records(file))
    summary = [content(record.summary.update) for record in found if record.HasField("summary")]
    assert {"error": "round 2: the loss is nan"} in summary
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [1]


class Server:
    """Weights & Biases at a server that has rounds already, as far as raysim speaks to it."""

    def __init__(self, last):
        self.step, self.rows, self.asked, self.summary = last + 1, [], {}, {}

    def init(self, **asked):
        self.asked = asked
        return self

    def setup(self, settings):
        assert settings == {"silent": True}

    def Settings(self, **settings):  # noqa: N802
        return settings

    def log(self, figures, step, commit):
        self.rows.append(step)

    def save(self, path, base_path, policy):
        pass

    def finish(self, exit_code):
        self.rows.append(f"exit {exit_code}")


def test_a_run_at_a_server_goes_on_after_the_rounds_that_it_has(study, monkeypatch):
    made, first, second = study("wandb", mode="online", entity="us"), Server(-1), Server(2)
    monkeypatch.setitem(sys.modules, "wandb", first)
    made.process(made.started(), *made.rounds(1, 2, 3)).close()
    monkeypatch.setitem(sys.modules, "wandb", second)
    made.process(made.started(done=1), *made.rounds(2, 3, 4), *made.end()).close()
    assert made.warnings == []
    assert (first.rows, second.rows) == ([1, 2, 3, "exit 1"], [3, 4, "exit 0"])
    assert first.asked["id"] == second.asked["id"] == made.note["id"]
    assert (second.asked["resume"], second.asked["group"], second.asked["entity"]) == ("allow", "study", "us")
    assert second.asked["settings"]["finish_timeout"] == 60.0
    assert second.summary["reported/test/accuracy"] == 1.0


@pytest.mark.filterwarnings("default")
def test_a_server_that_is_down_is_one_line(study, monkeypatch):
    pytest.importorskip("wandb", reason=NEEDS)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    made = study("wandb", mode="online", timeout_s=3.0)
    made.process(made.started(), *made.rounds(1), *made.end()).close()
    line = made.warnings[-1]
    assert line.startswith("wandb: ")
    assert line.endswith("; the study goes on without it, and what it misses is told by --resume")
