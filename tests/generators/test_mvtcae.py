import pytest
import torch
from tiny_vae import NOISE, Found, known, normal

from raysim.generators.mvtcae import Mvtcae

LOSSES = {"complete": 7.7063662832, "incomplete": 4.6105880718}
PARTS = {"likelihood": "log_likelihood", "prior": "kl_joint"}


def found(data):
    return Found(Mvtcae, data, {"z": normal(NOISE["joint"])})


def test_without_experts_it_is_an_autoencoder_with_a_product_of_experts():
    run = Found(Mvtcae, "incomplete", {"z": normal(NOISE["joint"])}, alpha=0, beta=1)
    torch.testing.assert_close(run.terms.loss, run.terms.parts["prior"] - run.terms.parts["likelihood"])


@pytest.mark.parametrize("data", LOSSES)
def test_losses(data):
    assert found(data).terms.loss.mean().item() == pytest.approx(LOSSES[data], abs=1e-6)


@pytest.mark.parametrize("data", LOSSES)
def test_parts_and_gradients(data):
    case, run = known("mvtcae", data), found(data)
    assert run.terms.loss.tolist() == pytest.approx(case["parts"]["per_sample"], abs=1e-6)
    run.has(case, run.terms.loss.mean(), **PARTS)
