"""Schedules of the learning rate: pure functions of the time, so nothing is kept and a resumed trial has the same bits.

Settings and values are those of `torch.optim.lr_scheduler`. What counts as time is said where a schedule is asked for.
"""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo

from raysim.scenario.section import Count, NonNegative, Section, named


class Constant(Section):
    """The rate stays as it is."""

    name: Literal["constant"] = "constant"

    def rate(self, lr: float, at: int, length: int) -> float:
        """The rate at a time.

        Args:
            lr: where it starts.
            at: the time, from 0.
            length: how long it lasts; `at` is below.
        """
        return lr


class Cosine(Section):
    """Half a cosine down to `eta_min` (Loshchilov and Hutter 2017; CosineAnnealingLR)."""

    name: Literal["cosine"]
    t_max: Count | None = Field(
        default=None, description="When it is at eta_min; it rises again after that, as torch's. null: at the end."
    )
    eta_min: NonNegative = Field(default=0.0, description="The least rate.")

    def rate(self, lr: float, at: int, length: int) -> float:
        """See `Constant.rate`; a start that is below `eta_min` stays."""
        least = min(self.eta_min, lr)
        return least + (lr - least) * (1 + math.cos(math.pi * at / (self.t_max or length))) / 2


class Step(Section):
    """The rate times `gamma` after every `step_size` (StepLR)."""

    name: Literal["step"]
    step_size: Count = Field(description="How long a rate lasts.", examples=["10"])
    gamma: Annotated[float, Strict(), Field(gt=0.0, le=1.0)] = Field(
        default=0.1, description="What it is multiplied by."
    )

    def rate(self, lr: float, at: int, length: int) -> float:
        """See `Constant.rate`."""
        return lr * self.gamma ** (at // self.step_size)


class Warmup(Section):
    """The rate rises in a line from `start_factor` of it to all of it, then another schedule starts (LinearLR)."""

    name: Literal["warmup"]
    total_iters: Count = Field(default=5, description="When it is all of it.")
    start_factor: Annotated[float, Strict(), Field(gt=0.0, le=1.0)] = Field(
        default=1 / 3, description="The share that it starts from."
    )
    then: Annotated[Constant | Cosine | Step, Field(discriminator="name"), BeforeValidator(named)] = Field(
        default=Constant(), description="What follows, counted from there on (SequentialLR)."
    )

    def rate(self, lr: float, at: int, length: int) -> float:
        """See `Constant.rate`."""
        if at >= self.total_iters:
            return self.then.rate(lr, at - self.total_iters, length - self.total_iters)
        return lr * (self.start_factor + (1 - self.start_factor) * at / self.total_iters)


AnySchedule = Constant | Cosine | Step | Warmup


def _falling(schedule: AnySchedule, info: ValidationInfo) -> AnySchedule:
    """The schedule of an optimiser.

    Raises:
        ValueError: its least rate is above the rate.
    """
    last, lr = schedule.then if isinstance(schedule, Warmup) else schedule, info.data.get("lr")
    if isinstance(last, Cosine) and lr is not None and last.eta_min > lr:
        raise ValueError(f"eta_min {last.eta_min:g} is above the learning rate {lr:g}; write less")
    return schedule


Schedule = Annotated[AnySchedule, Field(discriminator="name"), BeforeValidator(named), AfterValidator(_falling)]
