"""What follows when a client's process dies, its code raises, or it is late. Pure."""

from typing import Literal

from raysim.scenario.schema import Faults

Fault = Literal["died", "raised", "late"]
STATE_LOST = "a client's private state is lost with the node that kept it"
STORE_FULL = (
    "Ray's object store is full, and so is the disk that it spills to: free some space below Ray's temporary folder, "
    "or give its nodes more object store memory; then go on with --resume"
)
Remedy = Literal["redo", "narrow", "skip", "fail"]


class Stalled(RuntimeError):
    """Something did not answer in time; one line: what was waited for, for how long, which setting to change."""


def one_line(error: Exception) -> str:
    """What an error of Ray's says, or the one that it wraps, without line breaks and walls of frames."""
    text = str(getattr(error, "cause", None) or error)
    if "raised in its creation task" in text:  # frames, and what was raised as the last line
        text = text.strip().splitlines()[-1]
    return " ".join(text.split())[:300]


class TrialLost(RuntimeError):
    """This server actor cannot go on with the trial, but another one can, from the last checkpoint; one line."""


class Severed(TrialLost):
    """Nothing comes to a node, or from it, that this server actor has part in, and nothing will; another one may do."""


def remedy(fault: Fault, failures: int, clients: int, faults: Faults, max_failures: int) -> Remedy:
    """Decides what becomes of some work.

    Args:
        fault: what happened to it.
        failures: how often in a row something has, this time included.
        clients: that take part in it.
        faults: the scenario's policies.
        max_failures: how often in a row it may be done again.

    Returns:
        `redo`: again, unit by unit, so that the next time is known which one it was; `narrow`: again in smaller parts;
        `skip`: the round goes on without its one client; `fail`: the trial has failed.

    Example:
        >>> remedy("died", 1, 8, Faults(), 2), remedy("died", 3, 8, Faults(), 2)
        ('redo', 'fail')
    """
    if fault == "late" and faults.on_timeout == "fail":
        return "fail"
    if fault == "late" and faults.on_timeout == "skip_client":
        return "narrow" if clients > 1 else "skip"
    return "redo" if failures <= max_failures else "fail"
