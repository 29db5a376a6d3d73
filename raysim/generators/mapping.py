"""Mappings between the codes of any other generator's modalities, whose networks stay as they are.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025, eq. 5
and section 5.4, and their code. For each ordered pair of modalities s, t a network T is trained on samples with both:

    loss = -log p(x_t | T(c_s)) + alpha KL(T(q_s) || q_t)

c_s is the code of s: the mean of what s says alone, [z; w] where a modality has private numbers w. Given several
modalities, the mean of their mapped codes is decoded; a modality that is given itself is decoded from its own code.

The backbone is trained first in each round, or for some rounds before the mapping (`pretrain_rounds`), or comes from a
file (`generator_weights`). By default it is an autoencoder for each modality.

Ours against pairs that are learnt by heart: a client holds back a share of its pairs (`held_back`). A mapping that does
no better on them than the mean of its other pairs fills nothing in; where a client has measured nothing, and at
evaluation, the mean over the clients that have decides. Where the backbone stays as it is, a mapping is trained no more
once the mean over the clients of its error on them has not fallen for `patience` rounds; where it is trained on, its
codes move, and a mapping that stopped would no longer fit them. Ours, too: moment matching, over the pairs of a batch,
of the means that are decoded; a mapped posterior is of the target's family; LLaVA's stages as halves of the mapping's
epochs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Annotated, Any, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from raysim.generators._codes import CodePosterior, Codes, code_of
from raysim.generators._settings import Settings
from raysim.generators.base import Generator, Latent, Noise, Posterior, Terms, decoder_of, total
from raysim.generators.named import Named, generator_of
from raysim.method import Batch, Group, Judge, Nets, Objective, Phase, Task, Train, mean_over_sources, paired, usable
from raysim.models.mapping import LatentMapping
from raysim.models.priors import Distribution, Mixture
from raysim.models.reconstruction import errors_beside_means, moments
from raysim.models.vae import load_weights


def _unmapped(named: dict[str, Any] | str) -> dict[str, Any] | str:
    backbone = generator_of(named)
    if isinstance(backbone, MappedCodes):
        raise ValueError("is a mapping itself; name another generator")  # noqa: TRY004 - pydantic's way to refuse
    if not backbone.conditional:
        raise ValueError("has no codes to map; name a generator that makes modalities of each other, or autoencoders")
    return named


class MappedCodes(Generator):
    """The backbone's groups, and `map.<source>_<target>`, owned by the clients that have both."""

    class Options(Settings):  # pyright: ignore[reportIncompatibleVariableOverride] - sizes are the backbone's
        """Which backbone, and how all is trained."""

        backbone: Annotated[Named, AfterValidator(_unmapped)] = Field(
            default="autoencoders", description="Any other generator: its name, or a mapping with its name and options."
        )

        @model_validator(mode="after")
        def _maps(self) -> Self:
            if not self.mapping:
                raise ValueError("mapping: false leaves nothing to map; name the backbone as the generator")
            return self

    options: Settings

    def __init__(self, options: Settings, backbone: Generator | None = None) -> None:
        """`backbone` is that of the options where None."""
        super().__init__(options)
        if backbone is None:
            assert isinstance(options, MappedCodes.Options), "other options do not name one"
            backbone = generator_of(options.backbone)
        self.backbone = backbone

    def check(self, task: Task) -> None:
        """There are pairs, and the backbone fits the data and its weights."""
        if len(task.modalities) < 2:
            raise ValueError("a mapping needs at least 2 modalities, the data has 1")
        self.backbone.check(task)
        if self.options.generator_weights is not None:
            with torch.random.fork_rng(devices=[]):
                self.groups(task)

    def groups(self, task: Task) -> dict[str, Group]:
        """The backbone's, from a file where there is one, and the mappings."""
        o, groups = self.options, self.backbone.groups(task)
        if o.generator_weights is not None:
            load_weights(o.generator_weights, {name: group.net for name, group in groups.items()})
            groups = {name: replace(group, pretrained=True) for name, group in groups.items()}
        for s, t in permutations(task.modalities, 2) if o.mapping else ():
            net = LatentMapping(self.width * (1 + o.alpha), o.map_hidden)
            groups[f"map.{s}_{t}"] = Group(net, frozenset({s, t}))
        return groups

    @property
    def width(self) -> int:
        """The backbone's."""
        return self.backbone.width

    def stages(self) -> tuple[Train, ...]:
        """The backbone's, and the mapping's."""
        return (*self._backbone_stages(), *self._mapping_stages(stays=False))

    def phases(self, *more: Train) -> tuple[Phase, ...]:
        """The backbone by itself first where it is pre-trained; then it may stay as it is."""
        o, backbone = self.options, self._backbone_stages()
        stays = o.fixed and (o.pretrain_rounds > 0 or o.generator_weights is not None)
        train = Phase("train", (*(() if stays else backbone), *self._mapping_stages(stays=stays), *more))
        if not o.pretrain_rounds:
            return (train,)
        return Phase("pretrain", backbone, rounds=o.pretrain_rounds, evaluate=False), train

    def _backbone_stages(self) -> tuple[Train, ...]:
        o = self.options
        return tuple(
            replace(
                stage, epochs=o.generator_epochs,
                objectives=tuple(replace(objective, optimizer=o.generator_optimizer) for objective in stage.objectives),
            )
            for stage in self.backbone.stages()
        )  # fmt: skip

    def _mapping_stages(self, *, stays: bool) -> Iterator[Train]:
        o = self.options
        objective = Objective(("map.*",), self.mapping_losses, o.mapping_optimizer)
        stops = self.stalled if stays and o.staging == "joint" else None
        judge = Judge(o.held_back, self.note_errors, stops) if o.held_back else None
        stage = Train("mapping", (objective,), samples=paired, epochs=o.mapping_epochs, judge=judge)
        if o.mapping and o.staging == "joint":
            yield stage
        elif o.mapping:
            half = o.mapping_epochs // 2
            slower = o.mapping_optimizer.model_copy(update={"lr": o.mapping_optimizer.lr / 10})
            tuning = replace(objective, trains=("map.*", "gen.*.decoder"), optimizer=slower)
            yield replace(stage, name="alignment", epochs=o.mapping_epochs - half)
            yield replace(stage, name="tuning", epochs=half, objectives=(tuning,))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The backbone's, and each pair's loss in rows that have both."""
        whole = self.backbone.terms(nets, batch, noise)
        codes, targets = self._seen(nets, batch)
        pairs = dict[str, Tensor]()
        for s, t in permutations(codes, 2) if self.options.mapping else ():
            loss, _ = self._match(nets, batch, codes, targets, (s, t), noise)
            pairs[f"{s}>{t}"] = torch.where(batch.all_present(s, t), loss, 0.0)
        return Terms(whole.loss + total(pairs.values(), batch), {**whole.parts, **pairs})

    def mapping_losses(self, nets: Nets, batch: Batch) -> Iterator[Tensor]:
        """Eq. 5 over samples with both modalities, each ordered pair, and moments where they are asked for; (*K)."""
        codes, targets = self._seen(nets, batch)
        for s, t in permutations(codes, 2):
            both = batch.rows & batch.all_present(s, t)
            loss, mean = self._match(nets, batch, codes, targets, (s, t), batch.noise)
            match = batch.mean(loss, where=both)
            if self.options.moments:
                gaps = [a - b for a, b in zip(moments(mean, both), moments(codes[t].mean, both), strict=True)]
                match = match + self.options.moments * torch.stack(gaps).square().mean(-1).sum(0)
            yield match

    @torch.no_grad()
    def _seen(self, nets: Nets, batch: Batch) -> tuple[dict[str, Distribution], dict[str, Tensor]]:
        return self.codes(nets, batch), self.targets(nets, batch)

    def _match(
        self,
        nets: Nets,
        batch: Batch,
        codes: Mapping[str, Distribution],
        targets: Mapping[str, Tensor],
        pair: tuple[str, str],
        noise: Noise,
    ) -> tuple[Tensor, Tensor]:
        """Eq. 5 of each row, (*K, B), of no meaning where it lacks one of them, and the mapped mean, (*K, B, W)."""
        source, target = pair
        seen, real = codes[source], codes[target]
        if self.options.source_latent == "sample":
            seen = replace(seen, mean=seen.sample(noise(f"source.{source}_{target}", tuple(seen.mean.shape))))
        mean, logvar = self.mapped(nets, seen, source, target)
        loss = decoder_of(nets, target).error(mean, targets[target], batch.lengths.get(target))
        if logvar is not None:
            loss = loss + Distribution(real.family, mean, logvar).divergence(real).sum(-1)
        return loss, mean  # fmt: skip

    def mapped(self, nets: Nets, code: Distribution, source: str, target: str) -> tuple[Tensor, Tensor | None]:
        """The mapped mean of (*K, ..., W) and, with alpha 1, log variance. With alpha 0 the source's is not read."""
        net = _mapping(nets, source, target)
        if not self.options.alpha:
            return net(code.mean), None
        both = net(torch.cat([code.mean, code.logvar], dim=-1))
        return both[..., : self.width], both[..., self.width :]

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
        codes, targets, held = self.codes(nets, batch), self.targets(nets, batch), batch.columns["held"]
        errors: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        for s, t in permutations(codes, 2):
            both, decoder = batch.rows & batch.all_present(s, t), decoder_of(nets, t)
            made = decoder.likelihood.mean(decoder(self.mapped(nets, codes[s], s, t)[0]))
            errors[s, t] = errors_beside_means(decoder, made, decoder.expected(targets[t]), both, held, batch.y)
        return errors

    def codes(self, nets: Nets, batch: Batch) -> dict[str, Distribution]:
        """The code of each modality that these clients have and its spread, (*K, B, W)."""
        return {m: code_of(q, m) for m, q in self._alone(nets, batch, batch.x).items()}

    def _alone(self, nets: Nets, batch: Batch, given: Iterable[str]) -> dict[str, Posterior]:
        return {m: self.backbone.posterior(nets, batch, (m,)) for m in given if not batch.nowhere(m)}

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> CodePosterior:
        """What each says alone; as one distribution the mixture of these."""
        alone = self._alone(nets, batch, batch.x if given is None else [m for m in batch.x if m in set(given)])
        nothing = self.backbone.posterior(nets, batch, ())
        there = {m: batch.present[m] for m in alone}
        shared = [q.shared.components[0] for q in alone.values()]
        private = {**nothing.private, **{m: q.private[m] for m, q in alone.items() if q.private}}
        return CodePosterior(
            shared=Mixture.of(shared, [*there.values()], self.prior(nets, batch)), private=private,
            codes={m: code_of(q, m) for m, q in alone.items()}, sources=replace(batch, present=there),
        )  # fmt: skip

    def decode(self, nets: Nets, latent: Latent, modality: str) -> Tensor:
        """By the backbone's decoder; what is no code of a modality is decoded as it is."""
        decoder = decoder_of(nets, modality)
        z = self._towards(nets, latent, modality) if isinstance(latent, Codes) else latent.of(modality)
        return decoder.likelihood.mean(decoder.draws(z))

    def _towards(self, nets: Nets, latent: Codes, target: str) -> Tensor:
        """What the target's decoder takes, (*K, B, S, W): its own code, or the mean of the mapped ones."""
        otherwise, there, guesses = latent.of(target), dict(latent.sources.present), dict[str, Tensor]()
        for s in there:
            if s == target or not self.options.mapping:
                guesses[s] = latent.codes[s].mean.flatten(-2)
            else:
                guesses[s] = self.mapped(nets, latent.codes[s], s, target)[0].flatten(-2)
            if s != target and target in there:
                there[s] = there[s] & ~there[target]
        if not guesses:
            return otherwise
        rows = replace(latent.sources, present=there)
        merged, known = mean_over_sources(guesses, rows, first=self.options.source == "first")
        return torch.where(known[..., None, None], torch.unflatten(merged, -1, otherwise.shape[-2:]), otherwise)

    def code(self, nets: Nets, batch: Batch, source: str, target: str) -> Tensor:
        """The source's code in the target's space, (*K, B, W)."""
        code = code_of(self.backbone.posterior(nets, batch, (source,)), source)
        return code.mean if source == target or not self.options.mapping else self.mapped(nets, code, source, target)[0]

    def sources(self, nets: Nets, batch: Batch, target: str) -> Batch:
        """What has a mapping that somebody has trained, and that is better than the mean where it was measured."""
        others = [s for s in batch.x if s != target]
        if not self.options.mapping:
            return usable(batch, nets, dict.fromkeys(others, f"gen.{target}.decoder"))
        found = usable(batch, nets, {s: f"map.{s}_{target}" for s in others})
        useful = {s: there & _mapping(nets, s, target).useful() for s, there in found.present.items()}
        return replace(found, present=useful)

    def prior(self, nets: Nets, batch: Batch) -> Distribution:
        """The backbone's."""
        return self.backbone.prior(nets, batch)

    def divergence(self, nets: Nets, batch: Batch, q: Posterior, modality: str) -> Tensor:
        """As the backbone measures it."""
        return self.backbone.divergence(nets, batch, q, modality)

    def targets(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The backbone's."""
        return self.backbone.targets(nets, batch, given)

    def bound(self, nets: Nets, batch: Batch, noise: Noise, draws: int = 100) -> Tensor:
        """The backbone's: mappings have no density."""
        return self.backbone.bound(nets, batch, noise, draws)


def _mapping(nets: Nets, source: str, target: str) -> LatentMapping:
    net = nets[f"map.{source}_{target}"]
    assert isinstance(net, LatentMapping)
    return net
