import os
import sys
from pathlib import Path

import pytest
import ray
from ray._private.node import Node

from raysim.engine.helpers import UNUSED, no_helpers


def test_helpers_start_outside_the_block_alone():
    before = {name: vars(Node)[name] for name in UNUSED}
    with no_helpers():
        assert [getattr(Node, name)(None, include_dashboard=False) for name in UNUSED] == [None] * len(UNUSED)
    assert {name: vars(Node)[name] for name in UNUSED} == before


def test_a_ray_that_starts_them_otherwise_is_left_alone(monkeypatch):
    monkeypatch.delattr(Node, "start_monitor")
    with no_helpers():
        assert not hasattr(Node, "start_monitor")
    assert not hasattr(Node, "start_monitor")


def agents():
    """Process id -> command line of this process's raylet's children that are, or stand for, an agent."""
    lines = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        line = path.read_bytes().replace(b"\0", b" ").decode().strip()
        if "RuntimeEnvAgent" in line or "runtime_env/agent/main.py" in line.partition("raylet_socket_name")[0]:
            lines[int(path.parent.name)] = line
    return lines


@pytest.mark.ray
@pytest.mark.skipif(sys.platform != "linux", reason="agents are left out on Linux")
def test_the_agent_for_environments_starts_when_it_is_asked(local_ray):
    @ray.remote
    def said():
        return os.environ.get("SAID")

    def asked(word):
        return ray.get(said.options(runtime_env={"env_vars": {"SAID": word}}).remote(), timeout=60)

    assert ray.get(said.remote(), timeout=60) is None
    waiting = {pid for pid, line in agents().items() if "idle.py listen" in line}
    assert [asked("a"), asked("b"), asked("a")] == ["a", "b", "a"]
    assert {pid for pid, line in agents().items() if line == "ray::RuntimeEnvAgent"} >= waiting
    assert waiting
