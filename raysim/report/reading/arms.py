"""Arms: how a scenario's trials are told apart, and which grid key does it."""

import math
from collections.abc import Sequence

from raysim.report.events import TrialInfo
from raysim.report.text import label
from raysim.scenario.identity import is_condition


class UnknownArm(ValueError):
    """There is no such arm to compare with; one line."""


def matrix_axes(trials: Sequence[TrialInfo]) -> tuple[str, str] | None:
    """(lines, columns) among the grid's keys; None where there are not two that vary.

    Lines are the arms or methods, or else the first key that is no condition of all of them; columns the last of the
    others that is all numbers, or the last at all.
    """
    keys = list(dict.fromkeys(k for t in trials for k in t.grid))
    if any(k not in t.grid for t in trials for k in keys):
        return None
    varied = [k for k in keys if len({t.grid[k] for t in trials}) > 1]
    if len(varied) < 2:
        return None
    chosen = [k for k in varied if not is_condition(k)]
    lines = next((k for k in ("arm", "method") if k in varied), next(iter(chosen), varied[0]))
    others = [k for k in varied if k != lines]
    numeric = [k for k in others if all(is_number(t.grid[k]) for t in trials)]
    return lines, (numeric or others)[-1]


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def arm_of(trial: TrialInfo, trials: Sequence[TrialInfo]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A trial's arm, and what its grid says besides as (key, value) pairs.

    Args:
        trial: one of them.
        trials: of its scenario.
    """
    axes = matrix_axes(trials)
    if axes is None:
        varied = [k for k in trial.grid if len({t.grid.get(k) for t in trials}) > 1]
        told = trial.grid[varied[0]] if len(varied) == 1 else label({k: trial.grid[k] for k in varied or trial.grid})
        return told, ()
    return trial.grid[axes[0]], tuple((k, v) for k, v in trial.grid.items() if k != axes[0])
