import io
import sys

import pytest

from raysim.report.files import FileSink
from raysim.report.live.journal import JournalSink
from raysim.report.live.plain import FailuresSink, PlainSink
from raysim.report.live.terminal import RichSink
from raysim.report.mirror import MirrorSink
from raysim.report.sinks import open_sinks
from raysim.report.trackers.sink import TrackingSink
from raysim.scenario.section import Component


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_mirror_is_told_before_the_terminal(tmp_path):
    class Silent:
        """Is told nothing here."""

    sinks = open_sinks("plain", tmp_path, {"a": (Component(name="tensorboard"),)}, mirror=Silent())
    assert [type(sink) for sink in sinks] == [FileSink, JournalSink, TrackingSink, MirrorSink, PlainSink]


@pytest.mark.parametrize(
    ("progress", "terminal", "term", "kind"),
    [
        ("none", True, "xterm", FailuresSink),
        ("plain", True, "xterm", PlainSink),
        ("rich", False, "xterm", RichSink),
        ("auto", True, "xterm", RichSink),
        ("auto", True, "dumb", PlainSink),
        ("auto", False, "xterm", PlainSink),
    ],
)
def test_which_sinks_a_run_has(monkeypatch, tmp_path, progress, terminal, term, kind):
    monkeypatch.setattr(sys, "stdout", Terminal() if terminal else io.StringIO())
    monkeypatch.setenv("TERM", term)
    assert [type(sink) for sink in open_sinks(progress, tmp_path)] == [FileSink, JournalSink, kind]


def test_a_tracker_is_told_before_the_terminal_and_once_for_all_scenarios_that_want_the_same(tmp_path):
    board, other = Component(name="tensorboard"), Component(name="tensorboard", logdir="x")
    sinks = open_sinks("plain", tmp_path, {"a": (board,), "b": (other, Component(name="mlflow")), "c": (board,)})
    assert [type(sink) for sink in sinks] == [FileSink, JournalSink, *[TrackingSink] * 3, PlainSink]
    assert [sink._scenarios for sink in sinks[2:5]] == [{"a", "c"}, {"b"}, {"b"}]
