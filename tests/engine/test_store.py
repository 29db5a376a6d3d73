"""Private states of clients that do not fit Ray's object store."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from processes import records
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.ray

STORE_BYTES = 80_000_000
SETTINGS = (  # 18 million bytes of networks, three times as much for each of six clients
    "model.dim=1024", "federation.optimizer={name: adam, lr: 0.001, persistent: true}", "federation.algorithm=scaffold",
    "federation.rounds=2", "federation.clients_per_round=all", "evaluation.every_rounds=2",
    "federation.checkpoint.every_rounds=1",
)  # fmt: skip


@pytest.fixture
def run(marked, small):
    """Runs the study on a node with a small object store, and with a disk that is said to be full."""

    def run(**settings):
        file, out = Path(small.paths[0]) / "small.yaml", marked.folder / "out"
        folder = Path(tempfile.mkdtemp(prefix="rs"))  # short: Ray's sockets lie below
        (folder / "ray").mkdir()
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {"TMPDIR": folder / "ray", **settings}.items():
                environment.setenv(f"RAY_{name}", str(value))
            node = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": STORE_BYTES}
            cluster = Cluster(initialize_head=True, head_node_args=node)
            options = [word for setting in SETTINGS for word in ("--set", setting)]
            found = marked.run("run", file, "--out", out, "--address", cluster.address, *options, known=True)
            cluster.shutdown()
        shutil.rmtree(folder)
        return (*found, out / "small" / "seed=0")

    return run


@pytest.mark.slow
def test_they_are_spilled_to_the_disk_and_nothing_changes(run, small):
    status, _, err, folder = run()
    assert (status, err) == (0, "")
    assert records(folder) == small.run(small.trial(*SETTINGS))["records"]


@pytest.mark.slow
def test_if_that_is_full_too_the_trial_fails_and_says_so(run):
    status, text, _, folder = run(local_fs_capacity_threshold=0.01)
    assert status == 1
    error = json.loads((folder / "summary.json").read_text())["error"]
    assert error.startswith("Ray's object store is full, and so is the disk that it spills to: free some space below")
    assert error in text
    assert "Traceback" not in text
