"""The command `raysim plan`."""

import json
from typing import Annotated

import typer

from raysim.cli.files import Files, Overrides, checked
from raysim.cli.start import complain, width
from raysim.engine.environment import ADDRESS_HELP, NoCluster, named, use_own_cluster
from raysim.scenario.errors import ScenarioError


def plan(
    files: Files,
    overrides: Overrides = None,
    nodes: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="A cluster in words: '2x(cpus=32,gpus=4xA100-80,memory=256G),1x(cpus=64)'."),
    ] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help=ADDRESS_HELP)] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Say what scenarios will take before anything starts: places, memory, bytes and time.

    On this machine, on a running cluster, or on one that is only described.
    """
    if nodes is not None and address is not None:
        complain("raysim plan: --nodes describes a cluster and --address names one; give one of them")
        return 2
    studies = checked(files, overrides)
    if studies is None:
        return 2
    if nodes is None:
        address = named(address)
    if address is None:
        use_own_cluster()
    from raysim.engine.machine import reached, this_machine
    from raysim.planning.described import described
    from raysim.planning.plan import as_dict, plan_of
    from raysim.planning.speeds import HERE, Meter
    from raysim.planning.told import told
    from raysim.training.results import ClientFailure

    try:
        cluster = described(nodes) if nodes is not None else reached(address) if address else this_machine()
    except ValueError as error:
        complain(f"raysim plan: --nodes: {error}")
        return 2
    except NoCluster as error:
        complain(str(error))
        return 2
    trials = [trial for study in studies for trial in study]
    try:
        found = plan_of(trials, cluster, Meter(HERE if nodes is None else ""))
    except (ScenarioError, ClientFailure) as error:
        complain(str(error))
        return 2
    typer.echo(json.dumps(as_dict(found)) if json_ else "\n".join(told(found, width())))
    return 2 if found.remarks else 0
