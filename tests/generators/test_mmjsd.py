import pytest
import torch
from tiny_vae import NOISE, Found, batch, feed, known, normal, place

from raysim.batch import Nets
from raysim.generators.mmjsd import Mmjsd

LOSSES = {"complete": 9.4722457653, "incomplete": 6.3854926795}
CHOSEN = {"complete": [0, 0, 1, 1, 2, 2, 3, 3], "incomplete": [0, 2, 3, 1, 2, 0, 1, 3]}
"""a, b, c or the prior, for each sample."""


def found(data):
    there = torch.stack([*batch(data).present.values(), batch().rows], dim=-1)
    return Found(Mmjsd, data, {"z": normal(NOISE["joint"]), "component": place(CHOSEN[data], there)})


def test_posteriors_like_the_prior_have_no_divergence():
    noise = {"z": normal(NOISE["joint"]), "component": torch.zeros(8)}
    run = Found(Mmjsd, "complete", noise)
    for p in (p for n, net in run.nets.items() if n.endswith("encoder") for p in net.parameters()):
        p.data.zero_()
    terms = run.generator.terms(Nets(run.nets), run.batch, feed(noise))
    torch.testing.assert_close(terms.parts["divergence"], torch.zeros(8))


@pytest.mark.parametrize("data", LOSSES)
def test_losses(data):
    assert found(data).terms.loss.mean().item() == pytest.approx(LOSSES[data], abs=1e-6)


@pytest.mark.parametrize("data", LOSSES)
def test_parts_and_gradients(data):
    case, run = known("mmjsd", data), found(data)
    assert run.terms.loss.tolist() == pytest.approx(case["parts"]["per_sample"], abs=1e-6)
    run.has(case, run.terms.loss.mean(), likelihood="log_likelihood", divergence="js")
