"""Clients' private states in Ray's store: bundles of them, and handles that say which bundle has which client.

Handles travel as arguments only: Ray (2.60, measured) never frees objects whose references were part of an answer.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from raysim.engine.membership import LOOK_S, Membership, this_node
from raysim.simulation.executor import Handle
from raysim.training.results import ClientState

_ray: Any = ray  # only partly typed
BUNDLE_BYTES = 8_000_000
"""Restored states are handed out in bundles of about this size; an actor takes whole bundles."""
AT_HAND_S = 60.0
"""How long a get may take of what is in this node's store, or on the disk that it spills to."""
COPY_S = 2.0
"""How long to wait for another node's copy of a bundle whose node is dead."""


class StateLost(RuntimeError):
    """A client's private state has gone with the process or node that kept it, or does not come."""


def fetched(handles: Mapping[int, Handle], timeout_s: float | None = None) -> dict[int, ClientState]:
    """The states of some clients, without a copy where their bundles are in this node's store.

    Args:
        handles: client -> (reference to a dict of states, the node on which it was made).
        timeout_s: how long to wait; None for as long as its node lives.

    Raises:
        StateLost: one is not to be had, or not in time.
    """
    bundles: dict[Any, str] = dict(handles.values())
    _arrived(bundles, timeout_s)
    try:
        found = dict(zip(bundles, _ray.get(list(bundles), timeout=AT_HAND_S), strict=True)) if bundles else {}
    except RayError as error:
        raise StateLost(str(error)) from error
    return {client: found[reference][client] for client, (reference, _) in handles.items()}


def handed_out(clients: Mapping[int, ClientState]) -> Iterator[tuple[int, Handle]]:
    """Puts states into the store; each client with its handle."""
    bundle: dict[int, ClientState] = {}
    size, here = 0, this_node()
    for number, (client, state) in enumerate(clients.items(), 1):
        bundle[client] = state
        size += sum(a.nbytes for a in state.values())
        if size >= BUNDLE_BYTES or number == len(clients):
            reference = _ray.put(bundle)
            yield from ((c, (reference, here)) for c in bundle)
            bundle, size = {}, 0


def _arrived(bundles: Mapping[Any, str], timeout_s: float | None) -> None:
    """Waits until all are in this node's store. One that is half here when its node dies never comes, nor an error.

    Raises:
        StateLost: the node of one is dead, or it does not come in time.
    """
    here = this_node()
    waiting = [reference for reference, node in bundles.items() if node != here]
    if not waiting:
        return
    membership, began, seen_s = Membership(), time.monotonic(), None
    while waiting:
        _, waiting = _ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_S)
        now = time.monotonic()
        if membership.dead(bundles[reference] for reference in waiting):
            seen_s = now if seen_s is None else seen_s
            if now > seen_s + COPY_S:
                raise StateLost("its node is dead")
        if waiting and timeout_s is not None and now > began + timeout_s:
            raise StateLost(f"not here within {timeout_s:g} s")
