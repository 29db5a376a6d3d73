"""What a tracker is told and when, with one that writes it down."""

import textwrap
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from raysim.report.events import StudyFinished, TrialStarted
from raysim.report.trackers import base
from raysim.report.trackers.base import Begun, Tracker, TrackerOptions


class Book(Tracker):
    """Remembers what it is told, like a server that processes come and go at."""

    def __init__(self, options=None):
        super().__init__(options or TrackerOptions(timeout_s=5.0))
        self.calls, self.steps = [], {}

    def begin(self, run):
        self.calls.append(("begin", run.id, run.parameters["grid.method"]))
        steps = self.steps.setdefault(run.id or f"run{len(self.steps)}", [])
        return Begun(run.id or list(self.steps)[-1], list(steps))

    def log(self, run, step, figures):
        self.steps[run.id].append(step)
        assert figures["cost/bytes_up"] == 10 * step

    def finish(self, run, figures, files):
        self.calls.append(("finish", run.id, figures["reported/test/accuracy"], sorted(f.name for f in files)))

    def stop(self, run, error):
        self.calls.append(("stop", run.id, error))

    def attach(self, run, file):
        self.calls.append(("attach", run.id, file.name))

    def close(self):
        self.calls.append(("close",))


FILES = ["model.safetensors", "report.md", "scenario.yaml"]
END = [("finish", "run0", 1.0, FILES), ("attach", "run0", "report.md"), ("close",)]


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def noted(study):
    """A study that a book is told of in TensorBoard's place."""
    return study("tensorboard")


def test_a_run_from_begin_to_end(noted, book):
    noted.process(noted.started(), *noted.rounds(1, 2, 3, 4), *noted.end(), tracker=book)
    assert book.calls == [("begin", "", "zero"), *END]
    assert book.steps == {"run0": [1, 2, 3, 4]}
    assert noted.note == {"id": "run0", "finished": True, "options": {}}
    assert noted.warnings == []


def test_a_study_goes_on_with_the_same_run(noted, book):
    first = noted.process(noted.started(), *noted.rounds(1, 2, 3), tracker=book)
    first._jobs.put(None)  # its process is gone after that
    first._thread.join()
    noted.process(noted.started(done=2), *noted.rounds(3, 4), *noted.end(), tracker=book)
    assert book.calls == [("begin", "", "zero"), ("begin", "run0", "zero"), *END]
    assert book.steps == {"run0": [1, 2, 3, 4]}


def test_rounds_that_the_tracker_did_not_get_are_told_later(noted, book):
    noted.process(noted.started(), *noted.rounds(1), tracker=book).close()
    book.steps["run0"].clear()
    noted.process(noted.started(done=3), *noted.rounds(4), *noted.end(), tracker=book)
    assert book.steps == {"run0": [1, 2, 3, 4]}


def test_a_trial_that_was_finished_before_is_told_once(noted, book):
    noted.process(noted.started(), *noted.rounds(1, 2), noted.end(2)[1], tracker=Book()).close()
    (noted.folder / "tensorboard.run.json").unlink()  # as if it had run without a tracker
    earlier = [replace(noted.end(2)[1], earlier=True), StudyFinished(1, 0, 1.0)]
    noted.process(*earlier, tracker=book)
    noted.process(*earlier, tracker=book)
    assert book.steps == {"run0": [1, 2]}
    assert [call[0] for call in book.calls] == ["begin", "finish", "attach", "close", "close"]


def test_other_options_mean_another_run(noted, book):
    class Options(TrackerOptions):
        where: str

    noted.process(noted.started(), *noted.rounds(1), tracker=Book(Options(where="here"))).close()
    noted.process(noted.started(done=1), tracker=Book(Options(where="here", timeout_s=1.0))).close()
    assert noted.note["id"] == "run0"
    elsewhere = Book(Options(where="there"))
    noted.process(noted.started(done=1), tracker=elsewhere).close()
    assert elsewhere.calls[0] == ("begin", "", "zero")


def test_a_failed_trial_ends_its_run_and_another_attempt_is_another_one(noted, told, book):
    noted.process(noted.started(), *noted.rounds(1), told.failed, tracker=book).close()
    noted.process(noted.started(done=1), *noted.rounds(2), tracker=book).close()
    assert ("stop", "run0", "round 2: the loss is nan") in book.calls
    assert book.steps == {"run0": [1], "run1": [1, 2]}
    assert book.calls[-2:] == [("stop", "run1", ""), ("close",)]


def test_a_tracker_of_one_s_own_is_what_the_docstring_shows(noted, capsys):
    _, begin, code = (base.__doc__ or "").partition("    class Printer")
    made = {}
    exec(textwrap.dedent(begin + code), vars(base) | {"Mapping": Mapping, "Path": Path}, made)
    noted.process(noted.started(), *noted.rounds(1), *noted.end(), tracker=made["Printer"](TrackerOptions()))
    assert noted.warnings == []
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" {")[0] for line in lines] == ["method=zero,seed=7 1", "method=zero,seed=7"]


def test_other_scenarios_are_not_its_business(noted, book):
    other = replace(noted.started().trial, scenario="other")
    noted.process(TrialStarted(other, 0, 3, 2, "a plan"), StudyFinished(1, 0, 1.0), tracker=book)
    assert book.calls == []


def test_a_tracker_that_fails_is_one_line_and_the_study_goes_on(noted, book):
    def log(run, step, figures):
        raise ConnectionError(f"round {step}:\nno such host.")

    book.log = log
    sink = noted.process(noted.started(), *noted.rounds(1, 2), tracker=book)
    sink._thread.join(5)
    sink.handle(noted.rounds(3)[-1])
    sink.close()
    line = (
        "tensorboard: ConnectionError: round 1:; the study goes on without it, and what it misses is told by --resume"
    )
    assert noted.warnings == [line]
    assert book.calls == [("begin", "", "zero")]

    again = Book()
    again.steps = {"run0": []}
    noted.process(replace(noted.end()[1], earlier=True), StudyFinished(1, 0, 1.0), tracker=again)
    assert again.steps == {"run0": [1, 2]}  # what metrics.jsonl has
    assert again.calls[:2] == [("begin", "run0", "zero"), ("finish", "run0", 1.0, ["scenario.yaml"])]


def test_nobody_waits_long_for_a_tracker_that_hangs(noted):
    book, event = Book(TrackerOptions(timeout_s=0.3)), threading.Event()
    book.log = lambda run, step, figures: event.wait(20)
    began = time.monotonic()
    noted.process(noted.started(), *noted.rounds(1, 2), *noted.end(), tracker=book).close()
    assert time.monotonic() - began < 10
    event.set()
    assert [text.partition(";")[0] for text in noted.warnings][-1] == "tensorboard: no answer within 0 s"


def test_a_study_that_is_stopped_leaves_its_run_to_be_gone_on_with(noted, book):
    noted.process(noted.started(), *noted.rounds(1), StudyFinished(0, 0, 1.0, interrupted=True), tracker=book).close()
    assert book.calls[-2:] == [("stop", "run0", ""), ("close",)]
    assert noted.note["finished"] is False
