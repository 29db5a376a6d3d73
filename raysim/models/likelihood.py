"""What a decoder's output says of a sample: one likelihood for each kind of data, with a weight in the objective.

Shapes: K clients (may be absent), B batch, S draws, T positions, V words. What is decoded is (*K, B, S, *shape), what
it is compared with (*K, B, 1, *shape).
"""

import math
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from raysim.data.dataset import Kind
from raysim.models.priors import Distribution
from raysim.scenario.section import Positive, Section


class _Likelihood(Section):
    weight: Positive = Field(default=1.0, description="Of this modality's log-likelihood in the objective.")

    def mean(self, decoded: Tensor) -> Tensor:
        """What is expected of a sample, of the same shape."""
        return decoded


class Normal(_Likelihood):
    """Around what is decoded."""

    name: Literal["normal"]
    scale: Positive = Field(default=1.0, description="Standard deviation.")

    def log_prob(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Of each number, (*K, B, S, *shape)."""
        return Distribution("normal", decoded, decoded.new_full((), 2 * math.log(self.scale))).log_prob(target)


class Laplace(_Likelihood):
    """Around what is decoded."""

    name: Literal["laplace"]
    scale: Positive = Field(default=0.75, description="The mean of |x - location|.")

    def log_prob(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Of each number, (*K, B, S, *shape)."""
        return Distribution("laplace", decoded, decoded.new_full((), math.log(2 * self.scale**2))).log_prob(target)


class Bernoulli(_Likelihood):
    """Of numbers from 0 to 1, decoded as logits."""

    name: Literal["bernoulli"]

    def log_prob(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Of each number, (*K, B, S, *shape)."""
        return target * decoded - F.softplus(decoded)

    def mean(self, decoded: Tensor) -> Tensor:
        """Probabilities."""
        return decoded.sigmoid()


class Categorical(_Likelihood):
    """Of words (*K, B, 1, T), decoded as logits (*K, B, S, T, V)."""

    name: Literal["categorical"]
    padding: Literal["counted", "ignored"] = Field(
        default="ignored",
        description="Whether the positions after a text's end, which hold the padding's id, count (MMVAE+).",
    )

    def log_prob(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Of each word, (*K, B, S, T)."""
        words = target.expand(decoded.shape[:-1]).unsqueeze(-1)
        return decoded.log_softmax(-1).gather(-1, words).squeeze(-1)

    def mean(self, decoded: Tensor) -> Tensor:
        """Probabilities of the words."""
        return decoded.softmax(-1)


def words(probabilities: Tensor) -> Tensor:
    """The likeliest ids (..., T) of `Categorical.mean`, (..., T, V); `Codec.caption` makes a text of them."""
    return probabilities.argmax(-1)


Likelihood = Annotated[Normal | Laplace | Bernoulli | Categorical, Field(discriminator="name")]
UNIT = Normal(name="normal")
BY_KIND: dict[Kind, Normal | Laplace | Categorical] = {
    "image": Laplace(name="laplace"), "sequence": UNIT, "vector": UNIT, "tokens": Categorical(name="categorical"),
}  # fmt: skip
"""What is taken where a scenario says nothing; of images the one of MMVAE+, MoPoE and MMVM."""
