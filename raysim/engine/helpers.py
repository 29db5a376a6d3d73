"""Ray's processes on a cluster of our own: helpers that it does without, and where its workers come from."""

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from subprocess import list2cmdline
from typing import Any

import ray

from raysim.engine import idle, newborn
from raysim.engine.bound import LOOPBACK
from raysim.engine.nursery import SOCKET

UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""What starts the autoscaler's monitor, the log monitor and the dashboard's server: 40 to 60 MB and half a second each.

Nobody asks for more nodes here, logs stay in their files, and there is no dashboard.
"""
FIGURES, ENVIRONMENTS = "--dashboard_agent_command", "--runtime_env_agent_command"
"""The raylet's options that say what starts its agents, 50 MB each.

At figures nobody looks here, and an environment of its own is what a user's task may ask for, and nothing of ours does.
"""
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
"""The raylet waits until that agent has said where it listens: not at all."""

_ray: Any = ray  # only partly typed


@contextmanager
def no_helpers() -> Generator[None]:
    """A head node that starts in the block has no unused helpers. A Ray that starts them otherwise has them as ever."""
    node = _node()
    before: dict[str, Any] = {n: vars(node)[n] for n in UNUSED if hasattr(node, n)}
    for name in before:
        setattr(node, name, _nothing)
    try:
        yield
    finally:
        for name, start in before.items():
            setattr(node, name, start)


@contextmanager
def lean(folder: Path) -> Generator[None]:
    """A head node that starts in the block has no agents, and its workers come from the folder's nursery.

    Ray wants processes in the agents' places; that for environments becomes one when it is asked. Where there is no
    nursery, or with another Ray, all is as ever.
    """
    services: Any = getattr(_ray._private, "services", None)
    node, variables = _node(), (newborn.NURSERY, newborn.SETUP)
    start_raylet: Any = getattr(node, "start_raylet", None)
    start_process: Any = getattr(services, "start_ray_process", None)

    def start(self: Any, *words: Any, **more: Any) -> None:
        parameters = self._ray_params
        os.environ |= dict(zip(variables, (str(folder / SOCKET), parameters.setup_worker_path), strict=True))
        parameters.setup_worker_path = newborn.__file__
        parameters.runtime_env_agent_port = reserved.getsockname()[1]
        for name in PORTS:
            _ray._raylet.persist_port(self._session_dir, self._node_id, name, -1)
        start_raylet(self, *words, **more)

    def start_without(command: list[str], *words: Any, **more: Any) -> Any:
        return start_process([_idle(word) for word in command], *words, **more)

    if start_raylet is None or start_process is None or not (folder / SOCKET).exists():
        yield
        return
    node.start_raylet, services.start_ray_process = start, start_without
    try:
        with socket.socket() as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so may others that listen there
            reserved.bind((LOOPBACK, 0))
            yield
    finally:
        node.start_raylet, services.start_ray_process = start_raylet, start_process
        for variable in variables:
            os.environ.pop(variable, None)


def _idle(word: str) -> str:
    """A word of the raylet's command line, with another command for an agent."""
    option, _, command = word.partition("=")
    if option not in (FIGURES, ENVIRONMENTS):
        return word
    instead = f"{option}={list2cmdline((sys.executable, '-I', '-S', idle.__file__))}"
    return f"{instead} {idle.LISTEN} {command}" if option == ENVIRONMENTS else f"{instead} {idle.WAIT}"


def _node() -> Any:
    return getattr(getattr(_ray._private, "node", None), "Node", None)


def _nothing(*_: Any, **__: Any) -> None:
    """Starts nothing."""
