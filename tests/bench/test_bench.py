import copy
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raysim import cli
from raysim.bench.bare import NoPlainLoop, bare_rounds, plain
from raysim.bench.jobs import JOBS, data_of, trial_of
from raysim.bench.only import Only
from raysim.bench.run import of_trial
from raysim.engine.executor import LocalExecutor
from raysim.engine.resolve import resolved
from raysim.engine.simulation import Simulation
from raysim.method import Compute
from raysim.models.convolution import Conv1d, Conv2d, MaxPool1d, MaxPool2d
from raysim.models.recurrent import GRU
from raysim.report.events import RoundFinished, TrialInfo
from raysim.scenario.trial import load
from raysim.seeding import stream
from raysim.training.job import Job


def job_of(name, workers=2):
    standard = JOBS[name]
    trial, data = trial_of(name, standard), data_of(standard)
    scenario = resolved(trial, data.dataset, standard.cohort, workers, cuda=False)
    trial = type(trial)(scenario, 0, {}, name, trial.source)
    return Job(trial, data)


@pytest.mark.parametrize(
    ("name", "stack"),
    [("cnn", 5), ("mlp", 50), ("multimodal", 5), ("unequal", 5), ("imputation", 10), ("mapping", 10)],
)
def test_each_job_is_resolved_for_this_many_workers(name, stack):
    assert job_of(name).scenario.numerics.stack == stack


@pytest.mark.parametrize("name", ["cnn", "multimodal"])
def test_the_plain_loop_runs_torchs_layers_to_the_same_effect(name):
    job = job_of(name)
    batch = stream(0, "plain")
    for group, modality in ((f"task.{m}", spec) for m, spec in job.task.modalities.items()):
        ours = job.groups[group].net.eval()
        theirs = plain(copy.deepcopy(ours)).eval()
        assert not any(isinstance(part, Conv1d | Conv2d | MaxPool1d | MaxPool2d | GRU) for part in theirs.modules())
        x = torch.from_numpy(batch.standard_normal((4, *modality.shape), dtype=np.float32))
        lengths = torch.full((4,), modality.shape[0] // 2) if modality.ordered else None
        torch.testing.assert_close(theirs(x, lengths).tokens, ours(x, lengths).tokens, rtol=1e-4, atol=1e-5)


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
    job = Job(replace(work.trial, scenario=resolved(work.trial, work.data.dataset, 4, 2, cuda=False)), work.data)
    assert next(bare_rounds(job)) > 0


@pytest.mark.parametrize("name", ["mlp", "imputation", "mapping"])
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
    data = data_of(JOBS["unequal"])
    assert (data.sizes.min(), data.sizes.max()) == (16, 64)
    lengths = data.dataset.train.lengths["audio"]
    assert (lengths.min(), lengths.max()) == (24, 96)
    assert np.array_equal(data_of(JOBS["unequal"]).offsets, data.offsets)


def test_an_unknown_job_is_one_line(capsys):
    assert cli.main(["bench", "frob"]) == 2
    names = "cnn, mlp, multimodal, unequal, imputation, mapping"
    assert capsys.readouterr().err == f"raysim: no job 'frob'; there are: {names}; or name a scenario file\n"


@pytest.mark.ray
def test_a_job_is_timed_on_ray():
    command = [sys.executable, "-c", "import sys; from raysim.cli import main; sys.exit(main())"]
    arguments = ["bench", "imputation", "--turns", "1", "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["job"] == "imputation"
    assert found["ratio"] == pytest.approx(found["round_s"] / found["bare_s"])
    assert found["peak_bytes"] > 50_000_000
    assert 0 < found["overhead_s"] < found["round_s"] < found["first_round_s"]


def test_training_imports_no_compiler():
    code = """
import sys
from dataclasses import replace
from raysim.bench.jobs import JOBS, data_of, trial_of
from raysim.engine.resolve import resolved
from raysim.training.job import Job
from raysim.training.results import Broadcast
from raysim.training.trainer import Trainer
from raysim.training.units import Unit
trial, data = trial_of("mapping", JOBS["mapping"]), data_of(JOBS["mapping"])
job = Job(replace(trial, scenario=resolved(trial, data.dataset, 20, 2, cuda=False)), data)
x = {n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared}
Trainer(job).train(Broadcast(0, 1, x), Unit(0, (0, 1), {n: (0.5, 0.5) for n in x}), {})
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"
