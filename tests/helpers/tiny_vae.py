"""Three modalities of 8 samples, linear networks and noise, all by one formula: the problem whose losses are known.

a has 3 numbers, b has 2, c is 2 words of 3. Latent spaces, shared and private, have 2 dimensions. The losses of all
models were derived elsewhere, twice by hand and, where it has the model, by multivae 1.0.3. The file, beside the
repository, has them with gradients and parts; the script beside it says how they were made.
"""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from raysim import registry
from raysim.batch import Batch, Clock, Nets
from raysim.draws import Draws
from raysim.models.layers import Linear, Unflatten
from raysim.models.likelihood import Categorical, Laplace, Normal
from raysim.models.mapping import LatentMapping
from raysim.models.vae import Raw, VaeDecoder, VaeEncoder

FILE = Path(__file__).parents[2] / "../shared/fixtures/generative/losses.json"
ROWS, DRAWS = 8, 3
DIMS = {"a": 3, "b": 2, "c": 6}
NAMES = tuple(DIMS)
SUBSETS = [subset for n in (1, 2, 3) for subset in combinations(NAMES, n)]
LIKELIHOODS = {
    "a": Laplace(name="laplace", scale=0.75),
    "b": Normal(name="normal", scale=1.0, weight=1.5),
    "c": Categorical(name="categorical", weight=0.5),
}
WORDS = [[0, 2], [1, 1], [2, 0], [0, 0], [1, 2], [2, 2], [0, 1], [1, 0]]
INCOMPLETE = {"a": [1, 1, 0, 1, 0, 1, 0, 1], "b": [1, 0, 1, 1, 0, 0, 1, 1], "c": [1, 1, 1, 0, 1, 0, 0, 1]}


class Formula:
    """The next numbers of sin(0.9 k^1.3 + 0.3), rounded to three decimals."""

    def __init__(self):
        self.count = 0

    def __call__(self, *shape, scale=1.0):
        k = np.arange(self.count, self.count + int(np.prod(shape)))
        self.count += len(k)
        return torch.from_numpy(np.round(scale * np.sin(0.9 * k**1.3 + 0.3), 3).reshape(shape))


def _encoders(g):
    parts = {"W_mu": 0.5, "b_mu": 0.3, "W_lv": 0.5, "b_lv": 0.3}
    return {m: {p: g(*((d, 2) if p[0] == "W" else (2,)), scale=s) for p, s in parts.items()} for m, d in DIMS.items()}


def _decoders(g, width):
    return {m: {"V": g(width, d, scale=0.8), "c": g(d, scale=0.2)} for m, d in DIMS.items()}


G = Formula()
X = {"a": G(ROWS, 3), "b": G(ROWS, 2), "c": torch.tensor(WORDS)}
TABLES = {
    "encoders": _encoders(G),
    "private_encoders": _encoders(G),
    "decoders": _decoders(G, 2),
    "decoders_plus": _decoders(G, 4),
}
TABLES |= {"prior_raw": G(2, scale=0.4), "aux_raw": {m: G(2, scale=0.4) for m in NAMES}}
NOISE = {
    "joint": G(ROWS, 2),
    "subset": {"_".join(s): G(ROWS, 2) for s in SUBSETS},
    "mods": {m: G(DRAWS, ROWS, 2, scale=1.5) for m in NAMES},
    "private": {m: G(DRAWS, ROWS, 2, scale=1.5) for m in NAMES},
    "aux": {s: {t: G(DRAWS, ROWS, 2, scale=1.5) for t in NAMES if t != s} for s in NAMES},
}
"""Standardised, (draw, sample, dimension): z = location + scale * noise, b being Laplace's scale."""


class OneHot(nn.Module):
    """Words (..., 2) -> (..., 6)."""

    def forward(self, words):
        return F.one_hot(words, 3).flatten(-2).to(torch.get_default_dtype())


class Pairs(VaeDecoder):
    """A decoder of two words."""

    def expected(self, target):
        return F.one_hot(target, 3).to(torch.get_default_dtype())


def linear(weight, bias):
    layer = Linear(*weight.shape)
    layer.weight.data, layer.bias.data = weight.T.clone(), bias.clone()
    return layer


def encoder(m, table):
    net = VaeEncoder(OneHot() if m == "c" else nn.Identity(), DIMS[m], 2)
    net.mean, net.logvar = linear(table["W_mu"], table["b_mu"]), linear(table["W_lv"], table["b_lv"])
    return net


def decoder(m, table):
    up = linear(table["V"], table["c"])
    net = Pairs(nn.Sequential(up, Unflatten(2, 3)), dims=2) if m == "c" else VaeDecoder(up)
    net.likelihood = LIKELIHOODS[m]
    return net


def raw(values):
    net = Raw(len(values))
    net.raw.data = values.clone()
    return net


def networks(*, private=False):
    """All groups, of models with private numbers or without."""
    nets = {"gen.prior": raw(TABLES["prior_raw"])}
    for m in NAMES:
        nets[f"gen.{m}.encoder"] = encoder(m, TABLES["encoders"][m])
        nets[f"gen.{m}.decoder"] = decoder(m, TABLES["decoders_plus" if private else "decoders"][m])
        if private:
            nets[f"gen.{m}.private"] = encoder(m, TABLES["private_encoders"][m])
            nets[f"gen.{m}.auxiliary"] = raw(TABLES["aux_raw"][m])
    return nets


def mappings():
    """From each latent space to each other one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {f"map.{s}_{t}": LatentMapping(2, 4) for s in NAMES for t in NAMES if s != t}


def batch(data="complete", x=None, clients=0):
    """The samples, which lack nothing or 9 of 24 modalities; or `clients` stacked ones, which share them."""
    x = X if x is None else x
    present = {
        m: torch.tensor(p) > 0 if data == "incomplete" else torch.ones(ROWS, dtype=torch.bool)
        for m, p in INCOMPLETE.items()
    }
    if clients:
        x, present = ({m: t.unflatten(0, (clients, -1)) for m, t in table.items()} for table in (x, present))
    rows = torch.ones_like(present["a"])
    draws = Draws(0, [(k,) for k in range(max(1, clients))], axis=bool(clients), device=torch.device("cpu"))
    lengths = {"c": torch.full_like(rows, 2, dtype=torch.long)}
    return Batch(
        x, lengths, present, torch.zeros_like(rows, dtype=torch.long), rows, Clock("train", 1, 0, 0.0), draws, None
    )


def normal(standardised, family="normal"):
    """Standard normal numbers, (sample, draw, dimension), that become these ones of a family."""
    values = standardised if standardised.dim() == 3 else standardised[None]
    if family == "laplace":
        values = -values.sign() * torch.from_numpy(stats.norm.ppf(np.exp(-values.abs().numpy()) / 2))
    return values.transpose(0, 1)


def feed(table):
    """Noise by name, as many draws of it as are asked for."""

    def noise(name, shape, kind="normal"):
        values = table[name] if kind == "uniform" else table[name][..., : shape[-2], :]
        assert values.shape == shape
        return values

    return noise


def place(index, there):
    """Uniform numbers that choose a component each, given which are there, (sample, component)."""
    rank = there.cumsum(-1).gather(-1, torch.as_tensor(index).unsqueeze(-1)).squeeze(-1) - 1
    return (rank + 0.5) / there.sum(-1)


def gradients(nets, loss):
    """Of the groups, by the names in the file."""
    loss.backward()
    found = {"prior_raw": nets["gen.prior"].raw.grad}
    for m in NAMES:
        parts = {"enc": nets[f"gen.{m}.encoder"], "dec": nets[f"gen.{m}.decoder"]}
        if f"gen.{m}.private" in nets:
            parts["private"] = nets[f"gen.{m}.private"]
            found[f"aux_raw.{m}"] = nets[f"gen.{m}.auxiliary"].raw.grad
        for kind, net in parts.items():
            if kind == "dec":
                found[f"dec.{m}.V"] = next(p for p in net.parameters() if p.dim() == 2).grad.T
            else:
                name = f"enc.{m}.private" if kind == "private" else f"enc.{m}"
                found |= {f"{name}.W_mu": net.mean.weight.grad.T, f"{name}.W_lv": net.logvar.weight.grad.T,
                          f"{name}.b_lv": net.logvar.bias.grad}  # fmt: skip
    return found


class Found:
    """A generator's terms of the batch, with literal networks and noise."""

    def __init__(self, kind, data, noise, *, private=False, **options):
        self.batch, self.nets = batch(data), networks(private=private)
        self.generator = kind(options_of(kind, options))
        self.terms = self.generator.terms(Nets(self.nets), self.batch, feed(noise))

    def again(self, batch, noise):
        """The losses of another batch."""
        return self.generator.terms(Nets(self.nets), batch, feed(noise)).loss

    def has(self, case, loss, **parts):
        """Whether it has the values and, of a loss, the gradients of a case in the file."""
        assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
        for name, of_case in parts.items():
            torch.testing.assert_close(self.terms.parts[name], torch.tensor(case["parts"][of_case]), rtol=0, atol=1e-6)
        found = gradients(self.nets, loss)
        assert case["gradients"]
        for name, values in case["gradients"].items():
            torch.testing.assert_close(found[name], torch.tensor(values).view_as(found[name]), rtol=0, atol=1e-6)


def options_of(kind, options):
    """With the sizes of the literal networks."""
    if "backbone" in kind.Options.model_fields:
        return registry.options(kind, {"backbone": {"name": "autoencoders", "latent": 2}, "map_hidden": 4} | options)
    sizes = {"latent": 2} | ({"private": 2} if "private" in kind.Options.model_fields else {})
    return registry.options(kind, sizes | options)


def known(model, data, **settings):
    """The case of the file."""
    if not FILE.is_file():
        pytest.skip("needs ../shared/fixtures/generative beside the repository: parts and gradients of known losses")
    cases = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
    (case,) = [c for c in cases if (c["model"], c["data"]) == (model, data)
               and all(c["settings"][k] == v for k, v in settings.items())]  # fmt: skip
    return case
