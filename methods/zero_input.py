"""Zero filling as the code of the benchmark FedMultimodal does it: everybody trains everything, and silence is heard.

Source: Feng et al., "FedMultimodal: A Benchmark for Multimodal Federated Learning", 2023, and its public code, to
compare with numbers published from it (`compat: fedmultimodal`). It differs from `zero_fill` in two ways.

- A client sends the whole model and counts in the mean of all of it. An encoder that it has no use for goes back as it
  came, but for weight decay, and holds the others' back.
- What is missing is an input of zeros of length 0, whose tokens attention masks. But behind convolutions that halve
  the steps every length is at least one: the first token of silence stays, and the client trains its encoder on it.

Shapes: K clients (may be absent), B batch, T steps, D features.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from raysim.method import Batch, Feature, Group, Method, Nets, Streams, Task
from raysim.models.encoders import ConvGru

REACH = 4
"""Times `downsampling`: so many steps at most decide the first token."""


class ZeroInput(Method):
    """A token of silence where sound is absent, nothing where anything else is; no owners."""

    fills = "input"

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, which everyone owns."""
        return {name: replace(group, needs=frozenset[str]()) for name, group in super().modules(task).items()}

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Each modality's embedding where it is present."""
        filled: dict[str, Feature] = {}
        for m, feature in features.items():
            encoder, absent = nets[f"task.{m}"], None
            if isinstance(encoder, ConvGru) and not batch.everywhere(m):
                absent = silence(encoder, batch.x[m])
            filled[m] = feature.where(batch.present[m], absent)
        return filled


def silence(encoder: ConvGru, x: Tensor) -> Feature:
    """What an encoder makes of the first step of zeros, for as many samples as x (*K, B, T, D) has: one token each."""
    zeros = x.new_zeros(*x.shape[:-2], REACH * encoder.downsampling, x.shape[-1])
    feature = encoder(zeros)
    return Feature(feature.tokens[..., :1, :], feature.valid[..., :1])
