import io
import re

import numpy as np
import pytest
from generation import figures, generated
from rich.console import Console

from raysim.report.events import (
    ClientsFinished,
    Doing,
    RoundFinished,
    RoundStarted,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    Warned,
)
from raysim.report.live.screen import render
from raysim.report.live.state import State
from raysim.report.live.terminal import RichSink, final


def screen(state, width, height, now=100.0):
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    console.print(render(state, now, width, height))
    return console.file.getvalue().rstrip("\n").split("\n")


def finished(trial, round_, *columns):
    return ClientsFinished(trial, round_, *map(np.array, columns))


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


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(80, 24, 8), (80, 23, 6), (200, 50, 8), (40, 12, 3), (40, 9, 2), (20, 5, 1)]
)
def test_screens_of_many_live_trials_fit(side_by_side, width, height, shown):
    for end in range(1, len(side_by_side.events)):
        lines = screen(folded(side_by_side.events[:end]), width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
    names = [f"[{i}/10]" for i in range(1, 9)]
    assert [line[:6] for line in lines[1 : shown + 1]] == names[:shown]
    assert (lines[shown + 1] == f"and {8 - shown} more") == (shown not in (1, 8))


def test_live_trials_have_a_line_each_and_the_oldest_is_shown_in_full(side_by_side):
    lines = screen(folded(side_by_side.events), 130, 24)
    assert lines[0].startswith("study   ████████░")
    assert "0/10 trials" in lines[0]
    rest = r"  2/4 rounds   1 min 20 s a round, 3 min \d\d s left  accuracy 0.500  method=fin seed=1"
    assert re.fullmatch(r"\[2/10\]  █{10}░{10}" + rest, lines[2].rstrip())
    assert lines[9] == "[1/10] study method=zero seed=0"
    state = folded([*side_by_side.events, TrialFailed(side_by_side.trials[0], "no such luck")])
    lines = screen(state, 80, 24)
    assert "1/10 trials, 1 failed" in lines[0]
    assert lines[1].startswith("[2/10]")
    assert lines[8] == "[2/10] study method=fin seed=1"
    state.fold(Warned("hm", side_by_side.trials[3]), 1.0)
    assert "! [4/10] hm" in screen(state, 80, 24)


def test_a_round_may_end_after_the_next_has_begun(study):
    trial = study.trials[0]
    first, second = (e.record for e in study.begun if isinstance(e, RoundFinished))
    begun = [*study.begun[:6], RoundStarted(trial, 2, "train", (0, 1, 2)), finished(trial, 2, [1], [11], [1.4], [0.25])]
    state = folded([*begun, RoundFinished(trial, 1, first)])
    lines = "\n".join(screen(state, 80, 24))
    for text in (
        "1/2 rounds", "round 2, phase train: 1 of 3 clients done", "last round (1): loss 1.7500",
        "     0  pending       10   1.500", "     1  done          11   1.400",
    ):  # fmt: skip
        assert text in lines
    state.fold(RoundFinished(trial, 2, second), 99.0)
    assert "last round (2): loss 1.5000" in "\n".join(screen(state, 80, 24))
    assert (state.focus.done, state.focus.back) == (2, {1})


def test_what_matters_is_on_the_screen(study):
    state = folded([*study.begun[:-1], study.events[-3]])
    lines = "\n".join(screen(state, 80, 24))
    for text in (
        "0/4 trials", "2/2 rounds", "[1/4] study method=zero seed=1", "round 2, phase train",
        "last round (2): loss 1.5000  val accuracy 0.500", "0.500       0.500       0.700  ▁█",
        "     2  done          12   1.300     0.25", "cpu ██░░░ 50%", "memory █░░░░ 1.0 GB",
    ):  # fmt: skip
        assert text in lines


def test_what_was_made_stands_beside_the_last_loss(study):
    trial, record = study.trials[0], {"round": 1, "loss": {"task": 1.0}, "train_s": 2.0}
    state = folded([*study.begun[:2], RoundFinished(trial, 1, {**record, "generation": figures(0.5)})])
    assert "last round (1): loss 1.0000  coherence 0.500  2.0 s" in screen(state, 80, 24)
    state.fold(RoundFinished(trial, 2, {**record, "round": 2}), 9.0)
    assert "last round (2): loss 1.0000  2.0 s  coherence 0.500 (round 1)" in screen(state, 80, 24)
    assert "last round (2): loss 1.0000  2.0 s  cohe…" in screen(state, 41, 24)


def test_a_trial_that_goes_on_still_knows_what_it_made(study):
    trial, record = study.trials[0], {"round": 1, "loss": {"task": 1.0}, "generation": figures(0.5)}
    state = folded([study.begun[0], TrialStarted(trial, 0, 3, 2, "plan", [record, {"round": 2, "loss": {}}])])
    assert "coherence 0.500 (round 1)" in "\n".join(screen(state, 80, 24))


@pytest.mark.parametrize("width", [60, 200])
def test_the_last_tables_have_what_was_made(study, width):
    trial = study.trials[0]
    summary = {"round": 2, "splits": {"test": {"accuracy": 0.5}}, "seconds_s": 1.0, **generated(0.5)}
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(final(folded([study.begun[0], TrialFinished(trial, summary)]).results, width))
    text = console.file.getvalue()
    assert "study: generation  test samples, round 2, one seed" in text
    assert "Fréchet, prior" in text
    assert max(map(len, text.splitlines())) <= width


def test_warnings_stay_visible(study):
    end = next(i for i, e in enumerate(study.events) if type(e).__name__ == "Warned")
    assert "! client 7 has few samples" in screen(folded(study.events[: end + 6]), 80, 24)


@pytest.mark.parametrize(("clients", "expected"), [(49, "and "), (50, "50 clients, none"), (500, "500 clients, none")])
def test_many_clients_are_cut_or_summed_up(study, clients, expected):
    trial = study.trials[0]
    events = [
        StudyStarted(study.trials, "out", "x"), TrialStarted(trial, 0, clients, 2, "plan"),
        RoundStarted(trial, 1, "train", tuple(range(clients))),
    ]  # fmt: skip
    assert any(expected in line for line in screen(folded(events), 80, 24))
    done = [finished(trial, 1, range(3), [10] * 3, range(3), [0.5] * 3)]
    if clients == 500:
        lines = screen(folded([*events, *done]), 80, 24)
        assert "3 of 500 clients done, 30 samples" in lines
        assert "loss 1.000, from 0.000 to 2.000" in lines


@pytest.mark.parametrize(("width", "height", "most"), [(200, 50, 3), (80, 24, 3), (40, 12, 1), (20, 5, 1), (20, 3, 1)])
def test_failures_and_warnings_stay_in_sight_at_any_size(side_by_side, width, height, most):
    failed = [TrialFailed(trial, f"error {i}") for i, trial in enumerate(side_by_side.trials[:5])]
    warned = [Warned(f"warning {i}") for i in range(30)]
    state = folded([*side_by_side.events, *warned, *failed])
    for i in range(100):  # much happens later
        state.fold(RoundStarted(side_by_side.trials[7], 3 + i, "train", tuple(range(49))), 100.0)
    lines = screen(state, width, height)
    assert len(lines) <= height
    failures = [line.rstrip() for line in lines if line.startswith("x ")]
    assert len(failures) == most
    assert failures[0].startswith(f"x (and {5 - most} befor"[: width - 1])
    if height > 3:
        warnings = [line.rstrip() for line in lines if line.startswith("! ")]
        assert len(warnings) == most
        assert warnings[0].startswith(f"! (and {30 - most} be")
    if width >= 40:
        assert failures[-1].endswith("[5/10] FAILED: error 4")
        assert warnings[-1].endswith("warning 29")


def test_what_goes_on_before_the_first_trial_is_said(study):
    state = State()
    state.fold(Doing("reading the data of 4 trials and starting Ray"), 98.0)
    assert screen(state, 80, 24) == ["reading the data of 4 trials and starting Ray (2.0 s)"]
    state.fold(study.events[0], 99.0)
    state.fold(Doing("starting client actors"), 99.5)
    lines = screen(state, 80, 24)
    assert "0/4 trials" in lines[0]
    assert lines[1:] == ["starting client actors (0.5 s)", "2 cores, no GPU, 1 node"]
    state.fold(study.events[1], 99.9)
    assert "starting client actors" not in "\n".join(screen(state, 80, 24))


def test_a_study_that_was_stopped_says_the_whole_command(study):
    state = folded(study.begun[:6])
    command = "raysim run a/long/path/to/a/scenario.yaml --set federation.rounds=30 --out results/here --resume"
    state.fold(Doing(f"stopped: no process works on it; go on with: {command}"), 100.0)
    lines = screen(state, 80, 24)
    assert command in " ".join(" ".join(lines[:6]).split())
    assert any("round 1, phase train" in line for line in lines)  # and what it was about


def test_several_trials_are_shown_in_full_where_there_is_room(side_by_side):
    lines = screen(folded(side_by_side.events), 200, 50)
    assert len([line for line in lines if line.startswith("accuracy ")]) == 3
    assert lines[9:11] == ["[1/10] study method=zero seed=0", "3 clients on 2 actors, stack 1, cpu"]
    assert len([line for line in screen(folded(side_by_side.events), 80, 24) if line.startswith("metric ")]) == 1


def test_a_process_that_goes_on_begins_the_screen_anew(study):
    state = folded([*study.events[:-1], *study.begun])
    assert (state.trials_ended, state.warnings, list(state.live)) == (1, [], [])
    assert "1/4 trials" in screen(state, 80, 24)[0]


def test_time_left_follows_the_pace(study):
    state = folded(study.begun[:7])  # six events after the start, one round of two done after 12 s
    assert state.focus.round_s == 10.0
    assert [state.focus.left_s(now) for now in (12.0, 16.0, 99.0)] == [10.0, 6.0, 0.0]
    assert state.left_s(12.0) == 10.0 + 10.0 * 6


def test_time_left_with_several_slots(study):
    zero1, zero2, fin1, fin2 = study.trials

    def begin(trial, now):
        state.fold(TrialStarted(trial, 0, 3, 1, "plan"), now)

    def end_round(trial, now):
        state.fold(RoundFinished(trial, 1, {}), now)

    state = State()
    state.fold(StudyStarted(study.trials, "out", "x", 2), 0.0)
    begin(zero1, 0.0)
    assert state.left_s(5.0) is None
    end_round(zero1, 10.0)  # 10 s a round and two rounds each: this one ends at 20, and so does its slot; the other is
    assert state.left_s(10.0) == 40.0  # free now: it gets the second, then the fourth; the first slot gets the third
    begin(zero2, 10.0)
    assert state.left_s(10.0) == 40.0
    end_round(zero1, 20.0)
    state.fold(TrialFinished(zero1, {}), 20.0)
    begin(fin1, 20.0)
    end_round(zero2, 20.0)
    assert state.left_s(20.0) == 30.0  # zero2 for 10 and fin2 for 20, beside fin1 for 20
    assert state.share == (1 + 0.5) / 4
    state.fold(TrialFailed(fin2, "does not fit"), 20.0)
    assert state.left_s(20.0) == 20.0


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


def test_a_trial_that_goes_on_counts_what_it_had_done(resumed):
    at = [i for i, e in enumerate(resumed.events) if isinstance(e, TrialStarted)][1]
    state = folded(resumed.events[: at + 1])
    assert (state.focus.done, state.focus.share, state.focus.round_s) == (1, 0.25, None)
    assert state.focus.history["accuracy"] == [0.25]
    state = folded(resumed.events)
    assert (state.focus.done, state.focus.earlier, state.focus.history["accuracy"]) == (3, 1, [0.25, 0.5, 0.75])
    assert state.focus.round_s == pytest.approx(10.0)  # two rounds in twenty seconds since then
    lines = screen(state, 110, 30)
    assert any(line.endswith("; checkpoint of round 3 (1.2 MB in 20 ms)") for line in lines)
    assert any("1/2 trials" in line for line in lines)
    assert any("3/4 rounds" in line for line in lines)


def test_skipped_clients_are_counted(study):
    finished = next(e for e in study.events if isinstance(e, RoundFinished))
    skipped = RoundFinished(finished.trial, 1, {**finished.record, "skipped": [{"id": 3, "reason": "late"}]})
    state = folded([*study.events[:2], skipped])
    assert any("1 skipped" in line for line in screen(state, 110, 30))
