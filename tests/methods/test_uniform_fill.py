import numpy as np
import pytest
import torch

from raysim.method import Feature
from raysim.seeding import stream
from raysim.training.trainer import Trainer

NOISE = torch.from_numpy(stream(0, "draw", 0, "fill.left").random((2, 3), dtype=np.float32))


@pytest.fixture
def filled(tiny_data, make_job, make_batch, make_nets):
    """`filled(**options)`: the left embedding of two samples, of which the second lacks it."""

    def make(**options):
        job = make_job(tiny_data("vectors"), {"name": "uniform_fill"} | options)
        batch = make_batch(job, {}, {"left": [True, False], "right": [True, True]})
        features = {"left": Feature.of(torch.tensor([[3.0, 4.0, 0.0], [9.0, 9.0, 9.0]])), "right": Feature.of(NOISE)}
        streams = job.method.fill(batch, make_nets(job), features)
        assert torch.equal(streams["right"].pooled(), NOISE)
        return streams["left"].pooled()

    return make


def test_noise_of_unit_length_stands_in(filled):
    left = filled()
    assert left[0].tolist() == [3.0, 4.0, 0.0]
    torch.testing.assert_close(left[1], NOISE[1] / NOISE[1].square().sum().sqrt())


def test_plain_noise_on_request(filled):
    assert torch.equal(filled(normalize_fill=False)[1], NOISE[1])


def test_at_evaluation_a_sample_draws_its_own_noise(tiny_data, make_job, new_run):
    job = make_job(tiny_data("vectors"), "uniform_fill", evaluation={"missing": 0.5})
    trainer, broadcast = Trainer(job), new_run(job).simulation._broadcast(0)
    together = trainer.predict(broadcast, "test", 0, 10)
    apart = np.concatenate([trainer.predict(broadcast, "test", i, i + 1) for i in range(10)])
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)
