"""The task's loss, through the algorithm, and an objective's in parts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raysim.batch import Batch, Nets
from raysim.method import Objective
from raysim.training.job import Job

REAL: Mapping[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}
"""Of a regression, by `model.head.loss`."""
LANES = 16
"""Over fewer classes than a register holds torch goes one by one; where samples come last it does several of them."""
_OVER: Any = object()


def task_loss(job: Job) -> Callable[[Tensor, Batch], Tensor]:
    """(logits (*K, B, C), batch) -> (*K): cross-entropy, or the mean of the labels' binary cross-entropies.

    Of a regression the mean of the targets' losses.
    """
    real = REAL[job.task.model.head.loss or "mse"]

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        logits = job.algorithm.logits(logits if logits.dtype != torch.bfloat16 else logits.float(), batch)
        if job.task.regression:
            each = real(logits, batch.y, reduction="none").mean(-1)
        elif job.task.multi_label:
            each = F.binary_cross_entropy_with_logits(logits, batch.y, reduction="none").mean(-1)
        elif logits.dim() > 2 and logits.shape[-1] < LANES:
            each = F.cross_entropy(logits.mT.contiguous(), batch.y, reduction="none")
        else:
            each = F.cross_entropy(logits.flatten(0, -2), batch.y.flatten(), reduction="none").view_as(batch.y)
        return batch.mean(each)

    return loss


def parts(
    objective: Objective, nets: Nets, batch: Batch, precision: Callable[[], AbstractContextManager[object]]
) -> Iterator[Tensor]:
    """An objective's loss as it comes, (*K) each: whole, or one part when the one before is done with.

    Args:
        objective: whose.
        nets: the networks.
        batch: the samples.
        precision: what networks compute in; what is done with a part is not in it.
    """
    with precision():
        loss = objective.loss(nets, batch)
    if not isinstance(loss, Iterator):
        yield loss
        return
    while True:
        with precision():
            part = next(loss, _OVER)
        if part is _OVER:
            return
        yield part
