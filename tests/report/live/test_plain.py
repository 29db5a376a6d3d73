import io
import os
from pathlib import Path

import pytest
from generation import figures, generated

from raysim.report.events import Doing, RoundFinished, StudyFinished, StudyStarted, TrialFailed, TrialFinished
from raysim.report.live.plain import FailuresSink, PlainSink

EXPECTED = """\
4 trials -> out (2 cores, no GPU, 1 node)
[1/4] study method=zero seed=1  started: 3 clients on 2 actors, stack 1, cpu
[1/4] study method=zero seed=1  round 1/2  loss 1.7500  val accuracy 0.250  2.0 s
[1/4] study method=zero seed=1  round 2/2  loss 1.5000  val accuracy 0.500  2.0 s
[1/4] study method=zero seed=1  finished: test accuracy 0.500 at round 2, 4.0 s
"""
ENDING = """\
[4/4] study method=fin seed=2  FAILED: round 1, client 2, stage 'task': the loss is nan
  method.py line 3
Oops

study: test, mean ± sample standard deviation over seeds (* best)
method  seeds       accuracy             uar
zero        2  0.625 ± 0.177   0.525 ± 0.177
fin         1          0.875*          0.775*

study: test unmasked, mean ± sample standard deviation over seeds; unmasked: as the data has them (* best)
method  seeds       accuracy             uar
zero        2  0.825 ± 0.177   0.725 ± 0.177
fin         1          1.075*          0.975*

finished 3 of 4 trials, 1 failed in 1 min 01 s; results in out
"""


class Stream(io.StringIO):
    encoding = "utf-8"


def test_a_line_a_round_and_a_table_at_the_end(study):
    stream = Stream()
    sink = PlainSink(stream)
    for event in study.events:
        sink.handle(event)
    text = stream.getvalue()
    assert text.startswith(EXPECTED)
    assert text.endswith(ENDING)
    assert "warning: client 7 has few samples\n" in text
    assert "\x1b" not in text


def test_a_reader_that_has_gone_is_no_error(study):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a file descriptor
        sink = PlainSink(stream)
        for event in study.events:
            sink.handle(event)
        sink.close()


def test_what_was_done_before_is_said(resumed):
    stream = io.StringIO()
    sink = PlainSink(stream)
    for event in resumed.events:
        sink.handle(event)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "[1/2] study method=zero seed=0  finished earlier: test accuracy 0.500 at round 1, 9.0 s"
    again = "[2/2] study method=zero seed=1  started: 3 clients on 2 actors, stack 1, cpu; goes on after round 1"
    assert again in lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_the_study_goes_on(study, capfd):
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 - no file of ours
        sink = PlainSink(stream)
        for event in study.events:
            sink.handle(event)
    assert capfd.readouterr().err == "standard output: No space left on device; the study goes on in silence\n"


def test_what_was_made_is_a_figure_of_its_round_and_a_table_at_the_end(study):
    stream, trial = Stream(), study.trials[0]
    sink = PlainSink(stream)
    record = {"round": 1, "loss": {"task": 1.0}, "train_s": 2.0}
    for event in (
        StudyStarted((trial,), "out", "x"),
        RoundFinished(trial, 1, record),
        RoundFinished(trial, 2, {**record, "generation": figures(0.5)}),
        RoundFinished(trial, 2, {**record, "generation": {"a>b": {"frechet": 12.0, "coherence": None}}}),
        TrialFinished(trial, {"round": 2, "splits": {"test": {}}, "seconds_s": 1.0, **generated(0.5)}),
        StudyFinished(1, 0, 5.0),
    ):
        sink.handle(event)
    lines = stream.getvalue().splitlines()
    assert [line.partition("  ")[2] for line in lines[1:4]] == [
        "round 1/2  loss 1.0000  2.0 s",
        "round 2/2  loss 1.0000  coherence 0.500  2.0 s",
        "round 2/2  loss 1.0000  Fréchet 12.000  2.0 s",
    ]
    assert lines[-6:-2] == [
        "",
        "study: generation: test samples, round 2, one seed",
        "method  coherence  coherence, self  coherence, joint  Fréchet  Fréchet, prior   bound",
        "zero        0.500            0.750             0.250    2.750           3.000  -100.0",
    ]


def test_the_last_line_is_a_command(study):
    for interrupted, line in ((True, "go on: raysim run x"), (False, "look again: raysim run x")):
        stream = Stream()
        sink = PlainSink(stream)
        for event in (Doing("reading the data"), *study.begun, StudyFinished(1, 0, 5.0, interrupted, "raysim run x")):
            sink.handle(event)
        lines = stream.getvalue().splitlines()
        assert (lines[0], lines[-1]) == ("reading the data", line)
        assert lines[-2].startswith("stopped after" if interrupted else "finished")


def test_a_failure_is_a_line_where_no_progress_is_wanted(study):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    sink = FailuresSink(stream)
    for event in (*study.events, TrialFailed(study.trials[0], "naïve\nerror")):
        sink.handle(event)
    assert stream.buffer.getvalue().decode().splitlines() == [
        "[4/4] study method=fin seed=2  FAILED: round 1, client 2, stage 'task': the loss is nan",
        "[1/4] study method=zero seed=1  FAILED: na?ve\\nerror",
    ]
