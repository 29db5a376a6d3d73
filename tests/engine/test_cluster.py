"""An existing cluster: a head with cores alone, and two nodes with one core and a GPU that only Ray believes in."""

import json
import re
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

from raysim.engine import ray_executor
from raysim.engine.calls import Training
from raysim.engine.placement import plan_actors, plan_evaluators
from raysim.engine.session import NoCluster, cluster
from raysim.engine.shipping import Code
from raysim.engine.study import start_server
from raysim.simulation.prepare import prepare
from raysim.training.job import Job

pytestmark = pytest.mark.ray

SETTINGS = (
    "method={name: feature_imputation, layers: 1, heads: 2, hidden: 16}", "federation.algorithm=scaffold",
    "placement.gpus_per_client=0.5", "federation.clients_per_round=all",
)  # fmt: skip

MAIN = "import sys; from raysim.cli.app import main; sys.exit(main())"


@pytest.fixture(scope="module")
def address():
    folder = Path(tempfile.mkdtemp(prefix="rs"))  # short: Ray's sockets lie below
    (folder / "ray").mkdir()
    head, other = {"num_cpus": 6, "include_dashboard": False}, {"num_cpus": 1, "num_gpus": 1}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_TMPDIR", str(folder))  # also where `auto` looks
        nodes = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            nodes.add_node(**other)
        nodes.wait_for_nodes()
        yield nodes.address
        nodes.shutdown()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def expected(small):
    return small.run(small.trial(*SETTINGS))


def where(_):
    return ray.get_runtime_context().get_node_id(), ray.get_runtime_context().get_assigned_resources().get("GPU", 0)


def test_actors_share_the_gpus_of_both_nodes_and_change_no_bit(address, small, expected):
    trial = small.trial(*SETTINGS)
    with cluster("auto") as seen:
        assert str(seen) == "8 cores, 2 GPUs, 3 nodes"
        pool = small.pool(plan_actors(trial.scenario.placement, 6, seen, device="cpu"))
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
        places = ray.get([actor.__ray_call__.remote(where) for actor in pool.actors], timeout=60)
        assert {share for _, share in places} == {0.5}
        head, *others = (node.id for node in seen.nodes)
        assert head == ray.get_runtime_context().get_node_id()
        assert Counter(node for node, _ in places) == dict.fromkeys(others, 2)
        assert not pool.cuda
        assert small.run(trial, pool) == expected
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        pool.close()


def test_the_command_runs_on_it_and_leaves_it_alone(address, small, expected, tmp_path):
    out = tmp_path / "out"
    file = Path(small.paths[0]) / "small.yaml"
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "run", str(file),
         "--out", str(out), "--address", address, *(a for s in SETTINGS for a in ("--set", s))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    said = "reading the data of 1 trial and reaching Ray\n"
    assert done.stdout.startswith(f"{said}1 trial -> {out} (8 cores, 2 GPUs, 3 nodes)\n")
    assert "6 clients on 4 actors, stack 1, cpu" in done.stdout
    lines = (out / "small" / "seed=0" / "metrics.jsonl").read_text().splitlines()
    assert [small.timeless(json.loads(line)) for line in lines] == expected["records"]
    with cluster(address) as seen:
        assert str(seen) == "8 cores, 2 GPUs, 3 nodes"


def test_servers_sit_beside_the_driver(address):
    with cluster(address) as seen:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        servers = [start_server(Code(), seen.nodes[0].id) for _ in range(3)]
        places = ray.get([server.__ray_call__.remote(where) for server in servers], timeout=60)
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        assert {node for node, _ in places} == {seen.nodes[0].id}
        for server in servers:
            ray.kill(server)


def test_nodes_without_a_gpu_are_to_evaluate(address):
    with cluster("auto") as seen:
        assert plan_evaluators(seen, slots=2, slot=1) == (seen.nodes[0].id,) * 3


@pytest.mark.slow
def test_nodes_without_a_gpu_evaluate(address, small, tmp_path):
    settings = (*SETTINGS, "numerics.evaluation_device=cpu", "evaluation.every_rounds=1")
    trial = small.trial(*SETTINGS, "evaluation.every_rounds=1")
    out, file = tmp_path / "out", Path(small.paths[0]) / "small.yaml"
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "run", str(file), "--out", str(out), "--address", address, "--progress", "plain",
         *(a for s in settings for a in ("--set", s))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 clients on 4 actors, stack 1, cpu, 0.5 GPU each, evaluated by 6 on CPUs" in done.stdout
    lines = (out / "small" / "seed=0" / "metrics.jsonl").read_text().splitlines()
    assert [small.timeless(json.loads(line)) for line in lines] == small.run(trial)["records"]


@pytest.mark.slow
def test_groups_go_where_clients_need_them(address, small, monkeypatch):
    """FedRecon's decoders and mappings reach those that have the modalities; all sizes count as large."""
    settings = ("method={name: mvae_mapping, latent: 4, hidden: 8, map_hidden: 8, channels: [4]}",
                "missing={name: per_client, rate: 0.6, empty: keep_one}", "placement.gpus_per_client=0.25",
                "federation.rounds=2", "evaluation.every_rounds=2")  # fmt: skip
    trial, travels = small.trial(*settings), []
    monkeypatch.setattr(ray_executor, "SMALL_BYTES", 0)
    send = Training.send
    monkeypatch.setattr(Training, "send", lambda self, actor: travels.append(self) or send(self, actor))
    job = Job(trial, prepare(trial).data)
    with cluster("auto") as seen:
        pool = small.pool(plan_actors(trial.scenario.placement, 6, seen, device="cpu"))
        assert small.run(trial, pool) == small.run(trial)
        pool.close()
    assert job.closed
    for call in travels:
        assert set(call.message.groups) == {n for n, reaches in job.closed.items() if any(map(reaches, call.clients))}
    assert len({frozenset(call.message.groups) for call in travels}) > 1


class Busy:
    """Holds something."""

    def ready(self):
        return True


@pytest.mark.slow
def test_a_busy_cluster_is_refused_or_waited_for(address, small, tmp_path):
    def run(*words):
        file, settings = Path(small.paths[0]) / "small.yaml", (*SETTINGS, "placement.gpus_per_client=1")
        command = (sys.executable, "-c", MAIN, "run", str(file), "--address", address, "--progress", "plain")
        options = (word for setting in settings for word in ("--set", setting))
        return subprocess.Popen([*command, *words, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with cluster(address):
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        holders = [ray.remote(Busy).options(num_cpus=0, num_gpus=1).remote() for _ in range(2)]
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        ray.get([holder.ready.remote() for holder in holders], timeout=60)
        refused = run("--out", str(tmp_path / "refused"))
        waits = run("--out", str(tmp_path / "waits"), "--wait-for", "200")
        out, err = refused.communicate(timeout=120)
        assert refused.returncode == 2, out + err
        reason = "no room for 1 client actor with 1 GPU each: 8 of 8 cores are free, 0 of 2 GPUs"
        assert re.search(rf"placement: {reason}, beside '.+' on [\d.]+; wait for it with --wait-for SECONDS$", err)
        assert err.count("\n") == 1
        assert any(line == f"waiting for room on the cluster: {reason}\n" for line in waits.stdout)
        for holder in holders:
            ray.kill(holder)
        out, err = waits.communicate(timeout=150)
        assert (waits.returncode, err) == (0, "")
        assert "6 clients on 2 actors, stack 1, cpu, 1 GPU each" in out


def test_nothing_at_an_address_is_said_at_once():
    line = (
        r"^no Ray cluster at '127.0.0.1:1': \[Errno 111\] Connection refused; start it there, or say where its head is$"
    )
    with pytest.raises(NoCluster, match=line), cluster("127.0.0.1:1"):
        pass
