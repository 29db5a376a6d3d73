"""Three of the standard jobs as anybody would write them in plain PyTorch: imports nothing of raysim.

`python -m raysim.bench.reference mlp` prints what a round takes; `raysim bench` compares with the same loop. One
process, one thread, one client after another; one copy of the network and one optimiser serve all clients.
Shapes: B batch, T steps, N samples.
"""

import importlib
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

BATCH, LR = 16, 0.01


class Cnn(nn.Sequential):
    """Two convolutions, each halving the picture, and a linear layer: (B, 1, 28, 28) -> (B, 10)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1568, 10),
        )  # fmt: skip


class Mlp(nn.Sequential):
    """(B, 128) -> (B, 10)."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


class Multimodal(nn.Module):
    """Convolutions and a GRU for audio, a GRU for text, attention over all their steps, a head."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (80, 32, 64, 128)
        self.convolutions = nn.Sequential(
            *(
                part
                for before, after in pairwise(sizes)
                for part in (nn.Conv1d(before, after, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(0.1))
            )
        )
        self.audio, self.text = nn.GRU(128, 64, batch_first=True), nn.GRU(512, 64, batch_first=True)
        self.scores = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 6))
        self.head = nn.Sequential(nn.Linear(384, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """(B, 200, 80) and (B, 30, 512) -> (B, 10)."""
        heard, read = self.audio(self.convolutions(audio.mT).mT)[0], self.text(text)[0]
        tokens = torch.cat([heard, read], dim=1)
        return self.head((self.scores(tokens).softmax(1).mT @ tokens).flatten(1))


JOBS: dict[str, tuple[type[nn.Module], tuple[tuple[int, ...], ...], int, int, int]] = {
    "cnn": (Cnn, ((1, 28, 28),), 100, 10, 64),
    "mlp": (Mlp, ((128,),), 1000, 100, 32),
    "multimodal": (Multimodal, ((200, 80), (30, 512)), 80, 10, 64),
}
"""Job -> network, shapes of its inputs, clients, clients a round, samples of each."""


def rounds(name: str) -> Iterator[float]:
    """Seconds of each round, for ever: FedAvg, one epoch of SGD, on random data."""
    kind, shapes, clients, cohort, samples = JOBS[name]
    torch.set_num_threads(1)
    optim: Any = importlib.import_module("torch.optim")
    inputs = [torch.randn(clients, samples, *shape) for shape in shapes]
    labels = torch.randint(10, (clients, samples))
    net, loss_of, lists = kind(), nn.CrossEntropyLoss(), torch
    own: list[Tensor] = list(net.parameters())
    optimizer = optim.SGD(own, lr=LR)
    shared, mean = [p.detach().clone() for p in own], [torch.zeros_like(p) for p in own]
    while True:
        began = time.perf_counter()
        for client in torch.randperm(clients)[:cohort].tolist():  # pyright: ignore[reportUnknownVariableType]
            with torch.no_grad():
                lists._foreach_copy_(own, shared)
            batches: tuple[Tensor, ...] = torch.split(torch.randperm(samples), BATCH)
            for rows in batches:
                optimizer.zero_grad()
                loss_of(net(*(x[client, rows] for x in inputs)), labels[client, rows]).backward()
                optimizer.step()
            with torch.no_grad():
                lists._foreach_add_(mean, own, alpha=1 / cohort)
        shared, mean = mean, shared
        lists._foreach_zero_(mean)
        yield time.perf_counter() - began


def _main(name: str, turns: int = 30) -> None:
    found = rounds(name)
    next(found)
    times = [1000 * next(found) for _ in range(turns)]
    print(f"{name}: {statistics.median(times):.1f} ms a round, mean {statistics.fmean(times):.1f}")  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1])
