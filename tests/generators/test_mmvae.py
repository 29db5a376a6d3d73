import pytest
import torch
from tiny_vae import NAMES, NOISE, Found, feed, known, normal

from raysim.batch import Nets
from raysim.generators.mmvae import Mmvae

LOSSES = {
    ("complete", "laplace", "iwae", 1): 88.3041982058, ("complete", "laplace", "iwae", 3): 78.8979790144,
    ("complete", "laplace", "dreg", 3): 74.8192091930, ("complete", "normal", "iwae", 1): 89.0701969129,
    ("complete", "normal", "iwae", 3): 80.2804534082, ("complete", "normal", "dreg", 3): 76.2694849038,
    ("incomplete", "laplace", "dreg", 3): 48.5674376558,
}  # fmt: skip
CASES = [(data, *rest) for data in ("complete", "incomplete") for _, *rest in list(LOSSES)[:6]]
SCALES = {"laplace": "softmax", "normal": "exp"}


def found(data, family, estimator, samples):
    noise = {f"z.{m}": normal(eps, family) for m, eps in NOISE["mods"].items()}
    return Found(Mmvae, data, noise, family=family, scale=SCALES[family], estimator=estimator, samples=samples)


@pytest.mark.parametrize(("learn", "scale"), [(True, None), (False, 1.0)])
def test_the_priors_scale_is_learnt_or_fixed(learn, scale):
    run = Found(Mmvae, "complete", {f"z.{m}": normal(NOISE["mods"][m]) for m in NAMES}, learn_prior=learn, samples=1)
    run.terms.loss.sum().backward()
    assert (run.nets["gen.prior"].raw.grad is not None) == learn
    found = (run.generator.prior(Nets(run.nets), run.batch).logvar.exp() / 2).sqrt()
    expected = 2 * run.nets["gen.prior"].raw.softmax(-1) if learn else torch.tensor([scale, scale])
    torch.testing.assert_close(found, expected.expand(8, 2), rtol=0, atol=2e-6)


def test_one_draw_of_dreg_has_the_value_of_iwae():
    losses = [found("incomplete", "laplace", estimator, 1).terms.loss for estimator in ("iwae", "dreg")]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(("data", "family", "estimator", "samples"), LOSSES)
def test_losses(data, family, estimator, samples):
    expected = LOSSES[data, family, estimator, samples]
    assert found(data, family, estimator, samples).terms.loss.sum().item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("data", "family", "estimator", "samples"), CASES)
def test_parts_and_gradients(data, family, estimator, samples):
    kind = f"{family}_{SCALES[family]}"
    case = known("mmvae", data, family=kind, estimator=estimator, samples=samples)
    run = found(data, family, estimator, samples)
    assert run.terms.loss.tolist() == pytest.approx(case["parts"]["per_sample"], abs=1e-6)
    run.has(case, run.terms.loss.sum())


def test_the_bound_is_the_known_one_where_modalities_keep_their_weights(monkeypatch):
    run = found("complete", "laplace", "iwae", 1)
    # Three draws from each of the modalities, one after another.
    eps = torch.cat([normal(NOISE["mods"][m], "laplace") for m in NAMES], dim=-2)
    weighted = run.generator.likelihood
    monkeypatch.setattr(run.generator, "likelihood", lambda *args, weighted_=weighted, weighted: weighted_(*args))
    noise = feed({"z": eps, "component": torch.zeros(8)})
    bound = run.generator.bound(Nets(run.nets), run.batch, noise, draws=9)
    assert -bound.mean().item() == pytest.approx(9.2426202, abs=1e-6)
