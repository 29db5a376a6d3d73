"""The command `raysim plan`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.cli.files import Files, Overrides, checked
from raysim.cli.start import complain, width, writable
from raysim.engine.environment import ADDRESS_HELP, NoCluster, use_own_cluster
from raysim.engine.knock import meant
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import Trial

if TYPE_CHECKING:
    from raysim.engine.nodes import Cluster
    from raysim.planning.plan import Plan


def plan(
    files: Files,
    overrides: Overrides = None,
    nodes: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="A cluster in words: '2x(cpus=32,gpus=4xA100-80,memory=256G),1x(cpus=64)'."),
    ] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help=ADDRESS_HELP)] = None,
    save_speeds: Annotated[
        Path | None,
        typer.Option(parser=writable, metavar="FILE", help="Write what was measured here, for plans elsewhere."),
    ] = None,
    speeds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure nothing; take what --save-speeds wrote.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Say what scenarios will take before anything starts: places, memory, bytes and time.

    On this machine, on a running cluster, or on one that is only described.
    """
    if problem := _clash(nodes, address, speeds, save_speeds):
        complain(f"raysim plan: {problem}")
        return 2
    studies = checked(files, overrides, ahead=True)
    if studies is None:
        return 2
    if nodes is None:
        try:
            address, warning = meant(address)
        except NoCluster as error:
            complain(str(error))
            return 2
        if warning:
            typer.echo(f"warning: {warning}", err=json_)
    if address is None:
        use_own_cluster()
    from raysim.planning.plan import as_dict
    from raysim.planning.speeds import SpeedsError
    from raysim.planning.told import told
    from raysim.training.results import ClientFailure

    trials = [trial for study in studies for trial in study]
    try:
        found = _planned(trials, _cluster(nodes, address), speeds, save_speeds, here=nodes is None)
    except (ScenarioError, ClientFailure, SpeedsError, NoCluster, typer.BadParameter) as error:
        complain(str(error))
        return 2
    except OSError as error:
        complain(f"{save_speeds}: {error.strerror or error}")
        return 2
    typer.echo(json.dumps(as_dict(found)) if json_ else "\n".join(told(found, width())))
    return 2 if found.remarks else 0


def _clash(nodes: str | None, address: str | None, speeds: Path | None, save: Path | None) -> str:
    """Which options do not go together, or name what is not there; empty where all is well."""
    if nodes is not None and address is not None:
        return "--nodes describes a cluster and --address names one; give one of them"
    if speeds is not None and save is not None:
        return "--speeds takes what was measured and --save-speeds measures; give one of them"
    if save is not None and not save.parent.is_dir():
        return f"--save-speeds: {save.parent} is no folder; make it"
    return ""


def _cluster(nodes: str | None, address: str | None) -> "Cluster":
    """What to plan for.

    Raises:
        typer.BadParameter: the description is none.
        NoCluster: there is none at the address.
    """
    from raysim.engine.machine import reached, this_machine
    from raysim.planning.described import described

    if nodes is None:
        return reached(address) if address else this_machine()
    try:
        return described(nodes)
    except ValueError as error:
        raise typer.BadParameter(f"raysim plan: --nodes: {error}") from error


def _planned(
    trials: Sequence[Trial], cluster: "Cluster", speeds: Path | None, save: Path | None, *, here: bool
) -> "Plan":
    """The plan, by speeds of a file or such as are measured and maybe kept."""
    from raysim.planning.plan import plan_of
    from raysim.planning.speeds import HERE, Meter, Recorded

    if speeds is not None:
        return plan_of(trials, cluster, Recorded(speeds))
    meter = Meter(HERE if here else "")
    found = plan_of(trials, cluster, meter)
    if save is not None:
        meter.save(save)
    return found
