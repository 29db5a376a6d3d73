"""Following a study that ends, dies, and is gone on with; the processes are played by the pauses."""

import socket
from io import StringIO

import pytest
from studies import small_study

from raysim.disk import hold
from raysim.report.events import Doing, Sink, StudyFinished
from raysim.report.files import FileSink
from raysim.report.live.again import Again
from raysim.report.live.follow import Clock, at_work, follow
from raysim.report.live.journal import JournalSink
from raysim.report.live.plain import PlainSink
from raysim.report.reading.folder import FolderError, ask_to_stop, asked_to_stop, holder


class Heard(Sink):
    def __init__(self, clock):
        self.events, self.text, self._clock, self.times = [], StringIO(), clock, []
        self._plain = PlainSink(self.text)

    def handle(self, event):
        self.events.append(event)
        self.times.append(self._clock())
        self._plain.handle(event)

    def close(self):
        pass


class Play:
    """A study's folder, and steps of processes that work there, one at each look."""

    def __init__(self, out):
        self.out = small_study(out)
        self.clock = Clock()
        self.heard = Heard(self.clock)
        self.lock, self.sinks = None, ()

    def begin(self, *events, host=None):
        self.lock = hold(self.out / ".lock")
        self.lock.truncate(0)
        self.lock.write(f"process 7 on {host or socket.gethostname()}\n")
        self.lock.flush()
        (self.out / "progress.jsonl").unlink(missing_ok=True)
        self.sinks = (
            FileSink(self.out),
            JournalSink(self.out, Again.here(self.out, ["raysim", "run", "s"]), pytest.fail),
        )
        self.tell(*events)

    def tell(self, *events):
        for event in events:
            for sink in self.sinks:
                sink.handle(event)

    def die(self):
        self.lock.close()

    def follow(self, *steps):
        left = list(steps)
        follow(self.out, self.heard, self.clock, lambda: left.pop(0)())
        assert left == []
        return self.heard.text.getvalue().splitlines()


@pytest.fixture
def play(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    play = Play(tmp_path / "out")
    yield play
    if play.lock is not None:
        play.die()


def test_to_the_end(play, study):
    play.begin(*study.begun)
    lines = play.follow(lambda: play.tell(*study.events[len(study.begun) :]))
    assert lines[-2:] == [
        "finished 3 of 4 trials, 1 failed in 1 min 01 s; results in out", f"look again: raysim report {play.out}",
    ]  # fmt: skip
    assert len([line for line in lines if "  round " in line]) == 6


def test_one_that_is_killed_and_gone_on_with(play, study):
    play.begin(*study.begun[:6])

    def goes_on():
        assert isinstance(play.heard.events[-1], Doing)
        play.begin(*study.events)

    lines = play.follow(play.die, lambda: None, goes_on)
    stopped = [line for line in lines if line.startswith("stopped")]
    assert stopped == ["stopped: no process works on it; go on with: raysim run s"]
    assert lines[-1] == f"look again: raysim report {play.out}"
    assert len([line for line in lines if line.startswith("method")]) == 2  # each table once, of four trials


def test_time_stands_still_while_nobody_works(play, study):
    play.begin(*study.begun[:6])
    play.follow(play.die, lambda: play.begin(*study.events))
    at = next(i for i, event in enumerate(play.heard.events) if isinstance(event, Doing))
    assert play.heard.times[at] == play.heard.times[at - 1]


def test_one_that_nobody_works_on_is_told_and_left(play, study):
    play.begin(*study.begun[:6])
    play.die()
    lines = play.follow()
    assert lines[-1] == "go on: raysim run s"
    assert lines[-2].startswith("stopped after 2 of 4 trials")
    play.tell(*study.begun[6:], StudyFinished(1, 0, 2.0, interrupted=True))
    again = Heard(play.clock)
    follow(play.out, again, play.clock, pause=pytest.fail)
    assert again.events[-1].then == "raysim run s"


def test_without_a_journal_the_files_are_told(play):
    lines = play.follow()
    assert lines[0] == f"3 trials -> {play.out}"
    assert lines[-2:] == [f"finished 3 of 3 trials; results in {play.out}", f"look again: raysim report {play.out}"]


def test_one_that_died_before_its_first_trial(play):
    play.begin(Doing("reading the data"))
    play.die()
    lines = play.follow()
    assert lines[:2] == ["reading the data", f"3 trials -> {play.out}"]
    assert lines[-1] == f"look again: raysim report {play.out}"


def test_a_folder_that_is_gone_meanwhile(play, study):
    play.begin(*study.begun[:3])

    def remove():
        play.die()
        (play.out / "study.json").unlink()

    with pytest.raises(FolderError, match="out: holds no study; name a folder"):
        play.follow(remove)


def test_who_works_in_a_folder(play):
    assert (holder(play.out), at_work(play.out)) == (None, None)
    play.begin(Doing("x"), host="another")
    found = at_work(play.out)
    assert (found.name, found.alive) == ("process 7 on another", True)
    play.die()
    assert holder(play.out).elsewhere
    assert at_work(play.out) is not None  # the journal is fresh: perhaps locks are not shared
    (play.out / "progress.jsonl").unlink()
    assert at_work(play.out) is None
    assert not asked_to_stop(play.out)
    ask_to_stop(play.out)
    assert asked_to_stop(play.out)
