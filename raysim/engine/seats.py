"""Where data preparation works: a seat for each process, on nodes that see the files. Pure, but for `Places.now`."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.engine.membership import alive

_ray: Any = ray  # only partly typed
ANYWHERE = ""


@dataclass(frozen=True)
class Places:
    """What nodes there are for a work.

    Attributes:
        here: the driver's node.
        offered: node -> its CPUs and GPUs.
        names: node -> its name.
        gpu: whether the work uses GPUs where there are some.
        workers: how many processes are wished; None for as many as there is room for.
    """

    here: str
    offered: Mapping[str, tuple[float, float]]
    names: Mapping[str, str]
    gpu: bool = False
    workers: int | None = None

    @classmethod
    def now(cls, gpu: bool, workers: int | None) -> "Places":
        """What Ray has by now."""
        nodes = alive()
        offered = {node.id: (node.cpus, node.gpus) for node in nodes}
        here: str = ray.get_runtime_context().get_node_id()
        return cls(here, offered, {node.id: node.name for node in nodes}, gpu, workers)

    @property
    def count(self) -> int:
        """How many processes."""
        cpus, gpus = (sum(found) for found in zip(*self.offered.values(), strict=True))
        return self.workers or int((gpus if self.gpu else 0) or cpus) or 1

    @property
    def share(self) -> float:
        """Of a GPU, for each process."""
        return min(1.0, sum(gpus for _, gpus in self.offered.values()) / self.count) if self.gpu else 0.0

    @property
    def seats(self) -> list[str]:
        """The nodes of the processes, in turn; on one node Ray chooses."""
        if len(self.offered) == 1:
            return [ANYWHERE] * self.count
        room = {node: self._room(*offered) for node, offered in self.offered.items()}
        order = sorted(room, key=lambda node: node != self.here)
        turns = range(max(room.values()))
        return list(islice((node for turn in turns for node in order if turn < room[node]), self.count))

    @property
    def last(self) -> list[str]:
        """Where no other node can do the work: this one, whatever it offers to Ray."""
        return [self.here] * (self.workers or os.cpu_count() or 1)

    def is_other(self, seat: str) -> bool:
        """Whether it is on another node than the driver's."""
        return seat not in (ANYWHERE, self.here)

    def options(self, seat: str, *, again: bool = False) -> dict[str, Any]:
        """What a task asks Ray for; `again` here, beside all that is under way."""
        if seat == ANYWHERE:
            return {"num_cpus": 1, "num_gpus": self.share}
        node = self.here if again else seat
        room = not again and self._room(*self.offered[node]) > 0
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return {"num_cpus": int(room), "num_gpus": self.share if room else 0.0, "scheduling_strategy": there}

    def _room(self, cpus: float, gpus: float) -> int:
        return int(min(cpus, math.inf if not self.share else math.floor(gpus / self.share + 1e-9)))
