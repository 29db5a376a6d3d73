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

Ours where the paper is silent: optimisers, epochs and sizes; the weight of synthetic streams; with more than two
modalities, the mean of the mapped latents of those available; a posterior of its prior's family, and a mapped one of
the target's; moment matching, over the pairs of a batch, of the means that are decoded; LLaVA's stages as halves of
the mapping's epochs. Ablations: `mapping: false` decodes the source's latent as it is, `freeze: never` keeps no copy,
and `model.fusion: concat` takes the attention away.

Another architecture is plugged in by a subclass whose `generator` returns its two halves: a `VaeEncoder` around a
network that gives features and a `VaeDecoder` around one that takes a latent vector, or subclasses of these. A client
trains it, or it is pre-trained (`generator_weights`, `pretrain_rounds`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, StrictBool, model_validator
from torch import Tensor

from raysim.method import (
    Adam,
    Batch,
    ClientInfo,
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
    everyone,
    mean_over_sources,
    paired,
)
from raysim.models.encoders import encoder_name
from raysim.models.priors import STANDARD, Distribution, Prior, distribution
from raysim.models.resnet_vae import resnet_vae
from raysim.models.vae import LatentMapping, VaeDecoder, VaeEncoder, load_weights, vae

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Posteriors = Mapping[str, Distribution]


class MvaeMapping(Method):
    """Generators `gen.<modality>.encoder` and `.decoder`, and mappings `map.<source>_<target>`, with a plain mean."""

    class Options(Method.Options):
        """FedRecon's settings."""

        latent: Count = Field(default=64, description="Width of each latent space.")
        hidden: Count = Field(default=512, description="Hidden width of vector autoencoders.")
        images: Literal["conv", "resnet"] = Field(
            default="conv",
            description="Autoencoders of images: conv, plain convolutions; resnet, the residual one of tables 3 and 4 "
            "(MMVAE+'s for PolyMNIST), for an even latent and sizes that are multiples of 4.",
        )
        channels: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(32, 64, 128), description="Widths of image autoencoders (conv)."
        )
        map_hidden: Count = Field(default=512, description="Hidden width of the mappings.")
        mapping: StrictBool = Field(default=True, description="False decodes the source's latent unmapped (ablation).")
        alpha: Literal[0, 1] = Field(default=0, description="1 adds the divergence of the mapped posterior (eq. 5).")
        moments: Weight = Field(
            default=0.0, description="Weight of the squared gaps between mapped and real means and deviations; 0: none."
        )
        staging: Literal["joint", "llava"] = Field(
            default="joint",
            description="llava: in the second half of mapping_epochs the decoders are trained, too (pre-trained ones "
            "as well), all at a tenth of the learning rate; joint: the mappings alone.",
        )
        beta: Weight = Field(default=1.0, description="Weight of the prior in eq. 3.")
        warmup_rounds: Count = Field(default=10, description="Rounds over which beta grows.")
        priors: dict[str, Prior] = Field(
            default_factory=dict[str, Prior], description="By modality; the others have a standard normal one."
        )
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
        pretrain_rounds: Annotated[int, Field(ge=0)] = Field(
            default=0, description="Rounds of stage 1 alone before all others; then it is left out."
        )
        generator_weights: str | None = Field(
            default=None,
            description="Path of a safetensors file, the same on all machines, that the generators start from, with "
            "gen.<modality>.encoder/<tensor> and gen.<modality>.decoder/<tensor>; stage 1 is left out.",
        )
        aggregation: Literal["uniform", "samples"] = Field(
            default="uniform", description="How clients count in the means of generators and mappings."
        )
        exchange: Literal["needed", "all"] = Field(
            default="needed", description="Whether a client downloads what its modalities need, or everything."
        )
        generator_epochs: Count = 1
        mapping_epochs: Count = 1
        generator_optimizer: Optimizer = Adam(name="adam", lr=1e-3)
        mapping_optimizer: Optimizer = Adam(name="adam", lr=1e-3)
        source: Literal["mean", "first"] = Field(
            default="mean", description="With more than two modalities: the mean over those available, or the first."
        )

        @model_validator(mode="after")
        def _halves(self) -> Self:
            if self.staging == "llava" and self.mapping_epochs < 2:
                raise ValueError("staging llava halves mapping_epochs, which is 1; write 2 or more")
            return self

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if options.freeze != "never":
            level = "phase" if options.freeze == "start" and options.pretrain_rounds else options.freeze
            self.replicas = dict.fromkeys(("gen.*", "map.*") if options.mapping else ("gen.*",), level)

    def check(self, task: Task) -> None:
        """Priors are of modalities that there are, and the generators fit the data and their weights."""
        super().check(task)
        for name in self.options.priors:
            if name not in task.modalities:
                raise ValueError(f"priors: the data has no modality '{name}'; there are: {', '.join(task.modalities)}")
        if self.options.images == "resnet" or self.options.generator_weights is not None:
            with torch.random.fork_rng(devices=[]):
                self.modules(task)

    def generator(self, task: Task, modality: str) -> tuple[VaeEncoder, VaeDecoder]:
        """A modality's autoencoder, with a latent space of `options.latent` numbers. Override it to use another one."""
        o, spec = self.options, task.modalities[modality]
        if spec.kind == "image" and o.images == "resnet":
            return resnet_vae(spec, o.latent)
        encoder = encoder_name(spec.kind, task.model.encoders.get(modality))
        return vae(spec, encoder, o.latent, o.hidden, o.channels)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, the generators and the mappings."""
        o, whole, groups = self.options, super().modules(task), dict[str, Group]()
        for m in task.modalities:
            encoder, decoder = self.generator(task, m)
            groups[f"gen.{m}.encoder"] = Group(encoder, frozenset({m}), reaches=self._with(m))
            groups[f"gen.{m}.decoder"] = Group(decoder, frozenset({m}))
        if o.generator_weights is not None:
            load_weights(o.generator_weights, {name: group.net for name, group in groups.items()})
        for s, t in permutations(task.modalities, 2) if o.mapping else ():
            net = LatentMapping(o.latent * (1 + o.alpha), o.map_hidden)
            groups[f"map.{s}_{t}"] = Group(net, frozenset({s, t}), reaches=self._with(s))
        plain = {name: replace(group, algorithm=False, weights=o.aggregation) for name, group in groups.items()}
        return whole | plain

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Algorithm 1's three stages, every round; the first before all others where the generators are pre-trained."""
        o = self.options
        objective = Objective(("gen.*",), self.generator_loss, o.generator_optimizer)
        generators = Train("generator", (objective,), epochs=o.generator_epochs)
        rest = (*self._mapping_stages(), self.task_stage())
        if o.pretrain_rounds:
            return Phase("pretrain", (generators,), rounds=o.pretrain_rounds, evaluate=False), Phase("train", rest)
        return (Phase("train", rest if o.generator_weights is not None else (generators, *rest)),)

    def _mapping_stages(self) -> Iterator[Train]:
        o = self.options
        objective = Objective(("map.*",), self.mapping_loss, o.mapping_optimizer)
        stage = Train("mapping", (objective,), samples=paired, epochs=o.mapping_epochs)
        if o.mapping and o.staging == "joint":
            yield stage
        elif o.mapping:
            half = o.mapping_epochs // 2
            slower = o.mapping_optimizer.model_copy(update={"lr": o.mapping_optimizer.lr / 10})
            tuning = replace(objective, trains=("map.*", "gen.*.decoder"), optimizer=slower)
            yield replace(stage, name="alignment", epochs=o.mapping_epochs - half)
            yield replace(stage, name="tuning", epochs=half, objectives=(tuning,))

    def generator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Eq. 3, each modality on the samples that have it; the prior's weight grows over the first rounds. (*K)."""
        beta = self.options.beta * min(1.0, batch.clock.round / self.options.warmup_rounds)
        losses: list[Tensor] = []
        for m in batch.x:
            if batch.nowhere(m):
                continue
            target = _target(nets, batch, m)
            posterior = self._posterior(m, *_encoder(nets, m)(target))
            z = posterior.sample(batch.noise(f"posterior.{m}", tuple(posterior.mean.shape)))
            divergence = posterior.divergence(distribution(self._prior(m), like=z)).sum(-1)
            losses.append(batch.mean(_decoder(nets, m).error(z, target) + beta * divergence, where=batch.present[m]))
        return torch.stack(losses).sum(0)

    def mapping_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Eq. 5 over samples with both modalities, each ordered pair; (*K)."""
        with torch.no_grad():
            posteriors = self._posteriors(nets, batch)
        return torch.stack([self._match(nets, batch, posteriors, s, t) for s, t in permutations(posteriors, 2)]).sum(0)

    def _match(self, nets: Nets, batch: Batch, posteriors: Posteriors, source: str, target: str) -> Tensor:
        """Reconstruction and, where they are asked for, divergence and moments; (*K)."""
        both, real = batch.rows & batch.all_present(source, target), posteriors[target]
        net = _mapping(nets, source, target)
        net.learns_from(both)
        mean, logvar = self.mapped(net, posteriors[source])
        loss = _decoder(nets, target).error(mean, _target(nets, batch, target))
        if logvar is not None:
            loss = loss + self._posterior(target, mean, logvar).divergence(real).sum(-1)
        match = batch.mean(loss, where=both)
        if not self.options.moments:
            return match
        gaps = [a - b for a, b in zip(moments(mean, both), moments(real.mean, both), strict=True)]
        return match + self.options.moments * torch.stack(gaps).square().mean(-1).sum(0)

    def mapped(self, net: LatentMapping, posterior: Distribution) -> tuple[Tensor, Tensor | None]:
        """The mapped mean and, with alpha 1, log variance: (*K, B, L) each. With alpha 0 means go to means."""
        if not self.options.alpha:
            return net(posterior.mean), None
        both = net(torch.cat([posterior.mean, posterior.logvar], dim=-1))
        return both[..., : self.options.latent], both[..., self.options.latent :]

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Real embeddings where there are any, and synthetic ones, by the own and by the frozen generator."""
        always = self.options.synthetic == "always"
        targets = [m for m in features if always or not batch.everywhere(m)]
        own_only = nets.frozen is nets or self.options.freeze == "never"
        with torch.no_grad():
            made = [(g, self._posteriors(g, batch)) for g in ([nets] if own_only else [nets, nets.frozen]) if targets]
        weight = self.options.synthetic_weight or 1 / (1 if own_only else 2)
        streams: dict[str, Sequence[Feature]] = {}
        for m, feature in features.items():
            several = [feature.where(batch.present[m])]
            for generator, posteriors in made if m in targets else ():
                sources = {s: p for s, p in posteriors.items() if s != m}
                if sources:
                    x, lengths, known = self._synthesised(generator, batch, sources, m)
                    synthetic: Feature = nets[f"task.{m}"](x, lengths)
                    where = known if always else known & ~batch.present[m]
                    several.append(Feature(synthetic.tokens, synthetic.valid, weight).where(where))
            streams[m] = several
        return streams

    @torch.no_grad()
    def _synthesised(
        self, nets: Nets, batch: Batch, sources: Posteriors, target: str
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """A modality from others: inputs (*K, B, *shape), lengths, and (*K, B) bool: where a mapping was trained."""
        latents = {s: posterior.mean for s, posterior in sources.items()}
        there = {s: batch.present[s] for s in sources}
        for s in sources if self.options.mapping else ():
            net = _mapping(nets, s, target)
            latents[s], _ = self.mapped(net, sources[s])
            there[s] = there[s] & (net.trained > 0)
        latent, known = mean_over_sources(latents, replace(batch, present=there), first=self.options.source == "first")
        decoder = _decoder(nets, target)
        return decoder(latent), decoder.lengths(latent), known

    def _posteriors(self, nets: Nets, batch: Batch) -> Posteriors:
        """Of each modality that these clients have."""
        there = [m for m in batch.x if not batch.nowhere(m)]
        return {m: self._posterior(m, *_encoder(nets, m)(_target(nets, batch, m))) for m in there}

    def _posterior(self, modality: str, mean: Tensor, logvar: Tensor) -> Distribution:
        return Distribution(self._prior(modality).name, mean, logvar)

    def _prior(self, modality: str) -> Prior:
        return self.options.priors.get(modality, STANDARD)

    def _with(self, modality: str) -> Callable[[ClientInfo], bool]:
        """Who downloads what reads a modality."""
        return everyone if self.options.exchange == "all" else lambda client: modality in client.modalities


def moments(values: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (*K, D) of (*K, B, D) over the rows (*K, B); both 0 where there is none."""
    rows, count = where.unsqueeze(-1), where.sum(-1, keepdim=True).clamp(min=1)
    mean = torch.where(rows, values, 0.0).sum(-2) / count
    variance = torch.where(rows, values - mean.unsqueeze(-2), 0.0).square().sum(-2) / count
    # The root of zero has no finite gradient.
    positive = variance > 0
    return mean, torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def _target(nets: Nets, batch: Batch, modality: str) -> Tensor:
    return _encoder(nets, modality).target(batch.x[modality], batch.lengths.get(modality))


def _encoder(nets: Nets, modality: str) -> VaeEncoder:
    net = nets[f"gen.{modality}.encoder"]
    assert isinstance(net, VaeEncoder)
    return net


def _decoder(nets: Nets, modality: str) -> VaeDecoder:
    net = nets[f"gen.{modality}.decoder"]
    assert isinstance(net, VaeDecoder)
    return net


def _mapping(nets: Nets, source: str, target: str) -> LatentMapping:
    net = nets[f"map.{source}_{target}"]
    assert isinstance(net, LatentMapping)
    return net
