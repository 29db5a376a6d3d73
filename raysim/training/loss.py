"""The task's loss, through the algorithm."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from raysim.batch import Batch
from raysim.training.job import Job


def task_loss(job: Job) -> Callable[[Tensor, Batch], Tensor]:
    """(logits (*K, B, C), batch) -> (*K): cross-entropy, or the mean of the labels' binary cross-entropies."""

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        logits = job.algorithm.logits(logits if logits.dtype != torch.bfloat16 else logits.float(), batch)
        if job.task.multi_label:
            each = F.binary_cross_entropy_with_logits(logits, batch.y, reduction="none").mean(-1)
        else:
            each = F.cross_entropy(logits.flatten(0, -2), batch.y.flatten(), reduction="none").view_as(batch.y)
        return batch.mean(each)

    return loss
