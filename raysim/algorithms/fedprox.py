"""FedProx: a proximal term holds local steps near the global parameters.

Source: Li et al., "Federated Optimization in Heterogeneous Networks", 2020, eq. 2: the local loss plus
mu/2 ||w - x||^2. FedMultimodal (Feng et al. 2023) adds that term's gradient in place to the momentum buffer, so that it
accumulates there: v <- momentum v + g, v <- v + mu (w - x), w <- w - lr v; in the long run it pulls 1 / (1 - momentum)
times as hard. `prox_in_momentum` is that form; without momentum the two are the same.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StrictBool
from torch import Tensor

from raysim.algorithms.base import Algorithm, Correction


class FedProx(Algorithm):
    """w <- w - lr (v + mu (w - x)), where v is the optimiser's own direction.

    Under Adam that pull is beside the adaptive step, as in AdamW's weight decay; with `prox_in_momentum` it is part of
    the gradient, so that Adam scales it as it scales the gradient.
    """

    class Options(Algorithm.Options):
        """FedProx's own settings."""

        mu: Annotated[float, Field(ge=0)] = Field(default=0.01, description="Strength of the proximal term.")
        prox_in_momentum: StrictBool | None = Field(
            default=None, description="Whether momentum accumulates the proximal term; null: only under compat."
        )

    options: Options

    def correct(self, grads: Sequence[Tensor], local: Correction) -> Sequence[Tensor]:
        """With `prox_in_momentum` the gradients plus mu (w - x)."""
        if not self._in_momentum:
            return grads
        return [g + p for g, p in zip(grads, self._proximal(local), strict=True)]

    def pull(self, local: Correction) -> Sequence[Tensor]:
        """Without it mu (w - x)."""
        return () if self._in_momentum else self._proximal(local)

    def _proximal(self, local: Correction) -> list[Tensor]:
        return [self.options.mu * (w - x) for w, x in zip(local.weights, local.start, strict=True)]

    @property
    def _in_momentum(self) -> bool:
        return self.compat if self.options.prox_in_momentum is None else self.options.prox_in_momentum
