"""Ray's processes beside those that compute: which of them a cluster of our own does without."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

_ray: Any = ray  # only partly typed
UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""What starts the autoscaler's monitor, the log monitor and the dashboard's server: 40 to 60 MB and half a second each.

Nobody asks for more nodes here, logs stay in their files, and there is no dashboard.
"""
AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")
"""What tells a node's own service how to start its two agents: 50 MB each.

One serves the dashboard; the other makes environments for processes that ask for one, and ours never do: a node without
it would end. What a Ray job hands to its driver may ask, and then both are there.
"""
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
PORTS = (
    "DASHBOARD_AGENT_LISTEN_PORT_NAME", "METRICS_AGENT_PORT_NAME", "METRICS_EXPORT_PORT_NAME",
    "RUNTIME_ENV_AGENT_PORT_NAME",
)  # fmt: skip
"""Agents write down where they listen, and the node's service waits for that."""
NOBODY = 1024
"""Where none listens; Ray takes no smaller number."""
STAND_IN = """
parent=$PPID
while kill -0 "$parent" 2>/dev/null; do sleep 1; done
"""
"""The node's service ends when an agent does, so something has to be there, as long as that is: it takes 1 MB."""


@contextmanager
def no_helpers() -> Generator[None]:
    """A head node that starts in the block has no unused helpers. A Ray that starts them otherwise has them as ever."""
    private: Any = _ray._private
    node, services = getattr(private.node, "Node", None), private.services
    instead: dict[tuple[Any, str], Any] = {(node, name): _nothing for name in UNUSED if hasattr(node, name)}
    if JOB not in os.environ and all(hasattr(_ray._raylet, name) for name in (*PORTS, "persist_port")):
        instead[services, "start_ray_process"] = _without_agents(services.start_ray_process)
    before: dict[tuple[Any, str], Any] = {(owner, name): vars(owner)[name] for owner, name in instead}
    for (owner, name), start in instead.items():
        setattr(owner, name, start)
    try:
        yield
    finally:
        for (owner, name), start in before.items():
            setattr(owner, name, start)


def _nothing(*_: Any, **__: Any) -> None:
    """Starts nothing."""


def _without_agents(start: Any) -> Any:
    """Ray's own function that starts a process, for a node's service without agents."""

    def started(command: list[str], *arguments: Any, **more: Any) -> Any:
        said: dict[str, str] = {}
        for word in command:
            key, _, value = word.partition("=")
            said[key] = value
        if all(word in said for word in (*AGENTS, "--session_dir", "--node_id")):
            script = Path(said["--session_dir"], "stand_in.sh")
            script.write_text(STAND_IN, encoding="utf-8")
            raylet = _ray._raylet
            for name in PORTS:
                raylet.persist_port(said["--session_dir"], said["--node_id"], getattr(raylet, name), NOBODY)
            stand_in = {agent: f"{agent}=/bin/sh {script}" for agent in AGENTS}
            command = [stand_in.get(word.partition("=")[0], word) for word in command]
        return start(command, *arguments, **more)

    return started
