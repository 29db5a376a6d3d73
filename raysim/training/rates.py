"""The learning rates of one stage in one round, where a client's own steps may have a schedule."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from raysim.scenario.schedule import AnySchedule, Constant


class Rates:
    """The rates of a stack's clients.

    Args:
        schedule: over a client's steps.
        lr: the round's rate.
        steps: of each client, how many it takes.
        device: where its tensors are.
    """

    def __init__(self, schedule: AnySchedule, lr: float, steps: Sequence[int], device: torch.device) -> None:
        self._schedule, self._lr, self._steps, self._device = schedule, lr, steps, device

    def at(self, step: int, clients: int) -> float | Tensor:
        """Of the first clients in a step, counted from 0: (clients,) float64, or one number where all have the same."""
        return self._each(clients, {n: self._rate(step, n) for n in set(self._steps[:clients])})

    def mean(self, clients: int) -> float | Tensor:
        """Of the first clients, over all of their steps; likewise."""
        if isinstance(self._schedule, Constant):
            return self._lr
        sizes = set(self._steps[:clients])
        return self._each(clients, {n: math.fsum(self._rate(step, n) for step in range(n)) / n for n in sizes})

    def _rate(self, step: int, steps: int) -> float:
        return self._schedule.rate(self._lr, step, steps)

    def _each(self, clients: int, rates: dict[int, float]) -> float | Tensor:
        """From number of steps -> rate."""
        if len(set(rates.values())) == 1:
            return next(iter(rates.values()))
        return torch.tensor([rates[n] for n in self._steps[:clients]], dtype=torch.float64, device=self._device)
