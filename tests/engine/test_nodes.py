"""In the middle of a study a node joins a cluster of three, and another one goes down."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from processes import records
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.ray

FAST = {"initial_delay_ms": 3000, "period_ms": 1000, "timeout_ms": 3000, "failure_threshold": 3}
"""Soon enough, and not so soon that a busy machine is taken for a dead one."""
MORE = ("federation.rounds=40", "federation.local_epochs=8", "federation.clients_per_round=all",
        "federation.checkpoint.every_rounds=5")  # fmt: skip


@pytest.fixture
def nodes():
    folder = Path(tempfile.mkdtemp(prefix="rs"))  # short: Ray's sockets lie below
    (folder / "ray").mkdir()
    each = {"num_cpus": 1, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_TMPDIR", str(folder))
        environment.setenv("RAY_max_direct_call_object_size", "100")  # states lie where they were made, however small
        for name, value in FAST.items():
            environment.setenv(f"RAY_health_check_{name}", str(value))
        made = Cluster(initialize_head=True, head_node_args=each)
        made.each = each
        made.others = [made.add_node(**each) for _ in range(2)]
        made.wait_for_nodes()
        yield made
        made.shutdown()
    shutil.rmtree(folder)


GONE = r"round \d+(, the node of the client actor of .* is gone|: a client actor is not back yet; [23] go on)"
LOST = "the trial goes on from its last checkpoint: a client's private state is lost with"


def commands(node):
    """What runs on a node, as the children of its raylet."""
    raylet = node.all_processes["raylet"][0].process.pid
    pids = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]


def clients(node):
    """How many client actors it has."""
    return sum(c.startswith("ray::Client") for c in commands(node))


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "says"), [("fedavg", GONE), ("scaffold", LOST)])
def test_the_study_ends_as_if_nothing_had_been(nodes, marked, small, algorithm, says):
    settings = [*MORE, f"federation.algorithm={algorithm}"]
    expected = small.run(small.trial(*settings))["records"]
    file, out = Path(small.paths[0]) / "small.yaml", marked.folder / "out"
    options = [word for setting in settings for word in ("--set", setting)]
    with marked.start("run", file, "--out", out, "--address", nodes.address, *options, known=True) as process:
        assert any("round 5/" in line for line in process.stdout)
        joined = nodes.add_node(**nodes.each)
        assert any("round" in line and clients(joined) for line in process.stdout), "it joined for nothing"
        (node, *_) = (n for n in nodes.others if not any(c.startswith("ray::Server") for c in commands(n)))
        assert clients(node)
        nodes.remove_node(node, allow_graceful=False)
        text, err = process.communicate(timeout=150)
    assert process.returncode == 0
    assert "Traceback" not in err  # Ray itself logs a line or two about lost objects
    assert re.search(f"warning: {says}", text)
    assert records(out / "small" / "seed=0") == expected
