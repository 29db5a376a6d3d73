"""Which sinks a run has."""

import os
import sys
from pathlib import Path
from typing import Literal

from raysim.report.events import Sink
from raysim.report.files import FileSink
from raysim.report.plain import PlainSink

Progress = Literal["auto", "rich", "plain", "none"]


def open_sinks(progress: Progress, out: Path) -> list[Sink]:
    """The file sink always, first, so that files exist when the terminal names them; then the terminal's.

    Args:
        progress: `auto` is `rich` on a terminal that can move the cursor and `plain` elsewhere.
        out: the study's folder.
    """
    files = FileSink(out)
    if progress == "auto":
        progress = "rich" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "plain"
    if progress == "rich":
        from raysim.report.terminal import RichSink  # rich is only loaded where it is used

        return [files, RichSink(sys.stdout)]
    return [files, PlainSink(sys.stdout)] if progress == "plain" else [files]
