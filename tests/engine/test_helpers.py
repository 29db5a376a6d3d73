import subprocess
import time
from pathlib import Path

from ray._private import services
from ray._private.node import Node

from raysim.engine.helpers import AGENTS, JOB, NOBODY, STAND_IN, UNUSED, no_helpers


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


RAYLET = [
    "raylet", "--node_id=n1", "--dashboard_agent_command=python a.py --port=1", "--runtime_env_agent_command=python",
]  # fmt: skip


def test_a_node_has_a_stand_in_for_its_agents(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(services, "start_ray_process", lambda command, *_, **__: said.append(command))
    with no_helpers():
        services.start_ray_process([*RAYLET, f"--session_dir={tmp_path}"], "raylet")
        services.start_ray_process(["gcs_server", f"--session_dir={tmp_path}"], "gcs_server")
    assert said == [
        [*RAYLET[:2], *(f"{a}=/bin/sh {tmp_path}/stand_in.sh" for a in AGENTS), f"--session_dir={tmp_path}"],
        ["gcs_server", f"--session_dir={tmp_path}"],
    ]  # fmt: skip
    written = {file.read_text() for file in tmp_path.iterdir() if file.suffix != ".sh"}
    assert written == {str(NOBODY)}


def test_a_job_of_ray_keeps_the_agents(monkeypatch):
    monkeypatch.setenv(JOB, "{}")
    before = services.start_ray_process
    with no_helpers():
        assert services.start_ray_process is before


def test_a_stand_in_ends_with_its_node(tmp_path):
    (tmp_path / "stand_in.sh").write_text(STAND_IN)
    node = subprocess.run(
        ["/bin/sh", "-c", "/bin/sh stand_in.sh >/dev/null 2>&1 & echo $!"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    stand_in, until = Path("/proc", node.stdout.strip()), time.monotonic() + 10
    while stand_in.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not stand_in.exists()
