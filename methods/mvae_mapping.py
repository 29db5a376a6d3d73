"""FedRecon: an autoencoder for each modality and mappings between their latent spaces synthesise what a sample lacks.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025,
algorithm 1, eqs. 3, 5 and 6, appendices D to F. Each round a client trains its autoencoders on every modality that it
has (stage 1), then the mappings on samples that have both modalities, autoencoders fixed (stage 2), then the task model
on real and synthetic inputs (stage 3). Beside its own generator it keeps a frozen copy of the global one; both
synthesise, and their streams weigh as one together.

A client exchanges what its modalities need (figure 2b): it downloads the encoders of what it has, the mappings from
there and all decoders, since it synthesises what it lacks, and uploads what it trained.

Eq. 6 joins features f_m with a reconstruction f'_m. By section 4.2 a modality decoded from itself is not enough, and
algorithm 1 trains mappings before it reconstructs: f'_m is decoded from the sample's other modalities, never from its
own. `synthetic: always` gives it to every sample that has another modality, `missing` to those that lack m.

Where nobody has pairs no mapping is ever trained, and only autoencoders of single modalities are left (appendix D). A
mapping that nobody has trained yet synthesises nothing, so that the task model is then trained as by zero filling.

From the paper where it says something: all means count clients alike (algorithm 1: 1/K; `aggregation: samples` weighs
them), and the errors are of a Gaussian of unit variance with `beta` 1 (eq. 3). Otherwise than there: Adam, where
algorithm 1 writes plain gradient steps of a rate that it does not give; mappings learn from the source's posterior
mean, where eq. 4 has an expectation over its draws (`source_latent: sample`), which was behind on UTD-MHAD; they
synthesise from the mean.

The generator is `raysim.generators.mapping` on `raysim.generators.autoencoders`, whose files say what is ours in them.
Ours where the paper is silent: epochs and sizes; the weight of synthetic streams; with more than two modalities, the
mean of the mapped latents of those available. Ablations: `mapping: false` decodes the source's latent as it is,
`freeze: never` keeps no copy, and `model.fusion: concat` takes the attention away.

Another architecture is plugged in by a subclass whose `autoencoder` returns its two halves: a `VaeEncoder` around a
network that gives features and a `VaeDecoder` around one that takes a latent vector, or subclasses of these. A client
trains it, or it is pre-trained (`generator_weights`, `pretrain_rounds`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from raysim.generators.autoencoders import Autoencoders
from raysim.generators.mapping import MappedCodes, Settings
from raysim.generators.reconstruction import reconstruction_sums
from raysim.method import Batch, ClientInfo, Feature, Group, Method, Nets, Phase, Streams, Task, everyone
from raysim.models.reconstruction import shares
from raysim.models.vae import VaeDecoder, VaeEncoder


class MvaeMapping(Method):
    """Generators `gen.<modality>.encoder` and `.decoder`, and mappings `map.<source>_<target>`, with a plain mean."""

    class Options(Method.Options, Settings, Autoencoders.Options):
        """FedRecon's settings."""

        freeze: Literal["round", "start", "never"] = Field(
            default="round",
            description="When the frozen generator is taken from the global one: each round, or once, at the start or "
            "after pre-training, when mappings are not trained yet, so that it synthesises with mapping: false alone; "
            "never: no copy.",
        )
        synthetic: Literal["missing", "always"] = Field(
            default="missing", description="Where there are synthetic streams: for absent modalities, or for all."
        )
        synthetic_weight: Annotated[float, Field(gt=0)] | None = Field(
            default=None, description="Of a synthetic stream in the fusion; null: one over the number of streams."
        )
        aggregation: Literal["uniform", "samples"] = Field(
            default="uniform",
            description="How clients count in all means; samples leaves the task model's to the algorithm.",
        )
        exchange: Literal["needed", "all"] = Field(
            default="needed", description="Whether a client downloads what its modalities need, or everything."
        )

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.generator = MappedCodes(options, _Plugged(options, self.autoencoder))
        if options.freeze != "never":
            level = "phase" if options.freeze == "start" and options.pretrain_rounds else options.freeze
            self.replicas = dict.fromkeys(("gen.*", "map.*") if options.mapping else ("gen.*",), level)

    def check(self, task: Task) -> None:
        """Priors are of modalities that there are, and the generators fit the data and their weights."""
        super().check(task)
        self.generator.check(task)

    def autoencoder(self, task: Task, modality: str) -> tuple[VaeEncoder, VaeDecoder]:
        """A modality's autoencoder, with a latent space of `options.latent` numbers. Override it to use another one."""
        return self.generator.backbone.autoencoder(task, modality, self.options.latent)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, the generators and the mappings."""
        aggregation = self.options.aggregation
        rule = "uniform" if aggregation == "uniform" else "algorithm"
        whole = {name: replace(group, weights=rule) for name, group in super().modules(task).items()}
        plain = {
            name: replace(group, algorithm=False, weights=aggregation, reaches=self._reaches(name, task))
            for name, group in self.generator.groups(task).items()
        }
        return whole | plain

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Algorithm 1's three stages, every round; the first before all others where the generators are pre-trained."""
        return self.generator.phases(self.task_stage())

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Real embeddings where there are any, and synthetic ones, by the own and by the frozen generator."""
        always = self.options.synthetic == "always"
        targets = [m for m in features if always or not batch.everywhere(m)]
        own_only = nets.frozen is nets or self.options.freeze == "never"
        with torch.no_grad():
            several = [nets] if own_only else [nets, nets.frozen]
            latents = [(g, self.generator.posterior(g, batch).mean()) for g in several if targets]
        weight = self.options.synthetic_weight or 1 / len(several)
        streams: dict[str, Sequence[Feature]] = {}
        for m, feature in features.items():
            made = [feature.where(batch.present[m])]
            for g, latent in latents if m in targets else ():
                sources = self.generator.sources(g, batch, m)
                if sources.present:
                    x, lengths, known = self.generator.synthesise(g, latent, sources, m)
                    synthetic: Feature = nets[f"task.{m}"](x, lengths)
                    where = known if always else known & ~batch.present[m]
                    made.append(Feature(synthetic.tokens, synthetic.valid, weight).where(where))
            streams[m] = made
        return streams

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """What tells the errors of each modality, decoded from itself and from each other one, and held-back pairs."""
        return reconstruction_sums(self.generator, nets, batch)

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Errors and divergences as shares of the variance; see `raysim.models.reconstruction.shares`."""
        return shares(sums)

    def remarks(self, examined: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
        """Whether the mappings fill nothing in, since all clients found them no better than the mean."""
        left_out = [figures["left out"] for figures in examined.values() if "left out" in figures]
        nothing = "no mapping beats the mean on held-back pairs, so none fills anything in (with held_back: 0 all do)"
        return (nothing,) if left_out and min(left_out) == 1 else ()

    def _reaches(self, group: str, task: Task) -> Callable[[ClientInfo], bool]:
        """Who downloads it: decoders everybody, the others those who have what they read."""
        readers = {f"gen.{m}.encoder": m for m in task.modalities}
        readers |= {f"map.{s}_{t}": s for s in task.modalities for t in task.modalities}
        if self.options.exchange == "all" or group not in readers:
            return everyone
        return lambda client: readers[group] in client.modalities


class _Plugged(Autoencoders):
    """Autoencoders whose networks a method says."""

    def __init__(self, options: Any, networks: Callable[[Task, str], tuple[VaeEncoder, VaeDecoder]]) -> None:
        super().__init__(options)
        self._networks = networks

    def networks(self, task: Task, modality: str) -> tuple[VaeEncoder, VaeDecoder]:
        """Those of the method."""
        return self._networks(task, modality)
