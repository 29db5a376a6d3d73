"""What is absent is made, as an input, from all that is there at once, by any multimodal generator.

Source: ours; the use of multimodal VAEs that Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous
Distributed Environments", 2025, compares its mappings with, put into a federation.

The posterior of everything that a sample has is decoded to what it lacks, and the task model's encoder reads that. The
generator (`raysim list generators`) is trained on all samples, whatever they lack: in each round before the task model,
or in rounds of its own (`pretrain_rounds`), after which it may stay as it is (`freeze: phase`). Nothing but what its
file says is exchanged, as the algorithm says.

Networks of two modalities that no client has together never learn what one says of the other, though each is trained.
So there is a number for each pair, `pair.<a>_<b>`, which the clients that have samples with both pull from 0 to 1: a
modality is made in rows that have another one which somebody has had together with it. What such a row has besides
takes part in its posterior, whether anybody has had that together with the target or not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from raysim.generators.base import Count
from raysim.generators.named import Conditional, generator_of
from raysim.generators.reconstruction import reconstruction_sums
from raysim.method import (
    Batch,
    Compute,
    Feature,
    Group,
    Method,
    Nets,
    Objective,
    Optimizer,
    Phase,
    Sgd,
    Streams,
    Task,
    Train,
    usable,
)
from raysim.models.reconstruction import shares


class VaeFill(Method):
    """The task model, the generator's groups, and `pair.<a>_<b>`."""

    class Options(Method.Options):
        """Which generator, and when it is trained."""

        generator: Conditional = Field(
            description="Its name, or a mapping with its name and options.", examples=["mopoe"]
        )
        draw: Literal["mean", "sample"] = Field(default="mean", description="What of the posterior is decoded.")
        pretrain_rounds: Annotated[int, Field(ge=0)] = Field(
            default=0, description="Rounds of the generator alone before all others."
        )
        freeze: Literal["never", "phase"] = Field(
            default="never", description="phase: after pretrain_rounds the generator stays as it is."
        )
        generator_epochs: Count | None = Field(
            default=None, description="Null: the federation's local epochs. A generator's own ones come first."
        )
        generator_optimizer: Optimizer | None = Field(default=None, description="Null: the federation's; likewise.")

        @model_validator(mode="after")
        def _trained(self) -> Self:
            if self.freeze == "phase" and not self.pretrain_rounds:
                raise ValueError(
                    "freeze: phase would leave the generator untrained; write pretrain_rounds of 1 or more"
                )
            return self

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.generator = generator_of(options.generator)

    def check(self, task: Task) -> None:
        """The generator has networks for all modalities."""
        super().check(task)
        self.generator.check(task)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, the generator's, and the pairs, which have a plain mean."""
        pairs = {
            _pair(a, b): Group(_Met(), frozenset({a, b}), algorithm=False, weights="uniform")
            for a, b in combinations(task.modalities, 2)
        }
        return super().modules(task) | self.generator.groups(task) | pairs

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """The generator's stages before the task's, every round, or in rounds of their own."""
        *early, last = (replace(phase, stages=tuple(self._set(phase))) for phase in self.generator.phases())
        o, task_stage = self.options, self.task_stage()
        if not o.pretrain_rounds:
            return (*early, replace(last, stages=(*last.stages, task_stage)))
        alone = replace(last, name="generator", rounds=o.pretrain_rounds, evaluate=False)
        return (*early, alone, Phase("train", (*(last.stages if o.freeze == "never" else ()), task_stage)))

    def _set(self, phase: Phase) -> Iterator[Train | Compute]:
        """A generator's stages with what is set of them here; the first one trains the pairs, too."""
        o = self.options
        for number, stage in enumerate(phase.stages):
            if not isinstance(stage, Train):
                yield stage
                continue
            objectives = [replace(x, optimizer=x.optimizer or o.generator_optimizer) for x in stage.objectives]
            if number == 0:
                objectives.append(Objective(("pair.*",), self.meet, Sgd(name="sgd", lr=1.0)))
            yield replace(stage, epochs=stage.epochs or o.generator_epochs, objectives=tuple(objectives))

    def meet(self, nets: Nets, batch: Batch) -> Tensor:
        """What pulls the pairs' numbers to 1, (*K), of value 0."""
        pulls = [(net.met - 1).square().squeeze(-1) / 2 for net in nets.values() if isinstance(net, _Met)]
        pull = torch.stack(pulls).sum(0)
        return (pull - pull.detach()).expand(batch.rows.shape[:-1])

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Real embeddings, and those of what is made where there is none."""
        filled = {m: f.where(batch.present[m]) for m, f in features.items()}
        targets = [m for m in features if not batch.everywhere(m)]
        if not targets:
            return filled
        with torch.no_grad():
            q = self.generator.posterior(nets, batch)
            latent = q.mean() if self.options.draw == "mean" else q.draw(batch.noise)
        for m in targets:
            sources = self.generator.sources(nets, batch, m)
            sources = usable(sources, nets, {s: _pair(s, m, nets) for s in sources.present})
            if sources.present:
                x, lengths, known = self.generator.synthesise(nets, latent, sources, m)
                made: Feature = nets[f"task.{m}"](x, lengths)
                filled[m] = filled[m].where(batch.present[m], made.where(known))
        return filled

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """What tells the errors of each modality, decoded from itself and from each other one."""
        return reconstruction_sums(self.generator, nets, batch)

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Errors and divergences as shares of the variance; see `raysim.models.reconstruction.shares`."""
        return shares(sums)


class _Met(nn.Module):
    """A number that is 0 until somebody has had two modalities together."""

    client_axis = True

    def __init__(self) -> None:
        super().__init__()
        self.met = nn.Parameter(torch.zeros(1))


def _pair(a: str, b: str, nets: Nets | None = None) -> str:
    """A pair's group, in either order where there are networks."""
    return f"pair.{a}_{b}" if nets is None or f"pair.{a}_{b}" in nets else f"pair.{b}_{a}"
