"""Networks may compute in bfloat16; weights, updates and sums stay float32."""

import numpy as np
import pytest
import torch

from raysim.scenario.schema import Numerics
from raysim.training.job import Job
from raysim.training.results import summed
from raysim.training.trainer import Trainer

ENCODERS = {"image": {"name": "cnn", "channels": [4]}, "sequence": {"name": "conv_gru", "channels": [4]}}
MODEL = {"dim": 8, "head": {"hidden": 8, "dropout": 0.1}, "encoders": ENCODERS, "fusion": {"name": "attention"}}
METHODS = [
    "zero_fill", {"name": "feature_imputation", "layers": 1, "heads": 2, "hidden": 8},
    {"name": "mvae_mapping", "latent": 4, "hidden": 8, "map_hidden": 8, "channels": [4]},
]  # fmt: skip


def with_precision(job, precision):
    scenario = job.scenario.model_copy(update={"numerics": Numerics(stack=1, device="cpu", precision=precision)})
    return Job(type(job.trial)(scenario, job.trial.seed, {}, "trial", job.trial.source), job.data)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("kinds", [("image", "vector"), ("sequence", "vector")], ids="+".join)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m if isinstance(m, str) else m["name"])
def test_bf16_is_float32_to_two_digits(toy, method, kinds, size):
    whole = toy.job(toy.data((6, 6), kinds), method, model=MODEL, optimizer={"lr": 0.05})
    half = with_precision(whole, "bf16")
    expected, found = (summed(toy.train(job, size=size), "sums") for job in (whole, half))
    for name, vector in expected.items():
        assert found[name].dtype == np.float64
        if vector.any():
            assert not np.array_equal(found[name], vector)
            assert np.linalg.norm(found[name] - vector) < 0.1 * np.linalg.norm(vector) + 1e-3
    one, other = (Trainer(job).predict(toy.broadcast(job), "test", 0, 6) for job in (whole, half))
    assert other.dtype == np.float32
    np.testing.assert_allclose(other, one, rtol=0, atol=0.1)


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True), ("bf16", True)])
def test_tensor_float_is_for_those_who_ask(toy, precision, allowed):
    with_precision(toy.job(toy.points([1]), toy.Pull), precision)
    assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.backends.cudnn.allow_tf32 is allowed
