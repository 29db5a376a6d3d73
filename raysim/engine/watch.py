"""Whether a cluster that is not ours is still there.

Ray itself would end this process a minute after it has lost its head, without a word of the study.
"""

import os
import socket
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Protocol

import ray

from raysim.engine.environment import ClusterLost

_ray: Any = ray  # only partly typed
EVERY_S = 1.0
CONNECT_S = 2.0
HEAD_S = 45.0
"""So long a head may be away: one that keeps its state elsewhere can come back. Ray gives up after 60 s."""
ENDED = "Ray on this machine has ended"
NODE_S = 1.0
"""Ray on a node does not come back."""
GRACE_S = 5.0
"""What waits for an answer of Ray that never comes does not hear of it; then the process ends, as it would by Ray."""


@dataclass
class Point:
    """A process of Ray that listens.

    Attributes:
        what: it is, in a sentence.
        at: its address.
        patience_s: how long it may be away.
        seen: when it answered last, by the monotonic clock.
    """

    what: str
    at: tuple[str, int]
    patience_s: float
    seen: float

    def gone(self) -> bool:
        """Looks for it; whether it has been away for too long."""
        with suppress(OSError):
            socket.create_connection(self.at, CONNECT_S).close()
            self.seen = time.monotonic()
        return time.monotonic() - self.seen > self.patience_s


class Check(Protocol):
    """Raises ClusterLost once the cluster is gone; `closely` asks the cluster itself, since something has died."""

    def __call__(self, *, closely: bool = False) -> None:
        """Looks."""
        ...


def always_there(*, closely: bool = False) -> None:
    """Of a cluster of our own, which ends with this process."""


@contextmanager
def watching(address: str | None, again: str) -> Generator[Check]:
    """Looks, in a thread, for the cluster's head and for Ray on this node; nothing where the cluster is our own.

    Args:
        address: the cluster's; None for our own.
        again: the command to go on with the study.

    Yields:
        What raises ClusterLost once one of them is gone.
    """
    if address is None:
        yield always_there
        return
    over, told, lost = Event(), Event(), list[str]()

    def line(what: str) -> str:
        return f"the Ray cluster at '{address}' is lost: {what}; go on, once it is there: {again}"

    def watch() -> None:
        points = _points()
        while not over.wait(EVERY_S):
            gone = [point.what for point in points if point.gone()]
            if gone:
                lost.append(line(gone[0]))
                break
        if lost and not (told.wait(GRACE_S) or over.is_set()):
            with suppress(OSError):
                sys.stderr.write(f"{lost[0]}\n")
                sys.stderr.flush()
            os._exit(1)

    def check(*, closely: bool = False) -> None:
        if closely and not _own_node()["Alive"]:
            lost.append(line(ENDED))
        if lost:
            told.set()
            raise ClusterLost(lost[0])

    Thread(target=watch, daemon=True).start()
    try:
        yield check
    finally:
        over.set()


def _points() -> list[Point]:
    now = time.monotonic()
    context: Any = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    head = Point(f"its head has not answered for {HEAD_S:g} s", (host.strip("[]"), int(port)), HEAD_S, now)
    node = _own_node()
    own = Point(ENDED, (node["NodeManagerAddress"], node["NodeManagerPort"]), NODE_S, now)
    return [own, head]


def _own_node() -> Mapping[str, Any]:
    here = ray.get_runtime_context().get_node_id()
    return next(each for each in _ray.nodes() if each["NodeID"] == here)
