"""Optimisers of clients."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, StrictBool

from raysim.scenario.schedule import Constant, Schedule
from raysim.scenario.section import BelowOne, NonNegative, Positive, Section, as_tuple, named

OverRounds = Annotated[
    Schedule,
    Field(
        description="The rate over the rounds, for all clients alike, as where a server sends each round's rate. The "
        "clock is the federation's: it counts the rounds of a phase, whoever took part, and each phase starts anew."
    ),
]
OverSteps = Annotated[
    Schedule,
    Field(
        description="The rate over a client's steps, from the round's rate on. The clock is the client's: it counts "
        "the steps of a stage in one round and starts anew in each, as a scheduler does that a client makes when its "
        "training is called; also where moments persist."
    ),
]


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = Field(default=0.05, description="Learning rate.")
    momentum: BelowOne = Field(default=0.0, description="Share of the last direction that stays.")
    weight_decay: NonNegative = Field(default=0.0, description="Times the weights, added to the gradient.")
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")
    schedule: OverRounds = Constant()
    local_schedule: OverSteps = Constant()


class Adam(Section):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    name: Literal["adam"]
    lr: Positive = Field(default=1e-3, description="Learning rate.")
    betas: Annotated[tuple[BelowOne, BelowOne], BeforeValidator(as_tuple)] = Field(
        default=(0.9, 0.999), description="Shares of the first and second moment that stay."
    )
    eps: Positive = Field(default=1e-8, description="Added to the root of the second moment.")
    weight_decay: NonNegative = Field(default=0.0, description="Times the weights, added to the gradient.")
    clip_norm: Positive | None = Field(default=None, description="Largest norm of a client's gradient.")
    schedule: OverRounds = Constant()
    local_schedule: OverSteps = Constant()
    persistent: StrictBool = Field(default=False, description="Moments stay with the client over the rounds (FIN).")


class AdamW(Adam):
    """Adam whose weight decay stands beside the gradient, w <- w (1 - lr decay) (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weight_decay: NonNegative = Field(default=0.01, description="Times the rate and the weights, taken off them.")


def _optimizer(value: Any) -> Any:
    """SGD where no name is given, so that `federation.optimizer.lr` can be set by itself."""
    value = named(value)
    return {"name": "sgd", **cast(dict[str, Any], value)} if isinstance(value, dict) else value


Optimizer = Annotated[Sgd | Adam | AdamW, Field(discriminator="name"), BeforeValidator(_optimizer)]
