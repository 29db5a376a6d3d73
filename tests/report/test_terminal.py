import io

import pytest
from rich.console import Console

from raysim.report.events import ClientFinished, RoundStarted, StudyStarted, TrialStarted
from raysim.report.state import State
from raysim.report.terminal import RichSink, render


def screen(state, width, height, now=100.0):
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    console.print(render(state, now, width, height))
    return console.file.getvalue().rstrip("\n").split("\n")


def folded(events, seconds=2.0):
    state = State()
    for i, event in enumerate(events):
        state.fold(event, i * seconds)
    return state


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 12), (20, 5), (110, 28)])
def test_screens_fit(study, width, height):
    for end in range(1, len(study.events)):
        lines = screen(folded(study.events[:end]), width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_what_matters_is_on_the_screen(study):
    state = folded([*study.begun[:-1], study.events[-3]])
    lines = "\n".join(screen(state, 80, 24))
    for text in (
        "0/4 trials", "2/2 rounds", "[1/4] study method=zero seed=1", "round 2, phase train",
        "last round (2): loss 1.5000  val accuracy 0.500", "0.500       0.500       0.700  ▁█",
        "     2  done          12   1.300     0.25", "cpu ██░░░ 50%", "memory █░░░░ 1.0 GB",
    ):  # fmt: skip
        assert text in lines


def test_warnings_stay_visible(study):
    end = next(i for i, e in enumerate(study.events) if type(e).__name__ == "Warned")
    assert "! client 7 has few samples" in screen(folded(study.events[: end + 6]), 80, 24)


@pytest.mark.parametrize(("clients", "expected"), [(30, "and "), (500, "500 clients, none done yet")])
def test_many_clients_are_cut_or_summed_up(study, clients, expected):
    trial = study.trials[0]
    events = [
        StudyStarted(study.trials, "out", "x"), TrialStarted(trial, 0, clients, 2, "plan"),
        RoundStarted(trial, 1, "train", tuple(range(clients))),
    ]  # fmt: skip
    assert any(expected in line for line in screen(folded(events), 80, 24))
    done = [ClientFinished(trial, 1, c, 10, float(c), 0.5) for c in range(3)]
    if clients == 500:
        lines = screen(folded([*events, *done]), 80, 24)
        assert "3 of 500 clients done, 30 samples" in lines
        assert "loss 1.000, from 0.000 to 2.000" in lines


def test_time_left_follows_the_pace(study):
    state = folded(study.begun[:7])  # six events after the start, one round of two done after 12 s
    assert state.round_s == 10.0
    assert state.trial_left_s(12.0) == 10.0
    assert state.trial_left_s(16.0) == 6.0
    assert state.trial_left_s(99.0) == 0.0
    assert state.study_left_s(12.0) == 10.0 + 12.0 * 6


def test_a_stream_that_is_no_terminal_gets_the_lasting_lines(study):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    sink = RichSink(stream, width=80, height=24)
    for event in study.events:
        sink.handle(event)
    sink.close()
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "\x1b" not in text
    assert "[1/4] study method=zero seed=1  finished: test accuracy 0.500 at round 2, 4.0 s" in text
    assert "0.625 +-0.177" in text
    assert "finished 3 of 4 trials, 1 failed in 1 min 01 s; results in out" in text
