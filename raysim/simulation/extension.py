"""Whether a trial can go on to more rounds than it was begun with: nothing so far may depend on their number."""

import ast
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysim.method import Phase, Train
from raysim.scenario.schedule import AnySchedule, Cosine, Warmup
from raysim.scenario.schema import Scenario

SHARE = "progress"
"""Of `Clock`: the share of all rounds that is done."""


def misfit(done: int, was: Scenario, phases: Sequence[Phase], authors: Sequence[type[Any]]) -> str:
    """Why a trial must begin anew; empty where its rounds are those that a longer trial would have had.

    Args:
        done: rounds that it has.
        was: the scenario that they were computed with.
        phases: the method's.
        authors: classes whose code may ask for the share of all rounds that is done.
    """
    growing = next((i for i, phase in enumerate(phases) if phase.rounds is None), None)
    if growing is None:
        return ""
    start = sum(phase.rounds or 0 for phase in phases[:growing])
    if done > start + was.federation.rounds:
        return f"round {done} is of a phase after '{phases[growing].name}', which is longer now"
    objectives = [o for stage in phases[growing].stages if isinstance(stage, Train) for o in stage.objectives]
    schedules = [(o.optimizer or was.federation.optimizer).schedule for o in objectives]
    if done > start and any(_needs_length(schedule) for schedule in schedules):
        return "the learning rate's cosine depends on the number of rounds; set its t_max to go on"
    asking = next((kind for kind in authors if _asks(kind)), None)
    return "" if asking is None else f"{asking.__name__} asks for clock.{SHARE}, which depends on the number of rounds"


def _needs_length(schedule: AnySchedule) -> bool:
    last = schedule.then if isinstance(schedule, Warmup) else schedule
    return isinstance(last, Cosine) and last.t_max is None


def _asks(kind: type[Any]) -> bool:
    """Whether the file of a class, or of a class that it extends, reads an attribute of that name."""
    files = {inspect.getsourcefile(base) for base in kind.__mro__ if base is not object}
    trees = [ast.parse(Path(file).read_bytes()) for file in sorted(f for f in files if f is not None)]
    return any(isinstance(node, ast.Attribute) and node.attr == SHARE for tree in trees for node in ast.walk(tree))
