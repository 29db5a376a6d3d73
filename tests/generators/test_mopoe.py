import pytest
import torch
from tiny_vae import NOISE, SUBSETS, Found, batch, known, normal, place

from raysim.generators.mopoe import Mopoe

LOSSES = {"complete": 10.0627384168, "incomplete": 6.2304761394}
CHOSEN = {"complete": [0, 1, 2, 3, 4, 5, 6, 6], "incomplete": [6, 4, 5, 3, 2, 0, 1, 3]}


def found(data):
    there = torch.stack([batch(data).all_present(*subset) for subset in SUBSETS], dim=-1)
    return Found(Mopoe, data, {"z": normal(NOISE["joint"]), "component": place(CHOSEN[data], there)})


@pytest.mark.parametrize("data", LOSSES)
def test_losses(data):
    assert found(data).terms.loss.mean().item() == pytest.approx(LOSSES[data], abs=1e-6)


@pytest.mark.parametrize("data", LOSSES)
def test_parts_and_gradients(data):
    case, run = known("mopoe", data), found(data)
    assert run.terms.loss.tolist() == pytest.approx(case["parts"]["per_sample"], abs=1e-6)
    run.has(case, run.terms.loss.mean(), likelihood="log_likelihood", divergence="kl")
