"""What processes take does not grow with the rounds, nor the server's with the clients."""

import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from memory import Watch
from processes import records

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TESTS = Path(__file__).parent
MANY = TESTS.parent / "scenarios" / "many_clients.yaml"
MB = 2**20


def private_bytes(pid):
    """What a process has for itself: shared memory and libraries do not count."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) * 1024


@pytest.fixture
def watched(marked):
    """Runs a study and looks at its processes when some rounds are done: role -> bytes at each of them."""

    def watched(file, rounds, *settings):
        options = [w for s in (*settings, f"federation.rounds={rounds[-1] + 50}") for w in ("--set", s)]
        found = {}
        with marked.start("run", file, "--out", marked.folder / f"out{rounds[0]}", *options) as process:
            for round_ in rounds:
                assert any(f"  round {round_}/" in line for line in process.stdout), process.stderr.read()
                actors = {kind: max(map(private_bytes, marked.actors(kind))) for kind in ("Client", "Server")}
                for role, size in {**actors, "driver": private_bytes(process.pid)}.items():
                    found.setdefault(role, []).append(size)
            process.terminate()
            process.communicate(timeout=60)
        shutil.rmtree(marked.folder / f"out{rounds[0]}")
        return found

    return watched


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_thousand_rounds_more_take_no_more(watched, marked, algorithm):
    material = TESTS / "engine" / "material"
    shutil.copy(material / "ray_material.py", marked.folder)
    shutil.copy(material / "small.yaml", marked.folder)
    settings = (
        f"federation.algorithm={algorithm}",
        "federation.optimizer={name: sgd, lr: 0.005}",
        "federation.checkpoint.every_rounds=20",
        "evaluation.every_rounds=10",
    )
    found = watched(marked.folder / "small.yaml", (600, 1600), *settings)
    growth = {role: (later - earlier) / MB for role, (earlier, later) in found.items()}
    assert all(mb < 2 for mb in growth.values()), (found, growth)


def test_twenty_times_the_clients_take_the_server_no_more(watched):
    few, many = (watched(MANY, (60,), f"dataset.clients={clients}")["Server"][0] for clients in (1_000, 20_000))
    assert many - few < 10 * MB, (few, many)


LIMIT = 2 << 30
"""Of each process: private memory that may be written to."""
FEATURES = 4096


def limited():
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


@pytest.fixture
def vast(marked):
    """A scenario on samples of three times the limit; the file has holes, so it takes no room on the disk."""
    folder = marked.folder / "vast"
    folder.mkdir()
    count = 3 * LIMIT // (4 * FEATURES)
    np.lib.format.open_memmap(folder / "x.signal.npy", "w+", np.float32, (count, FEATURES))
    np.save(folder / "x.other.npy", np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32))
    np.save(folder / "y.npy", np.arange(count) % 3)
    split = np.zeros(count, np.int64)
    split[:1000], split[1000:2000] = 1, 2
    np.save(folder / "split.npy", split)
    file = marked.folder / "vast.yaml"
    file.write_text(
        f"name: vast\ndataset: {{name: arrays, path: {folder}, standardize: true}}\n"
        "partition: {name: iid, clients: 1000}\nmissing: {name: per_sample, rate: 0.3}\n"
        "method: zero_fill\nmodel: {dim: 8}\n"
        "federation: {rounds: 3, clients_per_round: 8}\nevaluation: {every_rounds: 1}\nplacement: {actors: 2}\n"
    )
    return file


def test_a_dataset_of_three_times_the_memory_trains(marked, vast):
    """No process may have more than a third of it in private memory, nor is it in shared memory."""
    watch = Watch(marked)
    with marked.start("run", vast, "--out", marked.folder / "out", preexec_fn=limited) as process:
        out, err = process.communicate(timeout=600)
    watch.close()
    assert process.returncode == 0, out + err
    assert len(records(marked.folder / "out/vast/seed=0")) == 3
    shared, private = (
        max(sum(kinds[kind] for kinds in roles.values()) for _, _, roles in watch.curve)
        for kind in ("Pss_Shmem", "Pss_Anon")
    )
    assert shared < 50 * MB, shared / MB
    assert private < LIMIT, private / MB
