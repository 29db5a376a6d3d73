import json
import math
import subprocess
import sys

import numpy as np
import pytest

from raysim import cli
from raysim.bench.bare import bare_rounds
from raysim.bench.jobs import JOBS, data_of, trial_of
from raysim.engine.executor import LocalExecutor
from raysim.engine.resolve import resolved
from raysim.engine.simulation import Simulation
from raysim.report.events import RoundFinished, TrialInfo
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


def test_unequal_sizes_and_lengths_differ_by_a_factor_of_four():
    data = data_of(JOBS["unequal"])
    assert (data.sizes.min(), data.sizes.max()) == (16, 64)
    lengths = data.dataset.train.lengths["audio"]
    assert (lengths.min(), lengths.max()) == (24, 96)
    assert np.array_equal(data_of(JOBS["unequal"]).offsets, data.offsets)


def test_an_unknown_job_is_one_line(capsys):
    assert cli.main(["bench", "frob"]) == 2
    assert capsys.readouterr().err == (
        "raysim: no job 'frob'; there are: cnn, mlp, multimodal, unequal, imputation, mapping\n"
    )


@pytest.mark.ray
def test_a_job_is_timed_on_ray():
    command = [sys.executable, "-c", "import sys; from raysim.cli import main; sys.exit(main())"]
    arguments = ["bench", "imputation", "--rounds", "1", "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["job"] == "imputation"
    assert found["ratio"] == pytest.approx(found["round_s"] / found["bare_s"])
    assert found["peak_bytes"] > 50_000_000
    assert 0 < found["round_s"] < found["first_round_s"]
