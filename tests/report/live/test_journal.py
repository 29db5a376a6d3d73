"""What one process writes of a study, another one shows."""

import json
from contextlib import ExitStack, closing
from dataclasses import replace
from io import StringIO

import pytest

from raysim.report.events import (
    ClientsFinished,
    Doing,
    Printed,
    RoundFinished,
    RoundStarted,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
    Warned,
)
from raysim.report.files import FileSink
from raysim.report.live.again import Again
from raysim.report.live.journal import Journal, JournalSink, needed, without_old_rounds
from raysim.report.live.plain import PlainSink
from raysim.report.live.state import State
from raysim.report.reading.folder import JOURNAL

AGAIN = Again("out", ("raysim", "run", "s.yaml", "--set", "seeds=[1, 2]", "--resume"), "/somewhere")


@pytest.fixture
def writing(tmp_path, monkeypatch):
    """The sinks of a study, as a run has them, that write at once."""
    monkeypatch.setattr("raysim.report.live.journal.EVERY_S", 0.0)

    def writing(limit=4_000_000):
        sinks = FileSink(tmp_path), JournalSink(tmp_path, AGAIN, pytest.fail, limit)

        def tell(*events):
            for event in events:
                for sink in sinks:
                    sink.handle(event)

        return tell

    return writing


@pytest.fixture
def reading(tmp_path):
    """Journals of the folder as other processes have them."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Journal(tmp_path)))


def lines(events):
    stream = StringIO()
    sink = PlainSink(stream)
    for event in events:
        sink.handle(event)
    return stream.getvalue()


def shown(events):
    """All that a screen is made of, of trials that are under way and of those that ended."""
    state = State()
    for at, event in enumerate(events):
        state.fold(event, float(at))
    live = {
        k: (
            t.start.plan,
            t.done,
            t.round,
            t.phase,
            t.cohort,
            t.back,
            [t.seen(c) for c in t.cohort],
            t.scores,
            t.history,
        )
        for k, t in state.live.items()
    }
    ended = [(t.name, s["splits"]) for t, s in state.results.summaries]
    return live, ended, state.results.failures, [w.text for w in state.warnings], state.resources, state.doing


def test_another_process_hears_what_this_one_told(study, writing, reading, tmp_path):
    tell, journal, heard = writing(), reading(), []
    for event in (Doing("reading the data"), *study.events[:-1], Printed("hello", "client 1", 10, study.trials[0])):
        tell(event)
        heard += [event for _, event in journal.news()]
    assert journal.again == AGAIN
    assert shown(heard) == shown([Doing("reading the data"), *study.events[:-1]])
    assert heard[-1] == Printed("hello", "client 1", 10, study.trials[0])
    assert shown([event for _, event in reading().news()])[1:] == shown(heard)[1:]


def test_a_pipe_shows_the_same_lines_as_the_run_itself(study, writing, reading):
    writing()(*study.events)
    there = lines([event for _, event in reading().news()])
    assert there.startswith("4 trials -> out")
    assert there == lines(study.events)


def test_it_stays_small_and_whoever_reads_along_misses_no_round(study, writing, reading, tmp_path):
    tell, journal, heard = writing(limit=20_000), reading(), []
    (trial, other), record = study.trials[:2], next(e.record for e in study.begun if isinstance(e, RoundFinished))
    trial = replace(trial, rounds=10_000)
    tell(StudyStarted((trial, other), "out", "x"), TrialStarted(other, 1, 3, 2, "plan"))
    for number in range(1, 201):
        tell(RoundStarted(other, number, "train", (0, 1)), RoundFinished(other, number, {**record, "round": number}))
        tell(Warned(f"warning {number}"))
        heard += [event for _, event in journal.news()]
        assert (tmp_path / JOURNAL).stat().st_size < 150_000  # the rounds of one trial, and 200 warnings
    assert [e.round for e in heard if isinstance(e, RoundFinished)] == list(range(1, 201))
    tell(TrialFinished(other, {"round": 200, "splits": {}, "seconds_s": 1.0}), TrialStarted(trial, 0, 3, 2, "plan"))
    tell(*(Warned(f"later {i}") for i in range(600)))
    size = (tmp_path / JOURNAL).stat().st_size
    assert size < 45_000
    later = [event for _, event in journal.news()]
    assert [e.text for e in later if isinstance(e, Warned)][-1] == "later 599"
    kinds = [type(event) for _, event in reading().news()]
    assert kinds[:4] == [StudyStarted, TrialStarted, TrialFinished, TrialStarted]
    assert RoundFinished not in kinds


def test_which_lines_are_needed():
    def line(event, trial=None, **more):
        return {"event": event, "trial": trial, **more}

    rounds = [line("RoundStarted", 1), line("ClientsFinished", 1), line("RoundFinished", 1), line("RoundStarted", 1)]
    before = [line("StudyStarted"), line("TrialStarted", 0, done=[1]), line("RoundFinished", 0), line("Resources")]
    lost = [line("TrialStarted", 1), line("RoundFinished", 1, lost=True)]  # its server died
    lines = [*before, line("TrialFailed", 0), *lost, line("TrialStarted", 1, done=[7]), *rounds, line("Resources")]
    assert needed(lines) == [
        line("StudyStarted"), line("TrialStarted", 0, done=[]), line("TrialFailed", 0),
        line("TrialStarted", 1, done=[7]), line("RoundFinished", 1), line("RoundStarted", 1), line("Resources"),
    ]  # fmt: skip


def test_inside_a_round_that_is_over_nothing_is_written(study):
    told = [(float(i), event) for i, event in enumerate(study.begun[1:11])]
    kinds = [type(event) for _, event in without_old_rounds(told)]
    assert kinds == [TrialStarted, RoundFinished, RoundStarted, ClientsFinished, ClientsFinished, ClientsFinished]


def test_a_process_that_goes_on_begins_anew_and_a_torn_line_waits(study, writing, reading, tmp_path):
    writing()(*study.begun[:2])
    journal = reading()
    assert len(journal.news()) == 2
    whole = json.dumps({"n": 3, "at": 5.0, "event": "Doing", "text": "on"})
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(whole[:20])
    assert journal.news() == []
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(whole[20:] + "\n" + whole[:9])  # its process dies here
    assert journal.news() == [(5.0, Doing("on"))]
    (tmp_path / JOURNAL).unlink()
    assert journal.news() == []
    writing()(Doing("reading"), *study.events)
    heard = [event for _, event in journal.news()]
    assert (heard[0], len(heard)) == (Doing("reading"), len(study.events) + 1)
    assert isinstance(heard[-1], StudyFinished)


def test_the_command_is_whole_wherever_it_is_read():
    assert AGAIN.go_on("/somewhere") == AGAIN.go_on() == "raysim run s.yaml --set 'seeds=[1, 2]' --resume"
    assert AGAIN.go_on("/else") == "cd /somewhere && raysim run s.yaml --set 'seeds=[1, 2]' --resume"
    assert Again("out", (), "/a").go_on("/b") == "raysim.run(..., out='/a/out', resume=True)"


def test_a_journal_that_cannot_be_written_is_said_once_and_ends_nothing(study, tmp_path):
    said = []
    sink = JournalSink(tmp_path, AGAIN, said.append)
    (tmp_path / f".{JOURNAL}.tmp").mkdir()
    for event in study.events:
        sink.handle(event)
    sink.close()
    reason = "cannot be written: Is a directory; raysim watch sees nothing from here on"
    assert said == [Warned(f"{tmp_path / JOURNAL}: {reason}")]
