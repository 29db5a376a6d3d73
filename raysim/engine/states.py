"""Clients' private states in Ray's store: bundles of them, and handles that say which bundle has which client.

Handles travel as arguments only: Ray (2.60, measured) never frees objects whose references were part of an answer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from raysim.simulation.executor import Handle
from raysim.training.results import ClientState

_ray: Any = ray  # only partly typed
BUNDLE_BYTES = 8_000_000
"""Restored states are handed out in bundles of about this size; an actor takes whole bundles."""


def this_node() -> str:
    """The id of the node on which this process runs."""
    return _ray.get_runtime_context().get_node_id()


class StateLost(RuntimeError):
    """A client's private state has gone with the process or node that kept it, or does not come."""


def fetched(handles: Mapping[int, Handle], timeout_s: float | None = None) -> dict[int, ClientState]:
    """The states of some clients, without a copy where their bundles are in this node's store.

    Raises:
        StateLost: one is not to be had, or not in time.
    """
    bundles = list({reference for reference, _ in handles.values()})
    try:
        found = dict(zip(bundles, _ray.get(bundles, timeout=timeout_s), strict=True)) if bundles else {}
    except RayError as error:
        raise StateLost(str(error)) from error
    return {client: found[reference][client] for client, (reference, _) in handles.items()}


def handed_out(clients: Mapping[int, ClientState]) -> Iterator[tuple[int, Handle]]:
    """Puts states into the store; each client with its handle."""
    bundle: dict[int, ClientState] = {}
    size = 0
    for number, (client, state) in enumerate(clients.items(), 1):
        bundle[client] = state
        size += sum(a.nbytes for a in state.values())
        if size >= BUNDLE_BYTES or number == len(clients):
            reference = _ray.put(bundle)
            yield from ((c, (reference, c)) for c in bundle)
            bundle, size = {}, 0
