import pytest
from tiny_vae import NOISE, Found, known, normal

from raysim.generators.mmvm import Mmvm

LOSSES = {
    ("complete", 0.0): 11.8531238816, ("complete", 0.25): 11.8459738697, ("complete", 1.0): 11.8245238340,
    ("incomplete", 0.0): 7.3672708719,
}  # fmt: skip
CASES = [*LOSSES, ("incomplete", 0.25), ("incomplete", 1.0)]


def found(data, alpha):
    return Found(Mmvm, data, {f"z.{m}": normal(eps) for m, eps in NOISE["mods"].items()}, alpha=alpha)


@pytest.mark.parametrize(("data", "alpha"), LOSSES)
def test_losses(data, alpha):
    assert found(data, alpha).terms.loss.mean().item() == pytest.approx(LOSSES[data, alpha], abs=1e-6)


@pytest.mark.parametrize(("data", "alpha"), CASES)
def test_parts_and_gradients(data, alpha):
    case, run = known("mmvm", data, alpha=alpha), found(data, alpha)
    assert run.terms.loss.tolist() == pytest.approx(case["parts"]["per_sample"], abs=1e-6)
    run.has(case, run.terms.loss.mean(), likelihood="log_likelihood", pairs="kl_pairs", prior="kl_prior")
