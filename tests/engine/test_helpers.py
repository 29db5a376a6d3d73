import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import ray
from processes import family
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


def commands():
    """Process id -> command line of this process and all below it."""
    lines = {}
    for pid in family():
        with suppress(OSError):  # ended in between
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
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
    (agent,) = [pid for pid, line in commands().items() if "idle.py listen" in line.partition("--")[0]]
    assert [asked("a"), asked("b"), asked("a")] == ["a", "b", "a"]
    assert commands()[agent] == "ray::RuntimeEnvAgent"
