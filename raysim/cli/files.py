"""Scenario files as several commands take them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from raysim import api
from raysim.cli import completion
from raysim.cli.start import complain
from raysim.report.text import counted
from raysim.scenario.errors import ScenarioError, one_line
from raysim.scenario.trial import Trial

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="Scenario files (YAML), or names of shipped ones.", autocompletion=completion.scenarios
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a field, e.g. federation.rounds=3; the value is YAML."),
]


def checked(
    files: Iterable[Path], overrides: Sequence[str] | None, *, tell: bool = False, track: Sequence[str] = ()
) -> list[tuple[Trial, ...]] | None:
    """The trials of each file, or None after a line for each file that is wrong."""
    studies: list[tuple[Trial, ...]] = []
    wrong = False
    for file in files:
        try:
            studies.append(api.validate(file, overrides or (), track=track))
        except ScenarioError as error:
            complain(str(error))
            wrong = True
        else:
            if tell:
                count = len(studies[-1])
                typer.echo(one_line(f"{file}: ok, {counted(count, 'trial')}"))
    return None if wrong else studies
