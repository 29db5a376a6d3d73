"""Priors of a latent space and posteriors of the same family, independent in each dimension (FedRecon, appendix F).

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

A shape (...) is a batch's (*K, B, L): clients (may be absent), rows, latent dimensions.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from raysim.scenario.schema import Positive, Section

Family = Literal["normal", "laplace"]

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

    def divergence(self, prior: "Distribution") -> Tensor:
        """KL(self || prior) of each dimension, (...)."""
        constant = _NORMALISER[prior.family] - _ENTROPY[self.family]
        return (prior.logvar - self.logvar) / 2 + constant + self._deviation(prior)

    def _deviation(self, prior: "Distribution") -> Tensor:
        """The mean under this distribution of (z - m)^2 / (2 v) or |z - m| / b of the prior."""
        apart = self.mean - prior.mean
        if prior.family == "normal":
            return (self.logvar.exp() + apart.square()) / (2 * prior.logvar.exp())
        if self.family == "laplace":
            scale = (self.logvar / 2).exp() * math.sqrt(0.5)
            absolute = apart.abs() + scale * (-apart.abs() / scale).exp()
        else:
            wide = (self.logvar / 2).exp() * math.sqrt(2)
            ratio = apart / wide
            absolute = wide / math.sqrt(math.pi) * (-ratio.square()).exp() + apart * ratio.erf()
        return absolute / ((prior.logvar / 2).exp() * math.sqrt(0.5))


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
