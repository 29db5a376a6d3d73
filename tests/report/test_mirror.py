"""A folder and its URL: the order in which files go, stores that fail, and what is there after any change."""

import json
import shutil
import time

import numpy as np
import pytest
from stores import contents, fresh_odd

from raysim import store
from raysim.report import changes
from raysim.report import mirror as mirrors
from raysim.report.changes import snapshot, steps
from raysim.report.events import Doing, RoundFinished, StudyFinished, TrialInfo, TrialStarted, Warned
from raysim.report.mirror import Mirror, MirrorSink, Unsent
from raysim.report.reading.copy import Copy, Seen, files_in
from raysim.report.reading.folder import FolderError
from raysim.simulation.checkpoint import Checkpoints
from raysim.simulation.snapshot import Snapshot
from raysim.store import Store

INFO = TrialInfo("s", "t", 0, {}, 3, "last", "loss", ("loss",), ("loss",))
STARTED, ENDED = TrialStarted(INFO, 0, 4, 1, ""), StudyFinished(1, 0, 1.0)
ROUND = RoundFinished(INFO, 0, {"round": 1})
TRIAL = "s/t"


@pytest.fixture
def odd(monkeypatch, tmp_path):
    """A store in memory; pauses are short."""
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirrors, "EVERY_S", 0.02)
    monkeypatch.setattr(mirrors, "AGAIN_S", (0.01,) * 6)
    monkeypatch.setattr(mirrors, "SHARE", 1.0)
    return fresh_odd()


def write(mirror, files):
    for name, text in files.items():
        path = mirror.copy.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def here(mirror):
    return {name: (mirror.copy.folder / name).read_bytes() for name in files_in(mirror.copy.folder)}


def until(there):
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


def names(*files):
    return {file: Seen(1, 0) for file in files}


def test_what_is_referred_to_goes_first_and_what_nobody_refers_to_leaves_last():
    checkpoints = f"{TRIAL}/checkpoints"
    old = names(f"{checkpoints}/round-1.json", f"{checkpoints}/round-1.safetensors")
    new = names(
        f"{TRIAL}/summary.json", f"{checkpoints}/round-2.json", f"{checkpoints}/round-2.safetensors",
        f"{TRIAL}/metrics.jsonl", f"{TRIAL}/model.safetensors", "report.md", "study.json",
    )  # fmt: skip
    assert [step for step in steps(new, old, {}) if step[1]] == [
        ("put", ["study.json"]),
        ("put", [f"{TRIAL}/metrics.jsonl", f"{TRIAL}/model.safetensors", "report.md"]),
        ("put", [f"{checkpoints}/round-2.safetensors"]),
        ("put", [f"{checkpoints}/round-2.json"]),
        ("put", [f"{TRIAL}/summary.json"]),
        ("remove", [f"{checkpoints}/round-1.json"]),
        ("remove", [f"{checkpoints}/round-1.safetensors"]),
    ]


def test_what_a_trial_has_concluded_goes_before_it_begins_anew():
    there = names(f"{TRIAL}/summary.json", f"{TRIAL}/metrics.jsonl", "s/u/summary.json")
    changed = {name: Seen(2, 0) for name in there}
    found = [step for step in steps(changed, there, {TRIAL: 1}) if step[1]]
    assert found[0] == ("remove", [f"{TRIAL}/summary.json"])
    assert found[-1] == ("put", [f"{TRIAL}/summary.json", "s/u/summary.json"])
    there = names(*(f"{TRIAL}/checkpoints/round-00000{i}.json" for i in (2, 3)))
    later = names(f"{TRIAL}/checkpoints/round-000004.json")
    assert [names[-1][-6] for _, names in steps(later, there, {TRIAL: 2}) if names] == ["3", "4", "2"]


def test_a_file_that_grows_may_wait_unless_a_checkpoint_counts_its_lines():
    metrics, log = f"{TRIAL}/metrics.jsonl", "log.txt"
    there, now = names(metrics, log), {metrics: Seen(2, 0), log: Seen(2, 0)}
    assert [step for step in steps(now, there, {}, {metrics, log}) if step[1]] == []
    manifest = f"{TRIAL}/checkpoints/round-2.json"
    found = [step for step in steps(now | names(manifest), there, {}, {metrics, log}) if step[1]]
    assert found == [("put", [metrics]), ("put", [manifest])]


def test_a_url_has_what_the_folder_has_and_loses_what_it_loses(odd):
    with Mirror(Copy("odd://b/a study, ü"), resume=False) as mirror:
        sink = MirrorSink(mirror, pytest.fail)
        write(mirror, {"study.json": "{}", "s/t é/a b.txt": "1", ".lock": "me"})
        sink.handle(STARTED)
        until(lambda: len(contents(odd, "b/a study, ü")) == 2)
        (mirror.copy.folder / "s/t é/a b.txt").unlink()
        write(mirror, {"s/t é/c.txt": "2", "study.json": "{ }"})
        sink.handle(ROUND)
        until(lambda: contents(odd, "b/a study, ü") == {"study.json": b"{ }", "s/t é/c.txt": b"2"})
        write(mirror, {"summary.csv": "x"})
        sink.handle(ENDED)
        assert contents(odd, "b/a study, ü") == here(mirror)
        write(mirror, {"log.txt": "said after the end"})
    assert contents(odd, "b/a study, ü") == here(mirror)
    assert json.loads(odd.store["/b/a study, ü/.writer.json"].getvalue())["by"] == ""


def test_a_file_that_had_to_wait_goes_when_it_is_time_though_nothing_happens(odd, monkeypatch):
    monkeypatch.setattr(mirrors, "SHARE", 4.0)
    odd.before = staticmethod(lambda what, path: time.sleep(0.3))
    with Mirror(Copy("odd://b/x"), resume=False) as mirror:
        write(mirror, {"study.json": "{}"})
        mirror.note(STARTED)
        until(lambda: contents(odd, "b/x") == {"study.json": b"{}"})
        until(lambda: mirror._later)
        write(mirror, {"study.json": "{ }"})
        mirror.note(ROUND)
        until(lambda: contents(odd, "b/x") == {"study.json": b"{ }"})


def test_a_store_that_fails_now_and_then_gets_all_and_is_spoken_of_once(odd):
    calls = []

    def third(what, path):
        calls.append(what)
        if len(calls) % 3 == 0:
            raise ConnectionError("reset by peer")

    odd.before = staticmethod(third)
    told = []
    with Mirror(Copy("odd://b/x"), resume=False) as mirror:
        sink = MirrorSink(mirror, told.append)
        write(mirror, {"study.json": "{}", **{f"s/t/{i}.txt": str(i) for i in range(50)}})
        sink.handle(STARTED)
        until(lambda: mirror.problem)
        sink.handle(ROUND)
        sink.handle(ROUND)
        sink.handle(ENDED)
        assert contents(odd, "b/x") == here(mirror)
    [warning] = [event for event in told if not isinstance(event, Doing)]
    assert isinstance(warning, Warned)
    assert "reset by peer; the study goes on here" in warning.text


def ended(files, trouble=lambda: None):
    """A study that begins, gets files, meets trouble, and ends; returns its folder."""
    with Mirror(Copy("odd://b/x"), resume=False) as mirror:
        write(mirror, files)
        trouble()
        MirrorSink(mirror, lambda event: None).handle(ENDED)
    return mirror.copy.folder


def test_what_could_not_be_sent_stays_here_and_goes_with_the_next_run(odd):
    def down(what, path):
        raise ConnectionError("no route")

    with pytest.raises(Unsent, match=r"^odd:///b/x: not all is there: study.json: no route; ") as caught:
        ended({"study.json": "{}", "a.txt": "1"}, lambda: setattr(odd, "before", staticmethod(down)))
    assert str(Copy("odd://b/x").folder) in str(caught.value)
    assert contents(odd, "b/x") == {}
    odd.before = staticmethod(lambda what, path: None)
    with Mirror(Copy("odd://b/x"), resume=True) as mirror:
        MirrorSink(mirror, pytest.fail).handle(ENDED)
    assert contents(odd, "b/x") == {"study.json": b"{}", "a.txt": b"1"}


def test_a_store_that_never_answers_ends_in_a_line(odd, monkeypatch):
    monkeypatch.setattr(store, "ANSWER_S", 0.2)
    odd.silent = True
    with pytest.raises(FolderError, match=r"^odd:///b/x: no answer within 0 s$"):
        ended({})
    odd.silent = False
    began = time.monotonic()
    with pytest.raises(Unsent, match="no answer"):
        ended({"study.json": "{}"}, lambda: setattr(odd, "silent", True))
    assert time.monotonic() - began < 10
    odd.silent = False


def test_who_does_not_wait_for_the_end_is_told_what_is_missing(odd, monkeypatch):
    def impatient(futures, timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(mirrors, "wait", impatient)
    odd.before = staticmethod(lambda what, path: time.sleep(0.5))
    with pytest.raises(Unsent, match=r"^odd:///b/x: not all is there: interrupted; "):
        ended({"study.json": "{}"})


def test_a_run_that_another_one_has_taken_over_from_sends_nothing_more(odd, monkeypatch, tmp_path):
    monkeypatch.setattr(mirrors, "BEAT_S", 0.02)

    def taken():
        there = Store("odd://b/x")
        there.write(".writer.json", json.dumps({"writer": "b", "by": "process 7 on b", "beat": 1}).encode())
        time.sleep(0.5)

    with pytest.raises(Unsent, match=r"^odd:///b/x: not all is there: process 7 on b writes there now; "):
        ended({"study.json": "{}"}, taken)
    assert contents(odd, "b/x") == {}
    assert json.loads(odd.store["/b/x/.writer.json"].getvalue())["writer"] == "b"


def interrupted(mirror):
    with mirror:
        write(mirror, {"study.json": "{}"})
        raise KeyError


def test_one_that_has_not_begun_leaves_nothing_there(odd):
    with pytest.raises(KeyError):
        interrupted(Mirror(Copy("odd://b/x"), resume=False))
    assert odd.store == {}


def test_thousands_of_small_files_take_seconds(odd):
    began = time.monotonic()
    files = {f"s/t{i // 10}/{i}.txt": str(i) for i in range(5000)}
    ended(files)
    assert contents(odd, "b/x") == {name: text.encode() for name, text in files.items()}
    assert time.monotonic() - began < 20


def test_checkpoints_that_change_while_they_are_looked_at_are_left_out(tmp_path, monkeypatch):
    folder, home = tmp_path / "out", f"{TRIAL}/checkpoints"
    (folder / home).mkdir(parents=True)
    (folder / home / "round-1.json").write_text("1")
    link, count = changes._link, iter(range(2, 100))

    def and_change(path, other):
        link(path, other)
        path.rename(path.with_name(f"round-{next(count)}.json"))

    monkeypatch.setattr(changes, "_link", and_change)
    there = names(f"{home}/round-0.json", "study.json")
    found = snapshot(folder, there, tmp_path / "staging")
    assert found.left == {TRIAL}
    assert (found.here, found.there) == ({}, names("study.json"))
    monkeypatch.undo()
    found = snapshot(folder, there, tmp_path / "staging")
    assert found.left == set()
    [name] = found.here
    assert (found.paths[name].read_text(), found.there) == ("1", there)


def test_after_any_change_there_a_trial_can_go_on_from_there(odd, tmp_path):
    """Rounds, a checkpoint that is gone back to, a beginning anew; the machine may be lost between any two changes."""
    lost = []

    def look(what, path):
        lost.append(contents(odd, "b/x"))

    odd.after = staticmethod(look)
    random = np.random.default_rng(0)
    with Mirror(Copy("odd://b/x"), resume=False) as mirror:
        trial = mirror.copy.folder / TRIAL
        checkpoints = Checkpoints(trial / "checkpoints", trial / "metrics.jsonl", "toy", 1)
        done = 0
        for turn in range(60):
            if turn in (20, 40):  # as a server that died; the second time it begins anew
                checkpoints = Checkpoints(trial / "checkpoints", trial / "metrics.jsonl", "toy", 1)
                found = checkpoints.read()
                done = found.snapshot.round if turn == 20 else 0
                if not done:
                    checkpoints.remove()
                lines = (trial / "metrics.jsonl").read_text().splitlines(keepends=True)
                (trial / "metrics.jsonl").write_text("".join(lines[:done]))
                mirror._goes_back(TRIAL, done)
            done += 1
            trial.mkdir(parents=True, exist_ok=True)
            with (trial / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"round": done, "turn": turn}) + "\n")
            if random.random() < 0.6:
                clients = {int(c): {"w": np.float32([turn])} for c in random.integers(0, 5, 2)}
                checkpoints.write(Snapshot(done, {"w": np.float32([turn])}, {}, {}, clients, {}), {}, {})
            if random.random() < 0.6:
                mirror._pass(final=False)
        mirror._pass(final=True)
    rounds = []
    for files in lost:
        folder = tmp_path / "other"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        found = Checkpoints(folder / TRIAL / "checkpoints", folder / TRIAL / "metrics.jsonl", "toy", 1).read()
        assert found is None or found.damaged == ()
        rounds.append(0 if found is None else found.snapshot.round)
    assert (len(rounds) > 100, max(rounds) > 20) == (True, True)
    [drop] = [i for i in range(1, len(rounds)) if rounds[i] < rounds[i - 1]]  # where it begins anew
    assert rounds[drop] == 0 < rounds[-1]
