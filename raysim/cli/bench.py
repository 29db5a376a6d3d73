"""The command `raysim bench`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from raysim.cli.files import Overrides, checked
from raysim.cli.start import complain
from raysim.engine.environment import use_own_cluster
from raysim.scenario.errors import ScenarioError


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
    studies = checked(files, overrides)
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
