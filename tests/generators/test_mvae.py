from dataclasses import replace

import pytest
import torch
from tiny_vae import NOISE, Found, known, normal

from raysim.generators.mvae import Mvae

LOSSES = {("complete", True): 18.0614464976, ("complete", False): 8.8783690523, ("incomplete", True): 14.8553418919}
CASES = [*LOSSES, ("incomplete", False)]


def found(data, unimodal):
    noise = {"joint" if name == "a_b_c" else name: eps for name, eps in NOISE["subset"].items()}
    return Found(Mvae, data, {f"z.{name}": normal(eps) for name, eps in noise.items()}, unimodal=unimodal)


def by_members(run):
    """The known losses are means over the samples that have a member of a subset, added over subsets."""
    present = run.batch.present
    rows = {"joint": torch.stack([*present.values()]).any(0), **present}
    return sum(loss.sum() / rows[name].sum() for name, loss in run.terms.parts.items())


@pytest.mark.parametrize(("data", "unimodal"), LOSSES)
def test_losses(data, unimodal):
    run = found(data, unimodal)
    assert by_members(run).item() == pytest.approx(LOSSES[data, unimodal], abs=1e-6)
    torch.testing.assert_close(run.terms.loss, sum(run.terms.parts.values()))


@pytest.mark.parametrize(("data", "unimodal"), CASES)
def test_parts_and_gradients(data, unimodal):
    case, run = known("mvae", data, unimodal_elbos=unimodal), found(data, unimodal)
    for name, part in case["parts"].items():
        loss = run.terms.parts["joint" if name == "a_b_c" else name]
        pairs = zip(part["log_likelihood"], part["kl"], part["samples"], strict=True)
        expected = [there * (kl - likelihood) for likelihood, kl, there in pairs]
        assert loss.tolist() == pytest.approx(expected, abs=1e-6)
    run.has(case, by_members(run))


def test_a_beta_that_has_grown_by_half_is_half_of_it():
    noise = {"z.joint": normal(NOISE["joint"])}
    whole, half = (Found(Mvae, "complete", noise, unimodal=False, beta=beta).terms.loss for beta in (2.0, 1.0))
    run = Found(Mvae, "complete", noise, unimodal=False, beta=2.0, warmup_rounds=2)
    training = replace(run.batch, clients=(type("Client", (), {"modalities": frozenset("abc")})(),))
    torch.testing.assert_close(run.terms.loss, whole)
    torch.testing.assert_close(run.again(training, noise), half)
