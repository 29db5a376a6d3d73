"""An existing cluster of two nodes, each with a GPU that only Ray believes in."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from raysim.engine.placement import plan_actors
from raysim.engine.session import NoCluster, cluster

pytestmark = pytest.mark.ray

SETTINGS = (
    "method={name: feature_imputation, layers: 1, heads: 2, hidden: 16}", "federation.algorithm=scaffold",
    "placement.gpus_per_client=0.25", "federation.clients_per_round=all",
)  # fmt: skip


@pytest.fixture(scope="module")
def address():
    folder = Path(tempfile.mkdtemp(prefix="rs"))  # short: Ray's sockets lie below
    (folder / "ray").mkdir()
    both = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_TMPDIR", str(folder))  # also where `auto` looks
        nodes = Cluster(initialize_head=True, head_node_args=both)
        nodes.add_node(**both)
        nodes.wait_for_nodes()
        yield nodes.address
        nodes.shutdown()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def expected(small):
    return small.run(small.trial(*SETTINGS))


def where(_):
    return ray.get_runtime_context().get_node_id(), ray.get_runtime_context().get_assigned_resources()["GPU"]


def test_actors_share_the_gpus_of_both_nodes_and_change_no_bit(address, small, expected):
    trial = small.trial(*SETTINGS)
    with cluster("auto") as seen:
        assert str(seen) == "4 cores, 2 GPUs, 2 nodes"
        pool = small.pool(plan_actors(trial.scenario.placement, 6, seen, device="cpu"))
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
        places = ray.get([actor.__ray_call__.remote(where) for actor in pool.actors], timeout=60)
        assert {share for _, share in places} == {0.25}
        assert sorted(Counter(node for node, _ in places).values()) in ([2, 4], [3, 3])
        assert not pool.cuda
        assert small.run(trial, pool) == expected
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        pool.close()


def test_the_command_runs_on_it_and_leaves_it_alone(address, small, expected, tmp_path):
    out = tmp_path / "out"
    file = Path(small.paths[0]) / "small.yaml"
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from raysim.cli.app import main; sys.exit(main())", "run", str(file),
         "--out", str(out), "--address", address, *(a for s in SETTINGS for a in ("--set", s))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    said = "reading the data of 1 trial and reaching Ray\n"
    assert done.stdout.startswith(f"{said}1 trial -> {out} (4 cores, 2 GPUs, 2 nodes)\n")
    assert "6 clients on 6 actors, stack 1, cpu" in done.stdout
    lines = (out / "small" / "seed=0" / "metrics.jsonl").read_text().splitlines()
    assert [small.timeless(json.loads(line)) for line in lines] == expected["records"]
    with cluster(address) as seen:
        assert str(seen) == "4 cores, 2 GPUs, 2 nodes"


def test_nothing_at_an_address_is_said_at_once():
    line = (
        r"^no Ray cluster at '127.0.0.1:1': \[Errno 111\] Connection refused; start it there, or say where its head is$"
    )
    with pytest.raises(NoCluster, match=line), cluster("127.0.0.1:1"):
        pass
