"""A method that trains one network from end to end, for jobs whose networks are given layer by layer."""

from typing import Literal

from torch import Tensor, nn

from raysim.method import Batch, Group, Method, Nets, Objective, Phase, Task, Train
from raysim.models.convolution import Conv2d, MaxPool2d
from raysim.models.layers import Flatten, Linear

NETWORK = "network"


class Whole(Method):
    """One network on the only modality; every client owns it."""

    class Options(Method.Options):
        """Which network."""

        network: Literal["cnn", "mlp"]

    options: Options
    fills = None

    def modules(self, task: Task) -> dict[str, Group]:
        """The network."""
        (modality,) = task.modalities.values()
        build = {"cnn": _cnn, "mlp": _mlp}[self.options.network]
        return {NETWORK: Group(build(modality.shape, task.classes))}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """One stage."""
        return (Phase("train", (Train("train", (Objective((NETWORK,), self.loss),)),)),)

    def predict(self, nets: Nets, batch: Batch) -> Tensor:
        """Logits (*K, B, C)."""
        (x,) = batch.x.values()
        return nets[NETWORK](x)


def _cnn(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two convolutions of 3 x 3, each halving the image, and a linear layer."""
    channels, height, width = shape
    return nn.Sequential(
        Conv2d(channels, 16, 3, padding=1), MaxPool2d(2), nn.ReLU(),
        Conv2d(16, 32, 3, padding=1), MaxPool2d(2), nn.ReLU(),
        Flatten(3), Linear(32 * (height // 4) * (width // 4), classes),
    )  # fmt: skip


def _mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
    """One hidden layer of 64."""
    return nn.Sequential(Linear(shape[0], 64), nn.ReLU(), Linear(64, classes))
