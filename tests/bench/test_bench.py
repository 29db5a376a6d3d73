import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from raysim.batch import Batch
from raysim.bench import reference
from raysim.bench.bare import NoPlainLoop, bare_rounds, plain, plain_networks
from raysim.bench.jobs import JOBS, trial_of
from raysim.bench.only import Only
from raysim.bench.run import of_trial
from raysim.cli import app as cli
from raysim.method import Compute
from raysim.models.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, MaxPool1d, MaxPool2d
from raysim.models.layers import Dropout
from raysim.models.recurrent import GRU
from raysim.report.events import RoundFinished, TrialInfo
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.resolve import resolved
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """The data of one job has 640 MB."""
    monkeypatch.setitem(JOBS, "multimodal", replace(JOBS["multimodal"], clients=20, samples=16))


def job_of(name, **federation):
    trial = trial_of(name)
    data = prepare(trial).data
    scenario = resolved(trial, data.dataset, JOBS[name].cohort, cuda=False)
    scenario = scenario.model_copy(update={"federation": scenario.federation.model_copy(update=federation)})
    return Job(replace(trial, scenario=scenario), data)


def logits_of(job, networks, inputs):
    """(rows, classes) of complete rows, without dropout."""
    rows = torch.ones(len(next(iter(inputs.values()))), dtype=torch.bool)
    lengths = {m: torch.full(rows.shape, x.shape[1]) for m, x in inputs.items() if x.dim() == 3}
    info = (job.data.info(0),)
    batch = Batch(inputs, lengths, dict.fromkeys(inputs, rows), rows, rows, None, None, None, info)
    return job.method.predict({n: net.eval() for n, net in networks.items()}, batch)


@pytest.mark.parametrize(
    ("name", "stack"),
    [("cnn", 5), ("mlp", 50), ("multimodal", 5), ("unequal", 5), ("imputation", 10), ("mapping", 10), ("generator", 4)],
)
def test_each_job_is_resolved(name, stack):
    assert job_of(name).scenario.numerics.stack == stack


@pytest.mark.parametrize("name", reference.JOBS)
def test_the_independent_loop_has_the_same_network(name):
    job, net = job_of(name), reference.JOBS[name][0]().eval()
    ours = [p for g in job.groups.values() for p in g.net.parameters()]
    for mine, theirs in zip(ours, net.parameters(), strict=True):
        theirs.data = mine.data
    inputs = {m: torch.randn(3, *spec.shape) for m, spec in job.task.modalities.items()}
    networks = {n: g.net for n, g in job.groups.items()}
    torch.testing.assert_close(net(*inputs.values()), logits_of(job, networks, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", reference.JOBS)
def test_the_independent_loop_has_the_same_federation(name, monkeypatch):
    monkeypatch.undo()
    job, (_, shapes, *federation) = JOBS[name], reference.JOBS[name]
    assert [spec.shape for spec in job.modalities.values()] == list(shapes)
    assert [job.clients, job.cohort, job.samples] == federation
    settings = trial_of(name).scenario.federation
    assert (settings.batch_size, settings.optimizer.lr, settings.local_epochs) == (reference.BATCH, reference.LR, 1)


def test_the_independent_loop_ends_rounds(monkeypatch):
    monkeypatch.setitem(reference.JOBS, "mlp", (reference.Mlp, ((128,),), 4, 2, 20))
    found = reference.rounds("mlp")
    assert next(found) > 0
    assert next(found) > 0


@pytest.mark.parametrize("name", ["cnn", "mlp", "multimodal", "imputation"])
def test_the_plain_loop_computes_what_the_engine_computes(name):
    # All clients, one batch each, no dropout: no draw decides anything.
    job = job_of(name, clients_per_round="all", batch_size=64)
    for part in (p for g in job.groups.values() for p in g.net.modules() if isinstance(p, Dropout)):
        part.p = 0.0
    theirs = plain_networks(job)
    info = TrialInfo(name, name, 0, {}, job.rounds, "last", "accuracy", ("accuracy",))
    simulation = Simulation(job, LocalExecutor(job), info)
    next(e for e in simulation.run() if isinstance(e, RoundFinished))
    next(bare_rounds(job, theirs))
    for group, x in simulation.x.items():
        flat = torch.cat([p.detach().flatten() for p in theirs[group].parameters()])
        torch.testing.assert_close(flat, torch.from_numpy(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cnn", "multimodal", "unequal"])
def test_the_plain_loop_runs_torchs_layers_to_the_same_effect(name):
    job = job_of(name)
    ours, theirs = {n: g.net for n, g in job.groups.items()}, plain_networks(job)
    parts = [part for net in theirs.values() for part in net.modules()]
    assert not any(isinstance(part, Conv1d | Conv2d | MaxPool1d | MaxPool2d | GRU | Dropout) for part in parts)
    inputs = {m: torch.randn(4, *spec.shape) for m, spec in job.task.modalities.items()}
    found, expected = (logits_of(job, networks, inputs) for networks in (theirs, ours))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (ConvTranspose1d(3, 5, 3, stride=2), nn.ConvTranspose1d, (2, 3, 6)),
        (ConvTranspose2d(3, 5, 3, stride=2, padding=1, extra=(1, 0)), nn.ConvTranspose2d, (2, 3, 6, 4)),
    ],
)
def test_transposed_convolutions_are_torchs(ours, theirs, x):
    twin = plain(ours)
    assert type(twin) is theirs
    x = torch.randn(x)
    torch.testing.assert_close(twin(x), ours(x))


def test_the_plain_loop_trains_a_generator_of_torchs_layers():
    networks = plain_networks(job_of("generator"))
    parts = [type(part) for net in networks.values() for part in net.modules()]
    assert parts.count(nn.Conv2d) == parts.count(nn.ConvTranspose2d) == 9
    assert not any(issubclass(kind, Conv2d | ConvTranspose2d) for kind in parts)


def test_only_some_stages():
    job = job_of("mapping")
    assert [s.name for s in job.phases[0].stages] == ["generator", "mapping"]
    assert set(job.replicas) == {n for n in job.groups if not n.startswith("task.")}
    settings = {"of": {"name": "feature_imputation"}, "stages": ["frob"]}
    with pytest.raises(ValueError, match=r"names 'frob', feature_imputation has: task, imputation"):
        Only(Only.Options(**settings)).check(job.task)


def test_a_scenario_is_timed_without_its_evaluation():
    (trial,) = load(
        Path(__file__).parents[1] / "engine" / "material" / "small.yaml", ["dataset=polydigits", "model={}"]
    )
    work = of_trial(trial)
    scenario = work.trial.scenario
    assert work.name == "small"
    assert scenario.federation.rounds == scenario.evaluation.every_rounds == 10**6
    data = prepare(work.trial).data
    job = Job(replace(work.trial, scenario=resolved(work.trial, data.dataset, 4, cuda=False)), data)
    assert next(bare_rounds(job)) > 0


@pytest.mark.parametrize("name", ["mlp", "imputation", "mapping", "generator"])
def test_the_plain_loop_and_the_engine_do_the_same_work(name):
    job = job_of(name)
    assert next(bare_rounds(job)) > 0
    info = TrialInfo(name, name, 0, {}, job.rounds, "last", "accuracy", ("accuracy",))
    events = Simulation(job, LocalExecutor(job), info).run()
    record = next(e.record for e in events if isinstance(e, RoundFinished))
    standard = JOBS[name]
    assert len(record["cohort"]) == standard.cohort
    stages = len(job.phases[0].stages)
    assert {c["steps"] for c in record["clients"]} == {stages * math.ceil(standard.samples / 16)}


def test_a_method_beyond_the_plain_loop_is_refused(toy):
    class Noting(toy.Pull):
        def phases(self, task):
            (phase,) = super().phases(task)
            return (replace(phase, stages=(*phase.stages, Compute("note", lambda nets, batch: {}))),)

    with pytest.raises(NoPlainLoop, match="no stages like 'note', without one objective"):
        next(bare_rounds(toy.job(toy.points([1]), Noting)))


def test_unequal_sizes_and_lengths_differ_by_a_factor_of_four():
    data = prepare(trial_of("unequal")).data
    assert (data.sizes.min(), data.sizes.max()) == (16, 64)
    lengths = data.dataset.train.lengths["audio"]
    assert (lengths.min(), lengths.max()) == (24, 96)


def test_an_unknown_job_is_one_line(capsys):
    assert cli.main(["bench", "frob"]) == 2
    names = "cnn, mlp, multimodal, unequal, imputation, mapping, generator"
    assert capsys.readouterr().err == f"raysim: no job 'frob'; there are: {names}; or name a scenario file\n"


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_is_timed_on_ray():
    command = [sys.executable, "-c", "import sys; from raysim.cli.app import main; sys.exit(main())"]
    arguments = ["bench", "imputation", "--turns", "1", "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["job"] == "imputation"
    assert found["ratio"] == pytest.approx(found["round_s"] / found["bare_s"])
    assert found["mean_ratio"] == pytest.approx(found["mean_s"] / found["bare_mean_s"])
    assert found["peak_bytes"] > found["bare_peak_bytes"] > 50_000_000
    assert 0 < found["overhead_s"] < found["round_s"] < found["bare_first_round_s"] < found["first_round_s"]


def test_training_imports_no_compiler():
    code = """
import sys
from dataclasses import replace
from raysim.bench.jobs import trial_of
from raysim.simulation.prepare import prepare
from raysim.simulation.resolve import resolved
from raysim.training.job import Job
from raysim.training.results import Broadcast
from raysim.training.trainer import Trainer
from raysim.training.units import Unit
trial = trial_of("mapping")
data = prepare(trial).data
job = Job(replace(trial, scenario=resolved(trial, data.dataset, 20, cuda=False)), data)
x = {n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared}
Trainer(job).train(Broadcast(0, 1, x), Unit(0, (0, 1), {n: (0.5, 0.5) for n in x}), {})
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"
