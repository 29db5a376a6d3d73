import numpy as np
import pytest
import torch
from tiny_vae import NOISE, Found, gradients, known, normal

from raysim import registry
from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.generators.mmvae_plus import MmvaePlus
from raysim.models.task import Task
from raysim.scenario.model import Model

CASES = {
    "laplace iwae": ("laplace", "iwae", 1, 2.5), "laplace dreg": ("laplace", "dreg", 3, 1.0),
    "normal dreg": ("normal", "dreg", 3, 1.0), "normal iwae": ("normal", "iwae", 3, 2.5),
}  # fmt: skip
LOSSES = {
    ("complete", "laplace iwae"): 104.9897061579, ("complete", "laplace dreg"): 85.9475669797,
    ("complete", "normal dreg"): 79.1781185452, ("complete", "normal iwae"): 89.3846784425,
    ("incomplete", "laplace iwae"): 71.0425823051,
}  # fmt: skip
SCALES = {"laplace": "softmax", "normal": "softplus"}


def found(data, case, **changed):
    family, estimator, samples, beta = CASES[case]
    noise = {f"z.{m}": normal(eps, family) for m, eps in NOISE["mods"].items()}
    noise |= {f"w.{m}": normal(eps, family) for m, eps in NOISE["private"].items()}
    noise |= {f"w.{s}_{t}": normal(eps, family) for s, table in NOISE["aux"].items() for t, eps in table.items()}
    options = {"family": family, "scale": SCALES[family], "estimator": estimator, "samples": samples, "beta": beta}
    return Found(MmvaePlus, data, noise, private=True, **options | changed)


def known_case(data, case):
    family, estimator, samples, beta = CASES[case]
    kind = f"{family}_{SCALES[family]}"
    return known("mmvae_plus", data, family=kind, estimator=estimator, samples=samples, beta=beta)


def test_the_sizes_of_the_papers_networks():
    modality = {"m0": Modality("image", (3, 28, 28))}
    groups = MmvaePlus(registry.options(MmvaePlus, {"images": "resnet"})).groups(Task(modality, 10, False, Model()))
    sizes = {name: sum(p.numel() for p in group.net.parameters()) for name, group in groups.items()}
    assert sizes["gen.m0.encoder"] + sizes["gen.m0.private"] == 2_946_048
    assert sizes["gen.m0.decoder"] == 1_485_251
    assert sizes["gen.m0.auxiliary"] == 32
    assert set(sizes) == {f"gen.m0.{part}" for part in ("encoder", "decoder", "private", "auxiliary")}


def test_private_numbers_are_of_ones_own_posterior_where_it_is_given():
    run = found("incomplete", "laplace iwae")
    q = run.generator.posterior(Nets(run.nets), run.batch, ("a", "b"))
    encoded = run.generator.encode(Nets(run.nets), {"a": run.batch.x["a"]}, "private")["a"]
    there = run.batch.present["a"]
    torch.testing.assert_close(q.private["a"].mean[there], encoded.mean[there])
    assert not q.private["a"].mean[~there].any()
    assert not q.private["c"].mean.any()
    # Laplace's scale of 1, as a softmax gives it: a variance of 2.
    torch.testing.assert_close(q.private["c"].logvar.exp(), torch.full((8, 2), 2.0), rtol=1e-5, atol=0)


def test_the_priors_normal_scale_is_log_2():
    run = found("complete", "normal dreg")
    prior = run.generator.posterior(Nets(run.nets), run.batch, ())
    for q in (prior.shared.components[-1], *prior.private.values()):
        assert (q.logvar / 2).exp().unique().tolist() == pytest.approx([np.log(2)], abs=2e-6)


@pytest.mark.parametrize(("data", "case"), LOSSES)
def test_losses(data, case):
    assert found(data, case).terms.loss.sum().item() == pytest.approx(LOSSES[data, case], abs=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("data", ["complete", "incomplete"])
def test_parts_and_gradients(data, case):
    expected, run = known_case(data, case), found(data, case)
    assert run.terms.loss.tolist() == pytest.approx(expected["parts"]["per_sample"], abs=1e-6)
    run.has(expected, run.terms.loss.sum())


@pytest.mark.parametrize("case", ["laplace dreg", "normal dreg"])
def test_the_gradients_of_the_papers_code(case):
    expected = known_case("complete", case)["parts"]["gradients_official_undetached"]
    run = found("complete", case, estimator="dreg_undetached")
    values = gradients(run.nets, run.terms.loss.sum())
    assert expected
    for name, gradient in expected.items():
        torch.testing.assert_close(values[name], torch.tensor(gradient).view_as(values[name]), rtol=0, atol=1e-6)
