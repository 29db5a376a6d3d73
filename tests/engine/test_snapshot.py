"""A trial that goes on from a checkpoint of any round is the same, down to the bits."""

import json
from dataclasses import replace

import pytest

from raysim.engine.judging import judges_for
from raysim.report.events import ModelKept, RoundFinished, TrialFinished
from raysim.scenario.schema import Checkpoint
from raysim.simulation import snapshot as module
from raysim.simulation.checkpoint import Checkpoints
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.simulation.snapshot import Cadence, SnapshotError
from raysim.training.job import Job

EVERY = "federation.checkpoint.every_rounds=1"
FIN = ("method={name: feature_imputation, layers: 1, heads: 2, hidden: 16}", "federation.algorithm=scaffold")
MVAE = (
    "method={name: mvae_mapping, latent: 4, hidden: 8, map_hidden: 8}", "federation.algorithm=fedopt",
    "federation.optimizer={name: adam, lr: 0.01, persistent: true, schedule: cosine, local_schedule: cosine}",
    "evaluation.every_rounds=2", "numerics.stack=4",
)  # fmt: skip
TOY = (
    "dataset=ray_material:Line", "missing=none", "evaluation.missing=none", "model={}", "federation.rounds=4",
    "federation.optimizer={name: sgd, lr: 0.25}",
)  # fmt: skip
GENERATE = (
    "method={name: generate, generator: {name: mopoe, latent: 3, hidden: 8, channels: [4]}}",
    "evaluation.generation={every_rounds: 2, rows: 10, prior_draws: 6, retrieval: true, judge_floor: 0.0}",
)  # fmt: skip
PATTERNS = (
    "method=zero_fill", 'partition={name: "ray_parts:by_size", clients: 5}', "feature_noise=0.3",
    "missing={name: per_sample, rate: 0.3, changing: {every_rounds: 1}, parts: {rate: 0.5, share: 0.4}}",
    'model.augment={image: {name: "ray_parts:jitter", sigma: 0.2, flip: 0.5}}',
)  # fmt: skip
TOYS = ("Gan", "Diary", "Shift", "Auction", "Relay")
CASES = [FIN, MVAE, GENERATE, PATTERNS, *((*TOY, f"method=toys:{name}") for name in TOYS)]


class Run:
    """A trial in process, from its start or from a snapshot; where there is a folder, with checkpoints there.

    Attributes:
        records, summary: what came out, times aside.
        found: each checkpoint as a new process would have read it.
        state: all that is left at the end, as bytes.
    """

    def __init__(self, small, trial, snapshot=None, folder=None):
        prepared = prepare(trial)
        job = Job(trial, prepared.data, judges_for(trial, prepared.data.dataset))
        simulation = Simulation(job, LocalExecutor(job), prepared.info, snapshot)
        self.records, self.found = [], []
        store = folder and self.store(folder)
        for event in simulation.run():
            if isinstance(event, RoundFinished):
                self.records.append(small.timeless(event.record))
            if isinstance(event, TrialFinished):
                self.summary = small.timeless(event.summary)
            if isinstance(event, ModelKept):
                self.kept = event.data
            if isinstance(event, RoundFinished) and store:
                with (folder / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps({"round": event.round}) + "\n")
                taken, simulation.snapshot = simulation.snapshot, None
                store.write(taken, {}, {})
                self.found.append(self.store(folder).read())
        clients, server = sorted(simulation.client_states.items()), simulation.server_states.items()
        self.state = {
            "weights": {n: x.tobytes() for n, x in simulation.x.items()},
            "server": {n: {k: t.numpy().tobytes() for k, t in s.items()} for n, s in server if s},
            "clients": {c: {n: v.tobytes() for n, v in s.items()} for c, s in clients},
        }

    def store(self, folder):
        return Checkpoints(folder / "checkpoints", folder / "metrics.jsonl", "trial", 2)


@pytest.mark.parametrize("settings", CASES, ids=lambda s: next(w for w in s if w.startswith("method="))[7:30])
def test_from_any_round_on_it_is_the_same(small, tmp_path, settings):
    trial = small.trial(*settings, EVERY)
    whole = Run(small, trial, folder=tmp_path)
    assert [f.snapshot.round for f in whole.found] == list(range(1, len(whole.records) + 1))
    for found in whole.found:
        rest = Run(small, trial, found.snapshot)
        assert rest.records == whole.records[found.snapshot.round :]
        assert (rest.summary, rest.state, rest.kept) == (whole.summary, whole.state, whole.kept)


def test_states_of_clients_that_are_rarely_asked_move_on_to_newer_files(small, tmp_path):
    trial = small.trial(*FIN, EVERY, "federation.rounds=40", "federation.clients_per_round=2")
    whole = Run(small, trial, folder=tmp_path)
    found = sorted(whole.found[-1].snapshot.clients.items())
    assert {c: {n: v.tobytes() for n, v in s.items()} for c, s in found} == whole.state["clients"]
    files = list((tmp_path / "checkpoints").glob("clients-*"))
    assert len(files) <= 1 + 6  # three clients a file, of which one is the oldest: none is older than five checkpoints


def test_a_snapshot_of_other_networks_is_refused(small, tmp_path):
    found = Run(small, small.trial(EVERY), folder=tmp_path).found[-1]
    says = r"^the checkpoint of round 3 has [\d,]+ numbers for 'task.\w+', the method [\d,]+; undo the change"
    with pytest.raises(SnapshotError, match=says):
        Run(small, small.trial("model.dim=16"), found.snapshot)
    figures = {**found.snapshot.figures, "workload": [(9, 0, {})]}  # of a phase that there is no more
    with pytest.raises(SnapshotError, match=says):
        Run(small, small.trial("model.dim=16"), replace(found.snapshot, figures=figures))


def test_every_so_many_rounds(monkeypatch):
    assert [r for r in range(1, 8) if Cadence(Checkpoint(every_rounds=3)).due(r)] == [3, 6]
    assert not any(Cadence(Checkpoint(every_rounds="never")).due(r) for r in range(1, 8))


def test_auto_goes_by_time_and_by_what_the_last_one_cost(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    cadence = Cadence(Checkpoint())
    due = []
    for second in range(100, 200):
        now[0] = float(second)
        if second == 131:
            cadence.cost_s = 0.8  # 2 % of 40 s
        due += [second] * cadence.due(1)
    assert due == [110, 120, 130, 170]


def test_one_that_nobody_took_is_replaced_by_a_newer_one_with_its_clients(small):
    trial = small.trial(*FIN, EVERY, "federation.clients_per_round=2")
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    simulation = Simulation(job, LocalExecutor(job), prepared.info)
    cohorts = [e.record["cohort"] for e in simulation.run() if isinstance(e, RoundFinished)]
    assert simulation.snapshot.round == 3
    assert sorted(simulation.snapshot.clients) == sorted({c for cohort in cohorts for c in cohort})
    for client, state in simulation.snapshot.clients.items():
        assert state is simulation.client_states[client]
