"""The command `raysim run`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from raysim import api
from raysim.cli.files import Files, Overrides, checked
from raysim.cli.start import complain
from raysim.engine.environment import NoCluster
from raysim.report.reading.folder import FolderError, fresh, newest, opened
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import Trial


def run(
    files: Files,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where results go; results/… if not given.")] = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="An existing Ray cluster: auto or HOST:PORT.")
    ] = None,
    progress: Annotated[api.Progress, typer.Option(help="What to show meanwhile.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a study that was stopped: in DIR, or the newest in results/.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Tell a tracker, too: tensorboard, mlflow, wandb or trackio; repeatable."),
    ] = None,
) -> int:
    """Run scenarios and compare their trials."""
    studies = checked(files, overrides, track=track or ())
    if studies is None:
        return 2
    try:
        api.check_names(studies)
    except ScenarioError as error:
        complain(str(error))
        return 2
    trials = tuple(trial for study in studies for trial in study)
    name = trials[0].scenario.name if len(studies) == 1 else "study"
    if resume and out is None:
        out = newest(Path("results"), name, {study[0].scenario.name for study in studies})
        if out is None:
            complain(f"results: has no study '{name}' to go on with; name its folder with --out")
            return 2
    try:
        folder = out or fresh(Path("results"), name)
        with opened(folder, trials, resume=resume):
            return _run(trials, folder, address, progress)
    except FolderError as error:
        complain(str(error))
        return 2


def _run(trials: Sequence[Trial], folder: Path, address: str | None, progress: api.Progress) -> int:
    try:
        return api.start(trials, folder, address, progress)
    except (ScenarioError, NoCluster) as error:
        complain(str(error))
        return 2
    except OSError as error:
        complain(f"{error.filename or folder}: {error.strerror or error}; mend that and go on with --resume")
        return 1
