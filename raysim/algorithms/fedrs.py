"""FedRS: classes that a client does not have are restricted in its softmax.

Source: Li and Zhan, "FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID Data", 2021: the
logits of those classes are scaled by alpha. The default is FedMultimodal's 0.9 (Feng et al. 2023). That benchmark also
trains the last layer without its bias, which inference then adds (`drop_bias`). Ours: for multi-label data a label that
is never positive at a client counts as a class that it does not have.
"""

from typing import Annotated

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn

from raysim.algorithms.base import Algorithm
from raysim.batch import Batch, Nets
from raysim.models.layers import linear

_HEAD = "task.head"


class FedRS(Algorithm):
    """Scales logits in training only; the server is FedAvg's."""

    class Options(Algorithm.Options):
        """FedRS's own settings."""

        alpha: Annotated[float, Field(ge=0, le=1)] = Field(
            default=0.9, description="Factor of the logits of classes that a client does not have."
        )
        drop_bias: StrictBool | None = Field(
            default=None,
            description="Train without the bias of the linear layer that ends task.head; a method's other classifiers "
            "keep theirs. null: only under compat.",
        )

    options: Options
    outcomes = frozenset({"single_label", "multi_label"})

    def nets(self, nets: Nets) -> Nets:
        """With `drop_bias` a `task.head` without the last layer's bias, where it ends in a linear layer."""
        drop = self.compat if self.options.drop_bias is None else self.options.drop_bias
        if not drop or _HEAD not in nets:
            return nets
        *body, last = _layers(nets[_HEAD])
        if not isinstance(last, nn.Linear):
            return nets
        return nets.replacing({_HEAD: nn.Sequential(*body, _Unbiased(last))})

    def logits(self, logits: Tensor, batch: Batch) -> Tensor:
        """The logits (*K, B, C) of each client, those of classes that it does not have times alpha."""
        if not batch.clients:
            return logits
        counts = torch.tensor([client.class_counts for client in batch.clients], device=logits.device)
        scale = torch.where(counts > 0, 1.0, self.options.alpha)
        return logits * scale.reshape(*logits.shape[:-2], 1, logits.shape[-1])


class _Unbiased(nn.Module):
    """A linear layer without its bias."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(*K, B, D) -> (*K, B, C)."""
        return linear(x, self.layer.weight, torch.zeros_like(self.layer.bias))


def _layers(head: nn.Module) -> list[nn.Module]:
    return list(head) if isinstance(head, nn.Sequential) else [head]
