import io
import sys

import pytest

from raysim.report.files import FileSink
from raysim.report.plain import PlainSink
from raysim.report.sinks import open_sinks
from raysim.report.terminal import RichSink


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("progress", "terminal", "term", "kind"),
    [
        ("none", True, "xterm", None),
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
    first, *rest = open_sinks(progress, tmp_path)
    assert isinstance(first, FileSink)
    assert [type(s) for s in rest] == ([] if kind is None else [kind])
