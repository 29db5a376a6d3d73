"""What the tests of several algorithms need."""

from dataclasses import replace

import pytest

from raysim.training.job import Job


@pytest.fixture
def benchmark():
    """`benchmark(job)`: the same job under `compat: fedmultimodal`."""

    def make(job):
        scenario = job.scenario.model_copy(update={"compat": "fedmultimodal"})
        return Job(replace(job.trial, scenario=scenario), job.data)

    return make
