"""FedRecon: an autoencoder for each modality and mappings between their latent spaces synthesise what a sample lacks.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025,
algorithm 1, eqs. 3, 5 and 6. Each round a client trains its autoencoders on every modality that it has (stage 1),
then the mappings on samples that have both modalities, autoencoders fixed (stage 2), then the task model on real and
synthetic inputs (stage 3). Beside its own generator it keeps a frozen copy of the global one; both synthesise, and
their streams weigh as one together.

Ours where the paper is silent: optimisers, epochs and sizes; the weight of synthetic streams; with more than two
modalities, the mean of the mapped latents of those available. Ablations: `mapping: false` decodes the source's latent
as it is, `freeze: never` keeps no copy, and `model.fusion: concat` takes the attention away.
"""

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated, Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn

from raysim.method import (
    Adam,
    Batch,
    Feature,
    Group,
    Method,
    Nets,
    Objective,
    Optimizer,
    Phase,
    Streams,
    Task,
    Train,
    mean_over_sources,
    paired,
)
from raysim.models.encoders import encoder_name
from raysim.models.vae import VAE, mapping, vae

Count = Annotated[int, Field(ge=1)]


class MvaeMapping(Method):
    """Generators `gen.<modality>` and mappings `map.<source>_<target>`, averaged uniformly over their owners."""

    class Options(Method.Options):
        """FedRecon's settings."""

        latent: Count = Field(default=64, description="Width of each latent space.")
        hidden: Count = Field(default=512, description="Hidden width of vector autoencoders.")
        channels: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(32, 64, 128), description="Widths of image autoencoders."
        )
        map_hidden: Count = Field(default=512, description="Hidden width of the mappings.")
        mapping: StrictBool = Field(default=True, description="False decodes the source's latent unmapped (ablation).")
        alpha: Literal[0, 1] = Field(default=0, description="1 adds the divergence of the mapped posterior (eq. 5).")
        beta: Annotated[float, Field(ge=0)] = Field(default=1.0, description="Weight of the prior in eq. 3.")
        warmup_rounds: Count = Field(default=10, description="Rounds over which beta grows.")
        freeze: Literal["round", "start", "never"] = Field(
            default="round", description="When the frozen generator is taken from the global one; never: no copy."
        )
        synthetic_weight: Annotated[float, Field(gt=0)] | None = Field(
            default=None, description="Of a synthetic stream in the fusion; null: one over the number of streams."
        )
        generator_epochs: Count = 1
        mapping_epochs: Count = 1
        generator_optimizer: Optimizer = Adam(name="adam", lr=1e-3)
        mapping_optimizer: Optimizer = Adam(name="adam", lr=1e-3)
        source: Literal["mean", "first"] = Field(
            default="mean", description="With more than two modalities: the mean over those available, or the first."
        )

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if options.freeze != "never":
            self.replicas = dict.fromkeys(("gen.*", "map.*") if options.mapping else ("gen.*",), options.freeze)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, the generators and the mappings."""
        groups = super().modules(task)
        for m, modality in task.modalities.items():
            encoder = encoder_name(modality.kind, task.model.encoders.get(m))
            net = vae(modality, encoder, self.options.latent, self.options.hidden, self.options.channels)
            groups[f"gen.{m}"] = Group(net, frozenset({m}), algorithm=False, weights="uniform")
        if self.options.mapping:
            width = self.options.latent * (1 + self.options.alpha)
            for s, t in permutations(task.modalities, 2):
                net = mapping(width, self.options.map_hidden)
                groups[f"map.{s}_{t}"] = Group(net, frozenset({s, t}), algorithm=False, weights="uniform")
        return groups

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Algorithm 1's three stages, every round."""
        o = self.options
        generators = Objective(("gen.*",), self.generator_loss, o.generator_optimizer)
        stages = [Train("generator", (generators,), epochs=o.generator_epochs)]
        if o.mapping:
            mappings = Objective(("map.*",), self.mapping_loss, o.mapping_optimizer)
            stages.append(Train("mapping", (mappings,), samples=paired, epochs=o.mapping_epochs))
        return (Phase("train", (*stages, self.task_stage())),)

    def generator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Eq. 3, each modality on the samples that have it; the prior's weight grows over the first rounds. (*K)."""
        beta = self.options.beta * min(1.0, batch.clock.round / self.options.warmup_rounds)
        losses: list[Tensor] = []
        for m, x in batch.x.items():
            if batch.nowhere(m):
                continue
            eps = batch.noise(f"posterior.{m}", (*batch.rows.shape, self.options.latent))
            loss = _vae(nets, m).loss(x, batch.lengths.get(m), eps, beta)
            losses.append(batch.mean(loss, where=batch.present[m]))
        return torch.stack(losses).sum(0)

    def mapping_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Eq. 5 over samples with both modalities: reconstruction and, with alpha 1, the divergence; (*K)."""
        with torch.no_grad():
            posterior = self._posteriors(nets, batch)
        losses: list[Tensor] = []
        for s, t in permutations(posterior, 2):
            mean, logvar = self.mapped(nets[f"map.{s}_{t}"], *posterior[s])
            generator = _vae(nets, t)
            loss = generator.error(mean, generator.target(batch.x[t], batch.lengths.get(t)))
            if logvar is not None:
                mean_t, logvar_t = posterior[t]
                ratio = (logvar.exp() + (mean - mean_t).square()) / logvar_t.exp()
                loss = loss + 0.5 * (logvar_t - logvar + ratio - 1).sum(-1)
            losses.append(batch.mean(loss, where=batch.all_present(s, t)))
        return torch.stack(losses).sum(0)

    def mapped(self, net: nn.Module, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor | None]:
        """The mapped mean and, with alpha 1, log variance: (*K, B, L) each. With alpha 0 means go to means."""
        if not self.options.alpha:
            return net(mean), None
        both = net(torch.cat([mean, logvar], dim=-1))
        return both[..., : self.options.latent], both[..., self.options.latent :]

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Real embeddings where there are any; elsewhere synthetic ones, by the own and by the frozen generator."""
        streams: dict[str, tuple[Feature, ...]] = {}
        for m, feature in features.items():
            real = feature.where(batch.present[m])
            streams[m] = (real,) if batch.everywhere(m) else (real, *self._synthetic(batch, nets, m))
        return streams

    def _synthetic(self, batch: Batch, nets: Nets, target: str) -> list[Feature]:
        generators = [nets] if nets.frozen is nets or self.options.freeze == "never" else [nets, nets.frozen]
        weight = self.options.synthetic_weight or 1 / len(generators)
        streams: list[Feature] = []
        for generator in generators:
            with torch.no_grad():
                posteriors = self._posteriors(generator, batch)
                latents = {s: self._latent(generator, p, s, target) for s, p in posteriors.items() if s != target}
                if not latents:
                    return []
                latent, known = mean_over_sources(latents, batch, first=self.options.source == "first")
                synthetic = _vae(generator, target).decode(latent)
                lengths = _vae(generator, target).lengths(latent)
            feature: Feature = nets[f"task.{target}"](synthetic, lengths)
            absent = known & ~batch.present[target]
            streams.append(Feature(feature.tokens, feature.valid, weight).where(absent))
        return streams

    def _posteriors(self, nets: Nets, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log variance (*K, B, L) of each modality that these clients have."""
        there = {m: x for m, x in batch.x.items() if not batch.nowhere(m)}
        return {m: _vae(nets, m).encode(x, batch.lengths.get(m)) for m, x in there.items()}

    def _latent(self, nets: Nets, posterior: tuple[Tensor, Tensor], source: str, target: str) -> Tensor:
        if not self.options.mapping:
            return posterior[0]
        return self.mapped(nets[f"map.{source}_{target}"], *posterior)[0]


def _vae(nets: Nets, modality: str) -> VAE:
    net = nets[f"gen.{modality}"]
    assert isinstance(net, VAE)
    return net
