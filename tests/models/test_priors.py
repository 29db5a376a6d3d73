import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, stats

from raysim.models.priors import STANDARD, Distribution, LaplacePrior, NormalPrior, Prior, distribution

FAMILIES = ("normal", "laplace")
# mean and standard deviation of q, then of p
PARAMETERS = [(0.0, 1.0, 0.0, 1.0), (1.5, 0.4, -0.5, 2.0), (-2.0, 1.7, 0.3, 0.6), (0.1, 3.0, 0.0, 1.1)]


def of(family, mean, deviation):
    return Distribution(family, *(torch.tensor(v, dtype=torch.float64) for v in (mean, 2 * math.log(deviation))))


def reference(family, mean, deviation):
    return stats.norm(mean, deviation) if family == "normal" else stats.laplace(mean, deviation * math.sqrt(0.5))


def log_density(family, mean, deviation, z):
    if family == "normal":
        return -0.5 * ((z - mean) / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
    scale = deviation / math.sqrt(2)
    return -abs(z - mean) / scale - math.log(2 * scale)


@pytest.mark.parametrize(("family", "other"), list(product(FAMILIES, FAMILIES)))
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_divergences_are_the_integrals(family, other, parameters):
    def integrand(z):
        log_q, log_p = log_density(family, *parameters[:2], z), log_density(other, *parameters[2:], z)
        return math.exp(log_q) * (log_q - log_p)

    # The densities have corners at their means.
    points = [-math.inf, *sorted({parameters[0], parameters[2]}), math.inf]
    expected = sum(integrate.quad(integrand, a, b)[0] for a, b in pairwise(points))
    found = of(family, *parameters[:2]).divergence(of(other, *parameters[2:]))
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (-3.0, 0.2), (7.0, 5.0)])
def test_nothing_diverges_from_itself(family, mean, deviation):
    assert of(family, mean, deviation).divergence(of(family, mean, deviation)).item() == pytest.approx(0, abs=1e-12)


def test_divergences_of_unit_variance_by_hand():
    normal, laplace = (of(family, 0.0, 1.0) for family in FAMILIES)
    # With 2 b = sqrt 2: log(2 pi) / 2 - log(sqrt 2) - 1 + 1 / 2, and log(sqrt 2) - log(2 pi e) / 2 + 2 / sqrt pi.
    assert laplace.divergence(normal).item() == pytest.approx(0.0723649, abs=1e-7)
    assert normal.divergence(laplace).item() == pytest.approx(0.0560142, abs=1e-7)
    # One apart: 1 / 2, and with 1 / b = sqrt 2: sqrt 2 + exp(-sqrt 2) - 1.
    assert normal.divergence(of("normal", 1.0, 1.0)).item() == pytest.approx(0.5)
    expected = math.sqrt(2) + math.exp(-math.sqrt(2)) - 1
    assert laplace.divergence(of("laplace", 1.0, 1.0)).item() == pytest.approx(expected)


@pytest.mark.parametrize(("family", "other"), list(product(FAMILIES, FAMILIES)))
def test_gradients_are_right_and_finite_where_the_means_agree(family, other):
    mean, logvar = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.7, -2.0], [0.3, -1.0]))
    p = of(other, 0.1, 1.3)
    assert torch.autograd.gradcheck(lambda m, v: Distribution(family, m, v).divergence(p), (mean, logvar))
    same = torch.zeros(2, requires_grad=True)
    found = torch.autograd.grad(Distribution(family, same, same * 0).divergence(of(other, 0.0, 1.0)).sum(), same)
    assert found[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_keep_the_quantiles_of_the_noise(family):
    eps = torch.tensor([-9.0, -2.5, -1.0, -0.1, 0.0, 0.3, 4.0, 9.0], dtype=torch.float64)
    found = of(family, 1.5, 0.4).sample(eps).numpy()
    q, upper = reference(family, 1.5, 0.4), eps.numpy() > 0
    expected = np.where(upper, q.isf(stats.norm.sf(eps)), q.ppf(stats.norm.cdf(eps)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_no_draw_is_infinite():
    extreme = torch.tensor([-40.0, 0.0, 40.0])
    drawn = Distribution("laplace", torch.zeros(3), torch.zeros(3)).sample(extreme)
    assert drawn[1].item() == 0
    assert drawn[2].item() == -drawn[0].item() == pytest.approx(569, abs=1)


def test_priors_are_told_by_mean_and_variance():
    like = torch.ones(2, dtype=torch.float64)
    found = distribution(NormalPrior(name="normal", mean=2.0, std=3.0), like)
    assert (found.family, found.mean.item(), found.logvar.item()) == ("normal", 2.0, pytest.approx(math.log(9)))
    found = distribution(LaplacePrior(name="laplace", mean=-1.0, scale=0.5), like)
    assert (found.family, found.mean.item(), found.logvar.item()) == ("laplace", -1.0, pytest.approx(math.log(0.5)))
    for prior in (STANDARD, LaplacePrior(name="laplace")):
        assert distribution(prior, like).logvar.item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    "value", [{"name": "normal", "std": 0.0}, {"name": "laplace", "scale": -1.0}, {"name": "normal", "scale": 1.0},
              {"name": "cauchy"}, {"mean": 0.0}],
)  # fmt: skip
def test_what_is_no_prior_is_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Prior).validate_python(value)
