"""FedProx: a proximal term holds local steps near the global parameters.

Source: Li et al., "Federated Optimization in Heterogeneous Networks", 2020, eq. 2: the local loss plus
mu/2 ||w - x||^2. Its gradient mu (w - x) is part of what the optimiser sees, so that every optimiser descends the whole
objective: v <- momentum v + g + mu (w - x), w <- w - lr v. FedMultimodal (Feng et al. 2023) adds it in place to the
momentum buffer, which is the same.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StrictBool
from torch import Tensor

from raysim.algorithms.base import Algorithm, Correction


class FedProx(Algorithm):
    """FedAvg on the local loss plus mu/2 ||w - x||^2, under any optimiser."""

    class Options(Algorithm.Options):
        """FedProx's own settings."""

        mu: Annotated[float, Field(ge=0)] = Field(default=0.01, description="Strength of the proximal term.")
        prox_in_momentum: StrictBool = Field(
            default=True,
            description="False: the term stands beside momentum and Adam's scaling, w <- w - lr (v + mu (w - x)). That "
            "descends another objective: with momentum it holds 1 / (1 - momentum) times less.",
        )

    options: Options

    def correct(self, grads: Sequence[Tensor], local: Correction) -> Sequence[Tensor]:
        """The gradients plus mu (w - x)."""
        if not self.options.prox_in_momentum:
            return grads
        return [g + p for g, p in zip(grads, self._proximal(local), strict=True)]

    def pull(self, local: Correction) -> Sequence[Tensor]:
        """Nothing, but for `prox_in_momentum: false`."""
        return () if self.options.prox_in_momentum else self._proximal(local)

    def _proximal(self, local: Correction) -> list[Tensor]:
        return [self.options.mu * (w - x) for w, x in zip(local.weights, local.start, strict=True)]
