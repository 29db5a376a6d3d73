"""The command `raysim run`."""

import shlex
import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from raysim import api
from raysim.cli import completion
from raysim.cli.detach import ReadySink, detached
from raysim.cli.files import Files, Overrides, checked
from raysim.cli.start import complain
from raysim.engine.environment import ADDRESS_HELP, ClusterLost, NoCluster
from raysim.engine.nursery import bear
from raysim.report.events import Sink
from raysim.report.live.again import Again
from raysim.report.mirror import Mirror, Unsent, target
from raysim.report.reading.folder import FolderError, fresh, newest, opened
from raysim.report.sinks import movable
from raysim.report.text import encodable
from raysim.scenario.errors import ScenarioError, one_line
from raysim.scenario.trial import Trial


def run(
    files: Files,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where results go, a folder or a URL (s3://, gs://); results/… if not given."),
    ] = None,
    overrides: Overrides = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help=ADDRESS_HELP)] = None,
    wait_for: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.0, help="Wait so long for room on the cluster, also for nodes that still join."
        ),
    ] = 0.0,
    progress: Annotated[api.Progress, typer.Option(help="What to show meanwhile.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a study that was stopped: in DIR, or the newest in results/.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Tell a tracker, too: tensorboard, mlflow, wandb or trackio; repeatable.",
            autocompletion=completion.trackers,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when the study is under way; it goes on after logging out.")
    ] = False,
    ready: Annotated[int | None, typer.Option(hidden=True, help="Tell this descriptor when it is.")] = None,
) -> int:
    """Run scenarios and compare their trials."""
    words = command(files, overrides, address=address, wait_s=wait_for, progress=progress, track=track)
    if detach:
        return detached([*words, *(["--out", str(out)] if out else []), *(["--resume"] if resume else [])])
    with opening(f"checking {', '.join(map(str, files))}", progress):
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
        folder, mirror = target(out or fresh(Path("results"), name), resume=resume, say=complain)
        words += ["--out", mirror.copy.url if mirror else str(folder), *(["--detach"] if ready is not None else [])]
        if ready is not None and progress != "none":  # the terminal will not stay
            progress = "plain"
        with opened(folder, trials, resume=resume, ours=out is None, mirror=mirror):
            more = [] if ready is None else [ReadySink(folder, len(trials), ready)]
            then = Again.here(folder, [*words, "--resume"])
            return _run(trials, folder, address, progress, then, more, wait_for, mirror)
    except FolderError as error:
        complain(str(error))
        return 2
    except Unsent as error:
        complain(f"{error}; send the rest with: {shlex.join([*words, '--resume'])}")
        return 1
    except KeyboardInterrupt:
        anew = shlex.join([*words, *(["--resume"] if resume else [])])
        typer.echo(f"stopped before the first trial; begin again: {anew}")
        return 130


def _run(
    trials: Sequence[Trial], folder: Path, address: str | None, progress: api.Progress, again: Again,
    sinks: Sequence[Sink], wait_s: float, mirror: Mirror | None,
) -> int:  # fmt: skip
    def alone() -> None:
        with opening("starting", progress):
            bear()

    try:
        return api.start(trials, folder, address, progress, again, sinks, wait_s, mirror, alone)
    except (ScenarioError, NoCluster) as error:
        complain(str(error))
        return 2
    except ClusterLost as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename or folder}: {error.strerror or error}; mend that and go on with: {again.go_on()}")
        return 1


def command(
    files: Sequence[Path], overrides: Sequence[str] | None, *, address: str | None, wait_s: float,
    progress: api.Progress, track: Sequence[str] | None,
) -> list[str]:  # fmt: skip
    """The words of `raysim run` as it was given, without its folder; defaults are left out."""
    words = ["raysim", "run", *map(str, files)]
    for override in overrides or ():
        words += ["--set", override]
    for tracker in track or ():
        words += ["--track", tracker]
    words += ["--address", address] if address else []
    words += ["--wait-for", f"{wait_s:g}"] if wait_s else []
    return [*words, *(["--progress", progress] if progress != "auto" else [])]


@contextmanager
def opening(text: str, progress: api.Progress) -> Generator[None]:
    """On a terminal a line says what goes on before there is anything to show; it is gone after the block."""
    shown = progress in ("auto", "rich") and movable()
    if shown:
        sys.stdout.write(encodable(one_line(text)[: shutil.get_terminal_size().columns - 1], sys.stdout.encoding))
        sys.stdout.flush()
    try:
        yield
    finally:
        if shown:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
