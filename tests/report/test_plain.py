import io
import os
from pathlib import Path

import pytest

from raysim.report.plain import PlainSink

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

study (unmasked): test, mean ± sample standard deviation over seeds (* best)
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
