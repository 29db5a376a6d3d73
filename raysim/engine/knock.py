"""Whether a Ray cluster answers at an address and takes us, asked before Ray's own client is: one line where not.

Ray itself would try for minutes and log each attempt.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from raysim.engine.environment import NobodyThere, NoCluster, named

CONNECT_S = 4.0
ANSWER_S = 60.0
"""By then the probe has ended by itself, unless Ray cannot even be imported."""
_PROBE = Path(__file__).with_name("probe.py")
_PLACE = re.compile(r"(?P<host>\[.+\]|[^:\[\]]+):(?P<port>\d{1,5})")
_TOKEN = "it must be the head's: in ~/.ray/auth_token, or where RAY_AUTH_TOKEN_PATH says"
_STALE = "the one that was started here last"
_JOIN = "run raysim on one of its nodes, or make this machine one: ray start --address={at}"


def meant(address: str | None) -> tuple[str | None, str]:
    """The Ray cluster that a command is for, by `named`, and what its user has to know of that.

    Where RAY_ADDRESS alone names one, and nothing answers there, it is one of our own: what such a variable was once
    set for may be long gone, and the bits are the same.

    Returns:
        What `named` has; and a warning, empty where there is none.

    Raises:
        NoCluster: the cluster that RAY_ADDRESS names cannot be used.
    """
    at = named(address)
    if address is not None or at in (None, "auto"):
        return at, ""
    try:
        knock(at)
    except NobodyThere as error:
        return None, f"RAY_ADDRESS: {error}, or unset it; until then Ray is started here, on this machine alone"
    return at, ""


def knock(address: str) -> None:
    """Comes back if a study can run on a cluster.

    Args:
        address: `auto` for that of this machine, or HOST:PORT.

    Raises:
        NoCluster: it cannot, in one line: what, where, what to do; `NobodyThere` where nothing answers.
    """
    if address != "auto":
        _reach(address)
    found = _asked(address)
    at = found.get("at", address)
    if (reason := found.get("nothing")) is not None:
        raise NoCluster(f"no Ray cluster on this machine; start one (ray start --head), or say HOST:PORT: {reason}")
    if "silent" in found:
        if address == "auto":
            raise NoCluster(f"no Ray cluster answers at '{at}', {_STALE}; start it again (ray stop, then ray start)")
        raise NobodyThere(
            f"what listens at '{address}' is not the head of a Ray cluster; say the port of its `ray start --head`: "
            "6379, if it was given none"
        )
    if "token" in found:
        raise NoCluster(_of_token(at, found["token"], found["mode"]))
    if "versions" in found:
        (ray, python), (our_ray, our_python) = found["versions"]
        raise NoCluster(
            f"the Ray cluster at '{at}' runs Ray {ray} on Python {python}, and here are Ray {our_ray} and Python "
            f"{our_python}; install the same versions on all machines"
        )
    if found["member"] is None:
        raise NoCluster(f"no node of the Ray cluster at '{at}' is on this machine; {_JOIN.format(at=at)}")


def _reach(address: str) -> None:
    """Whether something listens at HOST:PORT.

    Raises:
        NobodyThere: nothing does.
        NoCluster: that is no such address.
    """
    if "://" in address:
        raise NoCluster(
            f"'{address}' is for Ray's clients and jobs; give --address auto or HOST:PORT on a node of the cluster, "
            "without ://, or hand the command in by `ray job submit`"
        )
    place = _PLACE.fullmatch(address)
    if place is None:
        raise NoCluster(f"'{address}' is no address of a Ray cluster; say auto, or HOST:PORT of its head")
    try:
        socket.create_connection((place["host"].strip("[]"), int(place["port"])), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise NobodyThere(
            f"no Ray cluster at '{address}': {error}; start it there, or say where its head is"
        ) from error


def _asked(address: str) -> dict[str, Any]:
    """What the probe says; `silent` where nothing answered it.

    Raises:
        NoCluster: it failed otherwise.
    """
    command = [sys.executable, "-P", str(_PROBE), address]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"silent": True}
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line) if line.startswith("{") else {}
    if done.returncode == -signal.SIGALRM:
        return {**found, "silent": True}
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise NoCluster(f"no Ray cluster at '{address}': {' '.join(told[-1].split())[:300]}")
    return found


def _of_token(at: str, state: str, mode: str) -> str:
    if mode != "token":
        return f"the Ray cluster at '{at}' asks for a token; export RAY_AUTH_MODE=token, and have the token: {_TOKEN}"
    if state == "absent":
        return f"there is no token for the Ray cluster at '{at}'; {_TOKEN}"
    return f"the Ray cluster at '{at}' refuses the token; {_TOKEN}"
