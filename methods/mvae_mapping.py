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

Ours against pairs that are learnt by heart: a client holds back a share of its pairs (`held_back`). It leaves a mapping
out that does no better on them than the mean of its other pairs; where it has measured nothing, and at evaluation, the
mean over the clients that have decides. A mapping is trained no more once the mean over the clients of its error on
them has not fallen for `patience` rounds.

Ours where the paper is silent: epochs and sizes; the weight of synthetic streams; with more than two modalities, the
mean of the mapped latents of those available; a posterior of its prior's family, and a mapped one of the target's;
moment matching, over the pairs of a batch, of the means that are decoded; LLaVA's stages as halves of the mapping's
epochs. Ablations: `mapping: false` decodes the source's latent as it is, `freeze: never` keeps no copy, and
`model.fusion: concat` takes the attention away.

Another architecture is plugged in by a subclass whose `generator` returns its two halves: a `VaeEncoder` around a
network that gives features and a `VaeDecoder` around one that takes a latent vector, or subclasses of these. A client
trains it, or it is pre-trained (`generator_weights`, `pretrain_rounds`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, StrictBool, model_validator
from torch import Tensor

from raysim.generators.base import decoder_of, encoder_of
from raysim.method import (
    Adam,
    Batch,
    ClientInfo,
    Feature,
    Group,
    Judge,
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
    usable,
)
from raysim.models.encoders import encoder_name
from raysim.models.mapping import LatentMapping
from raysim.models.priors import STANDARD, Distribution, Prior, distribution
from raysim.models.reconstruction import HELD_BACK, error_sums, errors_beside_means, moments, shares
from raysim.models.resnet_vae import resnet_vae
from raysim.models.vae import VaeDecoder, VaeEncoder, load_weights, vae

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
        source_latent: Literal["mean", "sample"] = Field(
            default="mean", description="What a mapping is trained on: the source's posterior mean, or draws (eq. 4)."
        )
        held_back: Annotated[float, Field(ge=0, lt=0.5)] = Field(
            default=0.2,
            description="Share of a client's pairs that judge its mappings and train none; 0 judges nothing.",
        )
        patience: Count = Field(default=10, description="Rounds after which a mapping that gets no better stays.")
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
            default="uniform",
            description="How clients count in all means; samples leaves the task model's to the algorithm.",
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
        o, groups = self.options, dict[str, Group]()
        rule = "uniform" if o.aggregation == "uniform" else "algorithm"
        whole = {name: replace(group, weights=rule) for name, group in super().modules(task).items()}
        for m in task.modalities:
            encoder, decoder = self.generator(task, m)
            groups[f"gen.{m}.encoder"] = Group(encoder, frozenset({m}), reaches=self._with(m))
            groups[f"gen.{m}.decoder"] = Group(decoder, frozenset({m}))
        if o.generator_weights is not None:
            load_weights(o.generator_weights, {name: group.net for name, group in groups.items()})
            groups = {name: replace(group, pretrained=True) for name, group in groups.items()}
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
        judge = Judge(o.held_back, self.stalled, self.note_errors) if o.held_back else None
        stage = Train("mapping", (objective,), samples=paired, epochs=o.mapping_epochs, judge=judge)
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
            posterior = self._posterior(m, *encoder_of(nets, m)(target))
            z = posterior.sample(batch.noise(f"posterior.{m}", tuple(posterior.mean.shape)))
            divergence = posterior.divergence(distribution(self._prior(m), like=z)).sum(-1)
            losses.append(batch.mean(decoder_of(nets, m).error(z, target) + beta * divergence, where=batch.present[m]))
        return torch.stack(losses).sum(0)

    def mapping_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Eq. 5 over samples with both modalities, each ordered pair; (*K)."""
        with torch.no_grad():
            posteriors = self._posteriors(nets, batch)
        return torch.stack([self._match(nets, batch, posteriors, s, t) for s, t in permutations(posteriors, 2)]).sum(0)

    def _match(self, nets: Nets, batch: Batch, posteriors: Posteriors, source: str, target: str) -> Tensor:
        """Reconstruction and, where they are asked for, divergence and moments; (*K)."""
        both, seen, real = batch.rows & batch.all_present(source, target), posteriors[source], posteriors[target]
        latent = seen.mean
        if self.options.source_latent == "sample":
            latent = seen.sample(batch.noise(f"source.{source}_{target}", tuple(latent.shape)))
        mean, logvar = self.mapped(_mapping(nets, source, target), latent, seen.logvar)
        loss = decoder_of(nets, target).error(mean, _target(nets, batch, target))
        if logvar is not None:
            loss = loss + self._posterior(target, mean, logvar).divergence(real).sum(-1)
        match = batch.mean(loss, where=both)
        if not self.options.moments:
            return match
        gaps = [a - b for a, b in zip(moments(mean, both), moments(real.mean, both), strict=True)]
        return match + self.options.moments * torch.stack(gaps).square().mean(-1).sum(0)

    def mapped(self, net: LatentMapping, latent: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor | None]:
        """The mapped mean and, with alpha 1, log variance: (*K, B, L) each. With alpha 0 the source's is not read."""
        if not self.options.alpha:
            return net(latent), None
        both = net(torch.cat([latent, logvar], dim=-1))
        return both[..., : self.options.latent], both[..., self.options.latent :]

    def stalled(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """Before a client trains them: which mappings have got no better for long, (*K) bool."""
        return {
            f"map.{s}_{t}": _mapping(nets, s, t).stalled(error) >= self.options.patience
            for (s, t), (error, _) in self.held_back_errors(nets, batch).items()
        }

    def note_errors(self, nets: Nets, batch: Batch) -> None:
        """After training: each mapping keeps what its client measures."""
        for (s, t), (error, class_mean) in self.held_back_errors(nets, batch).items():
            _mapping(nets, s, t).note(error, class_mean)

    def held_back_errors(self, nets: Nets, batch: Batch) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
        """(source, target) -> its mapping's error on the pairs that are held back, and the class mean's, (*K) each.

        Both are shares of the error of the mean over the other pairs, of which the class's mean is made, too. NaN where
        no pair is held back or there is no other one.
        """
        posteriors, held = self._posteriors(nets, batch), batch.columns["held"]
        errors: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        for s, t in permutations(posteriors, 2):
            both, decoder, target = batch.rows & batch.all_present(s, t), decoder_of(nets, t), _target(nets, batch, t)
            made = decoder(self.mapped(_mapping(nets, s, t), posteriors[s].mean, posteriors[s].logvar)[0])
            errors[s, t] = errors_beside_means(decoder, made, target, both, held, batch.y)
        return errors

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
        makers = {s: f"map.{s}_{target}" if self.options.mapping else f"gen.{target}.decoder" for s in sources}
        there = dict(usable(batch, nets, makers).present)
        for s in sources if self.options.mapping else ():
            net = _mapping(nets, s, target)
            latents[s], _ = self.mapped(net, sources[s].mean, sources[s].logvar)
            there[s] = there[s] & net.useful()
        latent, known = mean_over_sources(latents, replace(batch, present=there), first=self.options.source == "first")
        decoder = decoder_of(nets, target)
        return decoder(latent), decoder.lengths(latent), known

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """What tells the errors of each modality, decoded from itself and from each other one, and held-back pairs."""
        found: dict[tuple[str, ...], Tensor] = {}
        posteriors = self._posteriors(nets, batch)
        for s, t in product(posteriors, repeat=2):
            seen, real, latent = posteriors[s], posteriors[t], posteriors[s].mean
            if s != t and self.options.mapping:
                latent, _ = self.mapped(_mapping(nets, s, t), latent, seen.logvar)
            divergence = real.divergence(distribution(self._prior(t), like=latent)).sum(-1)
            rows, decoder = batch.rows & batch.all_present(s, t), decoder_of(nets, t)
            found |= error_sums(decoder, decoder(latent), _target(nets, batch, t), divergence, rows, (s, t))
        pairs = permutations(batch.present, 2) if self.options.mapping else ()
        return found | {(s, t, HELD_BACK): _mapping(nets, s, t).held_back for s, t in pairs}

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Errors and divergences as shares of the variance; see `raysim.models.reconstruction.shares`."""
        return shares(sums)

    def _posteriors(self, nets: Nets, batch: Batch) -> Posteriors:
        """Of each modality that these clients have."""
        there = [m for m in batch.x if not batch.nowhere(m)]
        return {m: self._posterior(m, *encoder_of(nets, m)(_target(nets, batch, m))) for m in there}

    def _posterior(self, modality: str, mean: Tensor, logvar: Tensor) -> Distribution:
        return Distribution(self._prior(modality).name, mean, logvar)

    def _prior(self, modality: str) -> Prior:
        return self.options.priors.get(modality, STANDARD)

    def _with(self, modality: str) -> Callable[[ClientInfo], bool]:
        """Who downloads what reads a modality."""
        return everyone if self.options.exchange == "all" else lambda client: modality in client.modalities


def _target(nets: Nets, batch: Batch, modality: str) -> Tensor:
    return encoder_of(nets, modality).target(batch.x[modality], batch.lengths.get(modality))


def _mapping(nets: Nets, source: str, target: str) -> LatentMapping:
    net = nets[f"map.{source}_{target}"]
    assert isinstance(net, LatentMapping)
    return net
