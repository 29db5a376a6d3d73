"""The command `raysim watch`: a study's screen, opened from its folder."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from raysim.cli.start import complain
from raysim.report.live.follow import Clock, at_work, follow
from raysim.report.reading.copy import copied_here
from raysim.report.reading.folder import FolderError
from raysim.report.reading.urls import shown
from raysim.report.sinks import screen

Shown = Literal["auto", "rich", "plain"]


def watch(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of a study, on this machine or a shared disk; its URL.")
    ],
    progress: Annotated[Shown, typer.Option(help="A screen, or a line a round for pipes.")] = "auto",
) -> int:
    """Show a study that another process runs, until it ends; Ctrl-C leaves it alone."""
    clock = Clock()
    sink = screen(progress, clock)
    try:
        out = copied_here(out)
        follow(out, sink, clock)
    except FolderError as error:
        sink.close()
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        sink.close()
        if at_work(out) is not None:
            typer.echo(f"the study goes on; look again: {shlex.join(['raysim', 'watch', shown(out)])}")
    finally:
        sink.close()
    return 0
