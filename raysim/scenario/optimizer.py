"""Optimisers of clients."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, StrictBool

from raysim.scenario.section import BelowOne, NonNegative, Positive, Section, as_tuple, named


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = Field(default=0.05, description="Learning rate.")
    momentum: BelowOne = 0.0
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")


class Adam(Section):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    name: Literal["adam"]
    lr: Positive = Field(default=1e-3, description="Learning rate.")
    betas: Annotated[tuple[BelowOne, BelowOne], BeforeValidator(as_tuple)] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")
    persistent: StrictBool = Field(default=False, description="Moments stay with the client over the rounds (FIN).")


class AdamW(Adam):
    """Adam whose weight decay stands beside the gradient, w <- w (1 - lr decay) (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weight_decay: NonNegative = 0.01


def _optimizer(value: Any) -> Any:
    """SGD where no name is given, so that `federation.optimizer.lr` can be set by itself."""
    value = named(value)
    return {"name": "sgd", **cast(dict[str, Any], value)} if isinstance(value, dict) else value


Optimizer = Annotated[Sgd | Adam | AdamW, Field(discriminator="name"), BeforeValidator(_optimizer)]
