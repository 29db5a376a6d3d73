from dataclasses import replace

import pytest
from tiny_vae import NOISE, Found, batch, known, normal, options_of

from raysim.batch import Clock
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


@pytest.mark.parametrize(
    ("options", "alphas"),
    [
        ({"alpha": 0.25}, [0.25, 0.25, 0.25]),
        ({"alpha": 0.2, "alpha_rounds": 4, "annealing": "linear"}, [1, 0.6, 0.2]),
        ({"alpha": 0.2, "alpha_rounds": 4, "annealing": "cosine"}, [1, 0.6, 0.2]),
        ({"alpha": 0.01, "alpha_rounds": 4}, [1, 0.1, 0.01]),
        ({"alpha_rounds": 4}, [1, 1e-5, 0]),
        ({"alpha": 0.4, "alpha_start": 0.0, "alpha_rounds": 4, "annealing": "linear"}, [0, 0.2, 0.4]),
    ],
)
def test_alpha_goes_to_its_end_over_the_first_rounds_of_training(options, alphas):
    generator = Mmvm(options_of(Mmvm, options))
    for number, alpha in zip((1, 3, 5), alphas, strict=True):
        data = replace(batch(), clock=Clock("train", number, 0, 0.0))
        assert generator.alpha(data) == generator.options.alpha
        assert generator.alpha(replace(data, clients=("one",))) == pytest.approx(alpha, abs=1e-7)
