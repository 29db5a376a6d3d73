"""Priors of a latent space, posteriors, their products and mixtures, independent in each dimension (FedRecon, app. F).

Both families are told by mean and log variance. N(m, v) has the density exp(-(z - m)^2 / (2 v)) / sqrt(2 pi v); a
Laplace distribution of scale b has exp(-|z - m| / b) / (2 b) and the variance v = 2 b^2.

The divergence is KL(q || p) = E_q[-log p] - H(q). The paper gives no formulas; these follow.

- Entropies. For both families -log q is a constant and a deviation whose mean is known, E(z - m)^2 = v and
  E|z - m| = b: H = (log(2 pi v) + 1) / 2 for the normal, H = log(2 b) + 1 for Laplace.
- p = N(m_p, v_p): E_q[-log p] = log(2 pi v_p) / 2 + E_q(z - m_p)^2 / (2 v_p), where E_q(z - m_p)^2 = v_q + d^2 with
  d = m_q - m_p, whatever the family of q.
- p = Laplace(m_p, b_p): E_q[-log p] = log(2 b_p) + a / b_p with a = E_q|z - m_p|. As a function of m_p, a has the
  derivative 2 F_q(m_p) - 1, F_q being q's distribution function; so a is its value at m_p = m_q plus the integral of
  1 - 2 F_q(m_q - t), which is odd in t, over t from 0 to d. That integrand is 1 - exp(-t / b_q) for Laplace, t > 0, and
  erf(t / sqrt(2 v_q)) for the normal. So
  - q = Laplace(m_q, b_q): a = b_q + |d| + b_q (exp(-|d| / b_q) - 1) = |d| + b_q exp(-|d| / b_q);
  - q = N(m_q, v_q): a = sqrt(2 v_q / pi) exp(-d^2 / (2 v_q)) + d erf(d / sqrt(2 v_q)).

Together, with s^2 = v of the normal:

- KL(N_q || N_p) = log(s_p / s_q) + (s_q^2 + d^2) / (2 s_p^2) - 1/2
- KL(Laplace_q || Laplace_p) = log(b_p / b_q) + |d| / b_p + (b_q / b_p) exp(-|d| / b_q) - 1
- KL(Laplace_q || N_p) = log(2 pi s_p^2) / 2 - log(2 b_q) - 1 + (2 b_q^2 + d^2) / (2 s_p^2)
- KL(N_q || Laplace_p) = log(2 b_p) - log(2 pi e s_q^2) / 2
  + (s_q sqrt(2 / pi) exp(-d^2 / (2 s_q^2)) + d erf(d / (s_q sqrt 2))) / b_p

A shape (...) is a batch's (*K, B, L): clients (may be absent), rows, latent dimensions. S are draws, C components.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from raysim.scenario.section import Positive, Section

Family = Literal["normal", "laplace"]
Scale = Literal["exp", "softplus", "softmax"]

LEAST = 1e-6
"""Added to scales that come from a softplus or a softmax, as in MMVAE's code."""
_NORMALISER = {"normal": 0.5 * math.log(2 * math.pi), "laplace": 0.5 * math.log(2)}
"""-log of the density's factor at unit variance."""
_ENTROPY = {"normal": _NORMALISER["normal"] + 0.5, "laplace": _NORMALISER["laplace"] + 1}
"""At unit variance."""


@dataclass(frozen=True)
class Distribution:
    """Normal or Laplace, by mean and log variance, (...) both."""

    family: Family
    mean: Tensor
    logvar: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """A draw made from standard normal numbers (...).

        They become Laplace's through both distribution functions: for scale 1 the tails beyond |z| hold exp(-|z|),
        those of the normal beyond |eps| hold 2 Phi(-|eps|), hence |z| = -log(2 Phi(-|eps|)), finite for every eps.
        """
        unit = eps
        if self.family == "laplace":
            special: Any = torch.special  # not typed
            tail: Tensor = special.log_ndtr(-eps.abs())
            unit = -math.sqrt(0.5) * eps.sign() * (tail + math.log(2))
        return self.mean + unit * (self.logvar / 2).exp()

    def each(self, change: Callable[[Tensor], Tensor]) -> "Distribution":
        """The same with both numbers changed: detached, say, or with a dimension more."""
        return Distribution(self.family, change(self.mean), change(self.logvar))

    def where(self, rows: Tensor, other: "Distribution") -> "Distribution":
        """This one where rows (*K, B) say so, else another of the same family."""
        rows = rows.unsqueeze(-1)
        mean, logvar = torch.where(rows, self.mean, other.mean), torch.where(rows, self.logvar, other.logvar)
        return Distribution(self.family, mean, logvar)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of each dimension of z (...)."""
        apart = z - self.mean
        deviation = apart.square() / (2 * self.logvar.exp()) if self.family == "normal" else apart.abs() / self._scale
        return -(_NORMALISER[self.family] + self.logvar / 2 + deviation)

    def log_density(self, z: Tensor) -> Tensor:
        """Of draws z (*K, B, S, L), several a row: (*K, B, S)."""
        return self.each(lambda t: t.unsqueeze(-2)).log_prob(z).sum(-1)

    def divergence(self, prior: "Distribution") -> Tensor:
        """KL(self || prior) of each dimension, (...)."""
        constant = _NORMALISER[prior.family] - _ENTROPY[self.family]
        return (prior.logvar - self.logvar) / 2 + constant + self._deviation(prior)

    @property
    def _scale(self) -> Tensor:
        """Laplace's, from the variance."""
        return (self.logvar / 2).exp() * math.sqrt(0.5)

    def _deviation(self, prior: "Distribution") -> Tensor:
        """The mean under this distribution of (z - m)^2 / (2 v) or |z - m| / b of the prior."""
        apart = self.mean - prior.mean
        if prior.family == "normal":
            return (self.logvar.exp() + apart.square()) / (2 * prior.logvar.exp())
        if self.family == "laplace":
            scale = self._scale
            absolute = apart.abs() + scale * (-apart.abs() / scale).exp()
        else:
            wide = (self.logvar / 2).exp() * math.sqrt(2)
            ratio = apart / wide
            absolute = wide / math.sqrt(math.pi) * (-ratio.square()).exp() + apart * ratio.erf()
        return absolute / prior._scale


def scaled(family: Family, mean: Tensor, raw: Tensor, rule: Scale) -> Distribution:
    """A distribution from what a network gives, (...) both.

    Args:
        family: what is made.
        mean: its mean.
        raw: what its scale is made of, the standard deviation of a normal distribution or b of Laplace's.
        rule: `exp`, raw is the log variance; `softplus`, the scale is log(1 + exp(raw)); `softmax`, it is the softmax
            over the dimensions times their number, so that scales are 1 on average (MMVAE).
    """
    if rule == "exp":
        return Distribution(family, mean, raw)
    scale = F.softplus(raw) if rule == "softplus" else raw.softmax(-1) * raw.shape[-1]
    return Distribution(family, mean, 2 * (scale + LEAST).log() + (math.log(2) if family == "laplace" else 0.0))


def product(experts: Sequence[Distribution], weights: Sequence[Tensor]) -> Distribution:
    """The normal distribution whose density is proportional to the experts', each to the power of its weight.

    With weights 0 and 1 a product of experts, with weights that add up to one their geometric mean.

    Args:
        experts: normal distributions, (*K, B, L) each.
        weights: (*K, B) each, at least one above 0 in each row.
    """
    shares = [w.unsqueeze(-1) * (-q.logvar).exp() for q, w in zip(experts, weights, strict=True)]
    total = torch.stack(shares).sum(0)
    mean = torch.stack([s * q.mean for q, s in zip(experts, shares, strict=True)]).sum(0) / total
    return Distribution("normal", mean, -total.log())


@dataclass(frozen=True)
class Mixture:
    """Of distributions with equal weights, those that a row has.

    Attributes:
        components: C of (*K, B, L).
        there: (*K, B, C) bool, at least one in each row.
    """

    components: tuple[Distribution, ...]
    there: Tensor

    @staticmethod
    def alone(q: Distribution) -> "Mixture":
        """Of one component."""
        return Mixture((q,), q.mean.new_ones((*q.mean.shape[:-1], 1), dtype=torch.bool))

    @staticmethod
    def of(components: Sequence[Distribution], there: Sequence[Tensor], otherwise: Distribution) -> "Mixture":
        """Where (*K, B) a row has none of them, it is `otherwise`."""
        known = torch.stack([*there, torch.zeros_like(otherwise.mean[..., 0], dtype=torch.bool)], dim=-1)
        known[..., -1] = ~known.any(-1)
        return Mixture((*components, otherwise), known)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Mixture":
        """The same with the components' numbers changed."""
        return Mixture(tuple(q.each(change) for q in self.components), self.there)

    def average(self, values: Sequence[Tensor]) -> Tensor:
        """The mean over a row's components of C values (*K, B, L)."""
        there = self.there.unsqueeze(-1)
        return torch.where(there, torch.stack(list(values), dim=-2), 0.0).sum(-2) / there.sum(-2)

    def mean(self) -> Tensor:
        """(*K, B, L)."""
        return self.average([q.mean for q in self.components])

    def divergence(self, prior: Distribution) -> Tensor:
        """The mean over components of KL(component || prior), (*K, B)."""
        return self.average([q.divergence(prior) for q in self.components]).sum(-1)

    def log_density(self, z: Tensor) -> Tensor:
        """Of draws z (*K, B, S, L): (*K, B, S)."""
        each = [q.log_density(z) for q in self.components]
        values = torch.where(self.there.unsqueeze(-2), torch.stack(each, dim=-1), -torch.inf)
        return values.logsumexp(-1) - self.there.sum(-1, keepdim=True).to(values).log()

    @property
    def _families(self) -> set[Family]:
        return {q.family for q in self.components}

    def sample(self, eps: Tensor, place: Tensor) -> Tensor:
        """S draws in a row, (*K, B, S, L), spread evenly over its components: each has its share, rounded at random.

        Args:
            eps: standard normal numbers (*K, B, S, L).
            place: uniform in [0, 1), (*K, B): where among the components the draws begin.
        """
        draws, count = eps.shape[-2], self.there.sum(-1, keepdim=True)
        at = (torch.arange(draws, device=eps.device) + place.unsqueeze(-1)) / draws * count
        nth = torch.minimum(at.long(), count - 1)
        index = (self.there.cumsum(-1).unsqueeze(-2) <= nth.unsqueeze(-1)).sum(-1, keepdim=True).expand_as(eps)
        mean, logvar = (
            torch.stack(parts, dim=-2).gather(-2, index)
            for parts in ([q.mean for q in self.components], [q.logvar for q in self.components])
        )
        drawn = {f: Distribution(f, mean, logvar).sample(eps) for f in self._families}
        if len(drawn) == 1:
            return next(iter(drawn.values()))
        normal = torch.tensor([q.family == "normal" for q in self.components], device=eps.device)
        return torch.where(normal[index], drawn["normal"], drawn["laplace"])


class NormalPrior(Section):
    """The same normal distribution in each dimension; by default the standard one."""

    name: Literal["normal"]
    mean: float = 0.0
    std: Positive = 1.0

    @property
    def variance(self) -> float:
        """The square of `std`."""
        return self.std**2


class LaplacePrior(Section):
    """The same Laplace distribution in each dimension; by default of unit variance."""

    name: Literal["laplace"]
    mean: float = 0.0
    scale: Positive = Field(default=math.sqrt(0.5), description="The mean of |z - mean|; its variance is 2 scale^2.")

    @property
    def variance(self) -> float:
        """Twice the square of `scale`."""
        return 2 * self.scale**2


Prior = Annotated[NormalPrior | LaplacePrior, Field(discriminator="name")]
STANDARD = NormalPrior(name="normal")


def distribution(prior: NormalPrior | LaplacePrior, like: Tensor) -> Distribution:
    """A prior as numbers that broadcast, on a tensor's device and in its precision."""
    return Distribution(prior.name, like.new_full((), prior.mean), like.new_full((), math.log(prior.variance)))
