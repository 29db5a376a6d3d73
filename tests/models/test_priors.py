import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, stats

from raysim.models.priors import (
    STANDARD,
    Distribution,
    LaplacePrior,
    Mixture,
    NormalPrior,
    Prior,
    distribution,
    product,
    scaled,
)

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


@pytest.mark.parametrize(("family", "other"), list(itertools.product(FAMILIES, FAMILIES)))
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


@pytest.mark.parametrize(("family", "other"), list(itertools.product(FAMILIES, FAMILIES)))
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


# Of another derivation, checked by quadrature: family, mean and scale (b of Laplace's) of q and of p, and KL(q || p).
KNOWN = [
    ("normal", 0.4, 0.7, "normal", -0.2, 1.3, 0.3705184983),
    ("normal", -1.1, 1.5, "normal", 0.0, 0.6, 3.389264824),
    ("normal", 0.4, 0.7, "laplace", -0.2, 1.3, 0.4717045456),
    ("normal", -1.1, 1.5, "laplace", 0.0, 0.6, 0.8661814433),
    ("laplace", 0.4, 0.7, "normal", -0.2, 1.3, 0.2412802652),
    ("laplace", -1.1, 1.5, "normal", 0.0, 0.6, 6.240056176),
    ("laplace", 0.4, 0.7, "laplace", -0.2, 1.3, 0.3090861253),
    ("laplace", -1.1, 1.5, "laplace", 0.0, 0.6, 1.117805854),
]


@pytest.mark.parametrize(("q", "m", "s", "p", "n", "t", "expected"), KNOWN)
def test_known_divergences(q, m, s, p, n, t, expected):
    deviations = [scale * (2**0.5 if family == "laplace" else 1) for family, scale in ((q, s), (p, t))]
    found = of(q, m, deviations[0]).divergence(of(p, n, deviations[1]))
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_densities(family):
    z = torch.tensor([-3.0, 0.0, 1.5, 1.6, 9.0], dtype=torch.float64)
    found, expected = of(family, 1.5, 0.4), reference(family, 1.5, 0.4).logpdf(z)
    np.testing.assert_allclose(found.log_prob(z).numpy(), expected, rtol=1e-12)
    q = found.each(lambda t: t.expand(1, 5))
    np.testing.assert_allclose(q.log_density(z.expand(1, 2, 5)).numpy(), [[expected.sum()] * 2], rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_scales_are_made_of(family):
    mean, raw = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    assert scaled(family, mean, raw, "exp").logvar.tolist() == raw.tolist()
    variance = 2 if family == "laplace" else 1  # of scale 1
    for rule, expected in (("softplus", raw.exp().log1p()), ("softmax", 3 * raw.exp() / raw.exp().sum())):
        found = scaled(family, mean, raw, rule)
        np.testing.assert_allclose((found.logvar.exp() / variance).sqrt().numpy(), expected + 1e-6, rtol=1e-12)
    assert scaled(family, mean, torch.full((3,), -800.0), "softplus").logvar.isfinite().all()


def rows(family, *values):
    """(mean, deviation) of each row, of one dimension: (B, 1)."""
    mean, deviation = torch.tensor(values, dtype=torch.float64).unsqueeze(-1).unbind(1)
    return Distribution(family, mean, 2 * deviation.log())


def test_a_product_is_the_normalised_product_of_densities():
    experts = [rows("normal", (0.0, 1.0), (0.0, 1.0)), rows("normal", (2.0, 0.5), (2.0, 0.5)),
               rows("normal", (-1.0, 2.0), (-1.0, 2.0))]  # fmt: skip
    weights = [torch.tensor(w, dtype=torch.float64) for w in ([1.0, 0.25], [1.0, 0.75], [0.0, 0.0])]
    found = product(experts, weights)
    z = torch.linspace(-2, 3, 5, dtype=torch.float64)
    for row, powers in enumerate(torch.stack(weights, dim=-1).tolist()):
        logs = sum(
            p * stats.norm(m, s).logpdf(z) for p, (m, s) in zip(powers, [(0, 1), (2, 0.5), (-1, 2)], strict=True)
        )
        density = found.each(lambda t, row=row: t[row]).log_prob(z).numpy()
        np.testing.assert_allclose(np.diff(density), np.diff(logs), rtol=1e-9)
    # 1 + 4, and 0.25 + 3 of precision.
    assert found.logvar.exp().flatten().tolist() == pytest.approx([1 / 5, 1 / 3.25])
    assert found.mean.flatten().tolist() == pytest.approx([8 / 5, 6 / 3.25])


@pytest.fixture
def mixture():
    """Of two components and something else in rows that have neither: both, the second alone, none."""
    components = [
        rows("normal", (1.0, 0.5), (np.nan, 1.0), (7.0, 1.0)),
        rows("normal", (4.0, 1.0), (4.0, 1.0), (8.0, 1.0)),
    ]
    there = [torch.tensor(t) for t in ([True, False, False], [True, True, False])]
    return Mixture.of(components, there, rows("normal", *[(-3.0, 2.0)] * 3))


def test_a_mixture_has_what_a_row_has(mixture):
    assert mixture.there.tolist() == [[True, True, False], [False, True, False], [False, False, True]]
    assert mixture.mean().flatten().tolist() == [2.5, 4.0, -3.0]
    z = torch.tensor([0.5, 3.0], dtype=torch.float64)
    both = np.log((stats.norm(1, 0.5).pdf(z) + stats.norm(4, 1).pdf(z)) / 2)
    expected = [both, stats.norm(4, 1).logpdf(z), stats.norm(-3, 2).logpdf(z)]
    np.testing.assert_allclose(mixture.log_density(z.reshape(1, 2, 1).expand(3, 2, 1)), expected, rtol=1e-12)
    prior = of("normal", 0.0, 1.0)
    divergences = [(1, 0.5), (4, 1), (4, 1), (-3, 2)]
    first, second, third, fourth = (of("normal", *d).divergence(prior).item() for d in divergences)
    assert mixture.divergence(prior).tolist() == pytest.approx([(first + second) / 2, third, fourth])


def test_what_a_row_lacks_gives_a_mixture_no_gradient():
    mean = torch.tensor([[1.0], [2.0]], requires_grad=True)
    one, other = (
        Distribution("normal", mean, torch.zeros(2, 1)),
        Distribution("normal", torch.zeros(2, 1), torch.zeros(2, 1)),
    )
    found = Mixture.of([one], [torch.tensor([True, False])], other)
    eps = torch.zeros(2, 3, 1)
    total = found.log_density(eps).sum() + found.mean().sum() + found.sample(eps, torch.zeros(2)).sum()
    (gradient,) = torch.autograd.grad(total + found.divergence(other).sum(), mean)
    assert gradient[0] != 0
    assert gradient[1] == 0


@pytest.mark.parametrize("axis", [False, True])
def test_draws_are_spread_evenly_over_a_rows_components(mixture, axis):
    eps, place = torch.zeros(3, 4, 1, dtype=torch.float64), torch.tensor([0.0, 0.999, 0.5])
    if axis:
        mixture = Mixture(tuple(q.each(lambda t: t.unsqueeze(0)) for q in mixture.components), mixture.there[None])
        eps, place = eps[None], place[None]
    drawn = mixture.sample(eps, place)
    assert drawn.shape == eps.shape
    assert drawn.reshape(3, 4).tolist() == [[1, 1, 4, 4], [4] * 4, [-3] * 4]


def test_a_draw_chooses_components_evenly(mixture):
    place = (torch.arange(1000) + 0.5) / 1000
    drawn = [mixture.sample(torch.zeros(3, 1, 1), p.expand(3)).flatten().tolist() for p in place]
    assert [sum(row[0] == m for row in drawn) for m in (1, 4)] == [500, 500]
    # Three draws from two components: one of them is drawn twice, each in half of the cases.
    threes = [mixture.sample(torch.zeros(3, 3, 1), p.expand(3))[0].flatten().tolist().count(1) for p in place]
    assert [threes.count(n) for n in (1, 2)] == [500, 500]


def test_rounding_chooses_no_component_that_there_is_not(mixture):
    # 2 and the number below 1 are 3 in single precision, all three draws' worth.
    place = torch.nextafter(torch.ones(3), torch.zeros(3))
    assert 2 + place[0] == 3
    assert mixture.sample(torch.zeros(3, 3, 1), place).squeeze(-1).tolist() == [[1, 4, 4], [4] * 3, [-3] * 3]


def test_a_mixture_of_one_is_that_one():
    q = rows("laplace", (1.0, 0.5), (-1.0, 2.0))
    found, z = Mixture.alone(q), torch.tensor([[[0.3]], [[2.0]]], dtype=torch.float64)
    torch.testing.assert_close(found.log_density(z), q.log_density(z))
    torch.testing.assert_close(found.sample(z, torch.zeros(2)).squeeze(-2), q.sample(z.squeeze(-2)))
