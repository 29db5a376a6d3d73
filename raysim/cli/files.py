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
    files: Iterable[Path],
    overrides: Sequence[str] | None,
    *,
    look: bool = False,
    track: Sequence[str] = (),
    ahead: bool = False,
) -> list[tuple[Trial, ...]] | None:
    """The trials of each file, or None after a line for each file that is wrong.

    With `look` also their data is looked at, as far as that is cheap, and what there is is said; with `ahead` somebody
    will ask for it.
    """
    studies: list[tuple[Trial, ...]] = []
    wrong = False
    for file in files:
        try:
            trials = api.trials_of(file, overrides or (), track, ahead=ahead)
            lines = _seen(file, trials) if look else ()
        except ScenarioError as error:
            complain(str(error))
            wrong = True
        else:
            studies.append(trials)
            for line in lines:
                typer.echo(one_line(line))
    return None if wrong else studies


def _seen(file: Path, trials: Sequence[Trial]) -> list[str]:
    """That trials are well, and what their data is.

    Raises:
        ScenarioError: one is not.
    """
    from raysim.simulation.examine import examine

    return [f"{file}: ok, {counted(len(trials), 'trial')}", *(f"  {line}" for line in examine(trials))]
