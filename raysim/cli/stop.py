"""The command `raysim stop`: ends a running study as Ctrl-C would."""

import time
from pathlib import Path
from typing import Annotated

import typer

from raysim.cli.start import complain
from raysim.report.live.again import look
from raysim.report.live.follow import LOOK_S, at_work, go_on
from raysim.report.live.journal import Journal
from raysim.report.reading.copy import copied_here
from raysim.report.reading.folder import FolderError, ask_to_stop, holder
from raysim.report.reading.folders import read
from raysim.report.reading.urls import shown
from raysim.report.text import counted, duration

PATIENCE_S = 60.0
"""After that it is said how a study is ended that does not listen."""


def stop(out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a study, or its URL.")]) -> int:
    """End a running study cleanly, and say how to go on with it."""
    try:
        out = copied_here(out)
        name = shown(out)
        read([out])
        found = at_work(out)
        if found is None and (left := holder(out)) is not None and left.elsewhere:
            complain(f"{name}: its lock is of {left.name}, and nothing is known of it here; stop it there")
            return 2
        if found is None:
            typer.echo(f"{name}: no process works on it; {_rest(out)}")
            return 0
        ask_to_stop(out)
        typer.echo(f"{name}: asked {found.name} to stop")
        began, warned = time.monotonic(), False
        while at_work(out) is not None:
            if not warned and time.monotonic() > began + PATIENCE_S:
                warned = True
                complain(
                    f"{name}: {found.name} is still at work after {duration(PATIENCE_S)}; waits on; kill -9 ends it"
                )
            time.sleep(LOOK_S)
        typer.echo(f"{name}: {_rest(out)}")
    except FolderError as error:
        complain(str(error))
        return 2
    return 0


def _rest(out: Path) -> str:
    """What became of a study that nobody works on."""
    try:
        study = read([out])
    except FolderError:  # stopped before its first trial: nothing of it is left
        return "stopped before the first trial"
    ended = len(study.results.trials)
    if ended == len(study.places):
        return f"it is finished; look: {look(out)}"
    journal = Journal(out)
    journal.news()
    journal.close()
    return f"stopped after {ended} of {counted(len(study.places), 'trial')}; go on: {go_on(out, journal.again)}"
