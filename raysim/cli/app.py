"""The command line: run, validate, list, info, bench, report, predict, data. It only reads and prints.

Exit status: 0 all went well, 1 a trial failed, 2 the user must change something, 130 interrupted.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from raysim import api
from raysim.cli import catalogue, data, predict, report
from raysim.cli.start import complain, homeless, open_streams, out_of_memory, unwritable
from raysim.data.dataset import DataError
from raysim.engine.environment import NoCluster, use_own_cluster
from raysim.report.folder import FolderError, fresh, newest, opened
from raysim.scenario.errors import ScenarioError, one_line
from raysim.scenario.trial import Trial
from raysim.version import VERSION

app = typer.Typer(
    help="Simulate multimodal federated learning when clients lack modalities.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")


Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Scenario files (YAML), or names of shipped ones.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a field, e.g. federation.rounds=3; the value is YAML."),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the console script.

    Args:
        arguments: what follows `raysim`; the process's own where None.

    Returns:
        The exit status.
    """
    open_streams()
    if problem := homeless():
        complain(f"raysim: {problem}")
        return 2
    try:
        return app(arguments, prog_name="raysim", standalone_mode=False) or 0
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        complain(f"raysim: {message}; see raysim --help")
        return 2
    except DataError as error:
        complain(f"raysim: {error}")
        return 2
    except MemoryError:
        out_of_memory()
        return 1
    except OSError as error:
        return unwritable(error)
    except (typer.Abort, KeyboardInterrupt):
        return 130


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Simulate multimodal federated learning when clients lack modalities."""
    if version:
        typer.echo(f"raysim {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
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
    studies = _checked(files, overrides, track=track or ())
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


@app.command()
def validate(files: Files, overrides: Overrides = None) -> int:
    """Check scenarios, options of methods included, without running them."""
    return 2 if _checked(files, overrides, tell=True) is None else 0


@app.command()
def bench(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB|FILE]...", help="Standard jobs or scenario files; all jobs if none is named."),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="Timed turns of each job.")] = 5,
    stacks: Annotated[
        list[int] | None, typer.Option("--stack", min=1, help="Clients trained together, instead of auto; repeatable.")
    ] = None,
    overrides: Overrides = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object a job.")] = False,
) -> int:
    """Time jobs on this machine against a plain PyTorch loop; of a scenario file, every arm with its first seed."""
    use_own_cluster()
    from raysim.bench.jobs import JOBS

    names = jobs or list(JOBS)
    files = [Path(name) for name in names if Path(name).suffix in (".yaml", ".yml")]
    unknown = [name for name in names if name not in JOBS and Path(name) not in files]
    if unknown:
        complain(f"raysim: no job '{unknown[0]}'; there are: {', '.join(JOBS)}; or name a scenario file")
        return 2
    studies = _checked(files, overrides)
    if studies is None:
        return 2
    from raysim.bench.run import NotTimed, measure, of_trial, standard

    works = [standard(name) for name in names if name in JOBS]
    works += [of_trial(t) for study in studies for t in study if t.seed == study[0].seed]
    try:
        for found in measure(works, turns, stacks or ()):
            typer.echo(json.dumps(found.as_dict()) if json_ else _bench_line(found))
    except (NotTimed, ScenarioError) as error:
        complain(str(error))
        return 2
    return 0


app.command(name="list")(catalogue.show)
app.command()(catalogue.info)
app.command()(report.report)
app.command()(predict.predict)


def _bench_line(found: Any) -> str:
    times = (
        f"{1000 * found.round_s:.1f} ms a round, mean {1000 * found.mean_s:.1f}, {1000 * found.overhead_s:.1f} overhead"
    )
    memory = "" if found.peak_bytes is None else f"{found.peak_bytes / 1e6:.0f} MB  "
    return (
        f"{found.job:<10}  {found.ratio:.2f} x bare, mean {found.mean_ratio:.2f}  {times}  "
        f"{found.clients_per_s:.0f} clients/s  first {found.first_round_s:.1f} s  {memory}"
        f"stack {found.stack} on {found.actors} {found.device}"
    )


def _checked(
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
                typer.echo(one_line(f"{file}: ok, {count} trial{'s' if count > 1 else ''}"))
    return None if wrong else studies


def _run(trials: Sequence[Trial], folder: Path, address: str | None, progress: api.Progress) -> int:
    try:
        return api.start(trials, folder, address, progress)
    except (ScenarioError, NoCluster) as error:
        complain(str(error))
        return 2
    except OSError as error:
        complain(f"{error.filename or folder}: {error.strerror or error}; mend that and go on with --resume")
        return 1
