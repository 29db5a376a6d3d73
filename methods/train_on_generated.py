"""What generated samples are good for: the task model is trained on what a generator makes of real samples.

Source: none; the test is that of Ravuri and Vinyals, "Classification Accuracy Score for Conditional Generative Models",
2019, in a federation. In a first phase the generator is trained. Then, in each step, it makes all modalities of each
sample anew, from a draw of the posterior of what the sample has, and the task model learns the sample's label from
these; it is evaluated on real samples. `data: both` adds the loss on the real samples, `real` has it alone.

A modality whose decoder nobody has trained is not made. What is absent at evaluation stays absent.
"""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from raysim.generators.named import Conditional, generator_of
from raysim.method import Batch, Group, Method, Nets, Phase, Task


class TrainOnGenerated(Method):
    """The task model beside the generator's networks `gen.*`."""

    class Options(Method.Options):
        """Which generator, and what the task model sees of it."""

        generator: Conditional = Field(
            description="Its name, or a mapping with its name and options.", examples=["mopoe"]
        )
        data: Literal["generated", "both", "real"] = Field(
            default="generated", description="What the task model is trained on."
        )
        pretrain_rounds: Annotated[int, Field(ge=1)] = Field(
            default=20, description="Rounds that train the generator, before those of the federation."
        )

    options: Options
    fills = None
    kinds = frozenset({"vector", "image"})

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.generator = generator_of(options.generator)

    def check(self, task: Task) -> None:
        """The generator has networks for all modalities.

        Raises:
            ValueError: one line with the reason and the way out.
        """
        super().check(task)
        self.generator.check(task)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model and the generator."""
        return super().modules(task) | self.generator.groups(task)

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """The generator's rounds, then the task model's."""
        first = Phase("generator", self.generator.stages(), rounds=self.options.pretrain_rounds, evaluate=False)
        return (first, Phase("train", (self.task_stage(),)))

    def loss(self, nets: Nets, batch: Batch) -> Tensor:
        """On real samples, generated ones, or the mean of both, (*K)."""
        batches = [] if self.options.data == "generated" else [batch]
        if self.options.data != "real":
            batches.append(self.generated(nets, batch))
        return torch.stack([b.task_loss(self.predict(nets, b)) for b in batches]).mean(0)

    def generated(self, nets: Nets, batch: Batch) -> Batch:
        """The same samples with all their modalities made."""
        with torch.no_grad():
            latent = self.generator.posterior(nets, batch).draw(batch.noise)
            made = {m: self.generator.decode(nets, latent, m).squeeze(batch.rows.dim()) for m in batch.x}
        known = torch.stack([*batch.present.values()]).any(0)
        present = {m: known & nets.learnt(f"gen.{m}.decoder") for m in made}
        complete = frozenset(made)
        clients = tuple(replace(c, modalities=complete, always=frozenset[str]()) for c in batch.clients)
        return replace(batch, x=made, present=present, clients=clients)
