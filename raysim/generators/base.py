"""All that a generator's author needs: networks, one loss for each sample, and a posterior of what is given.

A generator is a multimodal autoencoder: from any of a sample's modalities it makes any other. It learns from samples
that lack some: their terms drop out of the sample's own loss. It keeps nothing but its options. A subclass says what is
minimised and, unless it is a mixture, how the posteriors of modalities are joined:

    class Elbo(Generator):
        def terms(self, nets, batch, noise):
            q = self.posterior(nets, batch)
            z = q.draw(noise)
            likelihood = self.likelihood(nets, batch, self.targets(nets, batch), z).squeeze(-1)
            return Terms(q.shared.divergence(self.prior(nets, batch)) - likelihood)

Shapes are (*K, B, ...): K clients (may be absent), B batch, S draws, L shared and W private latent numbers. Draws stand
behind the batch, not before it, since a row owns its random numbers (`Batch.noise`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from raysim.data.dataset import Kind
from raysim.method import Batch, Group, Nets, Objective, Phase, Task, Train, all_present, any_present
from raysim.models.cub import private_encoder, sentence_vae
from raysim.models.encoders import encoder_name
from raysim.models.likelihood import BY_KIND, Categorical, Likelihood
from raysim.models.priors import Distribution, Mixture
from raysim.models.resnet_vae import resnet_vae
from raysim.models.vae import VaeDecoder, VaeEncoder, vae

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


class Noise(Protocol):
    """Random numbers by name: `Batch.noise`, or what a test says."""

    def __call__(self, name: str, shape: tuple[int, ...], kind: str = "normal") -> Tensor:
        """Standard normal numbers, or `uniform` ones in [0, 1)."""
        ...


@dataclass(frozen=True)
class Posterior:
    """What is known of a sample from the modalities that are given.

    Attributes:
        shared: a mixture over sources or subsets; the prior in rows that have none.
        private: modality -> (*K, B, W), where a model tells it from what is shared: of its own encoder in rows where it
            is given, else the prior.
    """

    shared: Mixture
    private: Mapping[str, Distribution] = field(default_factory=dict[str, Distribution])

    def mean(self) -> "Latent":
        """One latent vector a row, without chance."""
        private = {m: q.mean.unsqueeze(-2) for m, q in self.private.items()}
        return Latent(self.shared.mean().unsqueeze(-2), private)

    def draw(self, noise: Noise, draws: int = 1) -> "Latent":
        """Several a row; the components of the mixture get equal numbers of them, as far as that is possible."""
        like = self.shared.components[0].mean
        eps = noise("z", (*like.shape[:-1], draws, like.shape[-1]))
        shared = self.shared.sample(eps, noise("component", tuple(like.shape[:-1]), "uniform"))
        return Latent(shared, {m: drawn(q, noise, f"w.{m}", draws) for m, q in self.private.items()})


@dataclass(frozen=True)
class Latent:
    """What decoders decode.

    Attributes:
        shared: (*K, B, S, L).
        private: modality -> (*K, B, S, W); empty where nothing is private.
    """

    shared: Tensor
    private: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def of(self, modality: str) -> Tensor:
        """What the decoder of a modality takes, (*K, B, S, L + W)."""
        return torch.cat([self.shared, self.private[modality]], dim=-1) if self.private else self.shared

    def among(self, sources: Batch) -> "Latent":
        """The same, where it can tell, of the sources alone that this batch has."""
        return self


@dataclass(frozen=True)
class Terms:
    """What a batch's samples lose.

    Attributes:
        loss: (*K, B), to be minimised; finite everywhere, and of no meaning in rows that have no modality.
        parts: name -> (*K, B), what it is made of.
    """

    loss: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


class Generator:
    """A subclass defines `terms`, options of its own and, where it is no mixture, `posterior`."""

    class Options(BaseModel):
        """What a scenario may say besides the generator's name."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        latent: Count = Field(default=64, description="Width of the shared latent space.")
        hidden: Count = Field(default=512, description="Hidden width of vector networks.")
        images: Literal["conv", "resnet", "cub"] = Field(
            default="conv",
            description="Networks of images: conv, plain convolutions; resnet, MMVAE+'s for PolyMNIST, for sizes that "
            "are multiples of 4; cub, MMVAE+'s for CUB, for multiples of 32.",
        )
        tokens: Literal["cub"] = Field(default="cub", description="Networks of texts: cub, MMVAE+'s for CUB.")
        width: Annotated[int, Field(ge=2)] = Field(
            default=64,
            description="Channels at full size in networks of images (resnet, cub); those of texts have half as many.",
        )
        channels: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(32, 64, 128), description="Widths of the convolutions (conv)."
        )
        likelihoods: dict[str, Likelihood] = Field(
            default_factory=dict[str, Likelihood],
            description="By modality: laplace or normal (scale), bernoulli, categorical (padding), each with a weight; "
            "otherwise laplace of 0.75 for images, normal of 1 for vectors and sequences, categorical for tokens.",
        )
        incomplete: Literal["keep", "drop"] = Field(
            default="keep", description="Whether it learns from samples that lack a modality."
        )

    options: Any
    conditional: ClassVar[bool] = True
    """Whether it makes one modality of another; else it is judged by what it makes of nothing alone."""
    density: ClassVar[bool] = True
    """Whether there is a `bound`."""
    by_kind: ClassVar[Mapping[Kind, Likelihood]] = BY_KIND
    """The likelihoods where a scenario says nothing."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def check(self, task: Task) -> None:
        """Refuses a task that makes no sense for this generator; to be extended.

        Raises:
            ValueError: one line with the reason and the way out.
        """
        for m, likelihood in self.options.likelihoods.items():
            if m not in task.modalities:
                raise ValueError(f"likelihoods: there is no modality '{m}'; there are: {', '.join(task.modalities)}")
            if isinstance(likelihood, Categorical) != (task.modalities[m].kind == "tokens"):
                raise ValueError(f"likelihoods: categorical is for tokens and nothing else; give '{m}' another one")
        with torch.random.fork_rng(devices=[]):
            self.groups(task)

    def autoencoder(self, task: Task, modality: str, latent: int, private: int = 0) -> tuple[VaeEncoder, VaeDecoder]:
        """Networks from a modality to `latent` numbers, and back from these and private ones. Override it for others.

        Raises:
            ValueError: there is none that fits the modality.
        """
        o, spec = self.options, task.modalities[modality]
        if spec.kind == "tokens":
            return sentence_vae(spec, latent, private, o.width // 2)
        encoder, decoder = self._undivided(task, modality, latent)
        return encoder, self._undivided(task, modality, latent + private)[1] if private else decoder

    def private_encoder(self, task: Task, modality: str, latent: int) -> VaeEncoder:
        """A second encoder of a modality, of what `VaeEncoder.embedded` of the first one gives."""
        spec = task.modalities[modality]
        if spec.kind == "tokens":
            return private_encoder(spec, latent, self.options.width // 2)
        return self._undivided(task, modality, latent)[0]

    def _undivided(self, task: Task, modality: str, latent: int) -> tuple[VaeEncoder, VaeDecoder]:
        """Networks whose halves know one latent vector."""
        o, spec = self.options, task.modalities[modality]
        if spec.kind == "image" and o.images != "conv":
            return resnet_vae(spec, latent, o.width, branches=1, halvings=5 if o.images == "cub" else 2)
        return vae(spec, encoder_name(spec.kind, task.model.encoders.get(modality)), latent, o.hidden, o.channels)

    def groups(self, task: Task) -> dict[str, Group]:
        """`gen.<modality>.encoder` and `.decoder`, owned by the clients that have the modality."""
        groups = dict[str, Group]()
        for m, spec in task.modalities.items():
            encoder, decoder = self.networks(task, m)
            decoder.likelihood = self.options.likelihoods.get(m, self.by_kind[spec.kind])
            groups[f"gen.{m}.encoder"] = Group(encoder, frozenset({m}))
            groups[f"gen.{m}.decoder"] = Group(decoder, frozenset({m}))
        return groups

    def networks(self, task: Task, modality: str) -> tuple[VaeEncoder, VaeDecoder]:
        """A modality's encoder to the shared space, and the decoder."""
        return self.autoencoder(task, modality, self.options.latent)

    @property
    def width(self) -> int:
        """How many numbers a decoder takes."""
        return self.options.latent

    def phases(self, *more: Train) -> tuple[Phase, ...]:
        """What a client trains in which rounds, before other stages of a round."""
        return (Phase("train", (*self.stages(), *more)),)

    def stages(self) -> tuple[Train, ...]:
        """What a client trains, in order. By default everything on this loss."""
        return (self.stage(Objective(("gen.*",), self.losses)),)

    def stage(self, *objectives: Objective) -> Train:
        """A stage on the samples that this generator learns from."""
        return Train("generator", objectives, samples=all_present if self.options.incomplete == "drop" else any_present)

    def losses(self, nets: Nets, batch: Batch) -> Iterator[Tensor]:
        """(*K) each; their sum is the mean over rows that have any modality. See `Objective`."""
        yield self.average(batch, self.terms(nets, batch, batch.noise).loss)

    def average(self, batch: Batch, values: Tensor) -> Tensor:
        """(*K), the mean of values (*K, B) over rows that have any modality."""
        return batch.mean(values, where=torch.stack([*batch.present.values()]).any(0))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss of each sample, from what is there of it."""
        raise NotImplementedError

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """What the modalities that are given and present say, all by default; from none of them it is the prior.

        A mixture of what each says, unless a subclass joins them in another way.
        """
        encoded = self.encode(nets, self.targets(nets, batch, given))
        return Posterior(Mixture.of([*encoded.values()], [batch.present[m] for m in encoded], self.prior(nets, batch)))

    def prior(self, nets: Nets, batch: Batch) -> Distribution:
        """Of what is shared, (*K, B, L): N(0, I)."""
        zeros = torch.zeros(*batch.rows.shape, self.options.latent, device=batch.rows.device)
        return Distribution("normal", zeros, zeros)

    def decode(self, nets: Nets, latent: Latent, modality: str) -> Tensor:
        """The likelihood's mean, (*K, B, S, *shape); of texts the probabilities of words."""
        decoder = decoder_of(nets, modality)
        return decoder.likelihood.mean(decoder.draws(latent.of(modality)))

    def code(self, nets: Nets, batch: Batch, source: str, target: str) -> Tensor:
        """What is known of a sample from its source, to be compared with codes of the target: (*K, B, L).

        By default what a decoder of the source takes, whatever the target. A generator that maps codes overrides it; of
        a modality to itself it is the modality's own.
        """
        return self.posterior(nets, batch, (source,)).mean().of(source).squeeze(-2)

    def divergence(self, nets: Nets, batch: Batch, q: Posterior, modality: str) -> Tensor:
        """Of what one modality says from what is known without any, (*K, B)."""
        return q.shared.divergence(self.prior(nets, batch))

    def sources(self, nets: Nets, batch: Batch, target: str) -> Batch:
        """The batch with what may make up a modality as all that is there: by default all others."""
        there = {s: p for s, p in batch.present.items() if s != target and not batch.nowhere(s)}
        return replace(batch, present=there)

    @torch.no_grad()
    def synthesise(
        self, nets: Nets, latent: Latent, sources: Batch, target: str
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """A modality from others, of one latent vector a row.

        Returns:
            What the task model's encoder takes, (*K, B, *shape), and lengths (*K, B) of sequences; and where it has any
            source, (*K, B) bool.
        """
        made = self.decode(nets, latent.among(sources), target).squeeze(sources.rows.dim())
        lengths = decoder_of(nets, target).lengths(latent.shared.squeeze(-2))
        return made, lengths, torch.stack([*sources.present.values()]).any(0)

    def bound(self, nets: Nets, batch: Batch, noise: Noise, draws: int = 100) -> Tensor:
        """A lower bound of log p of all that is present, (*K, B): the log of the mean importance weight.

        Draws are spread evenly over the posterior's components, and weights of modalities and of the prior are 1.
        """
        q, prior, targets = self.posterior(nets, batch), self.posterior(nets, batch, ()), self.targets(nets, batch)
        z = q.draw(noise, draws)
        weights = self.likelihood(nets, batch, targets, z, weighted=False)
        weights = weights + prior.shared.log_density(z.shared) - q.shared.log_density(z.shared)
        for m, w in z.private.items():
            weights = weights + prior.private[m].log_density(w) - q.private[m].log_density(w)
        return weights.logsumexp(-1) - math.log(draws)

    def targets(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> dict[str, Tensor]:
        """What is encoded and reconstructed of each modality that these clients have, zeros in rows without it."""
        found = dict[str, Tensor]()
        for m in batch.x if given is None else [m for m in batch.x if m in set(given)]:
            if not batch.nowhere(m):
                x, present = batch.x[m], batch.present[m]
                x = torch.where(present.reshape(*present.shape, *[1] * (x.dim() - present.dim())), x, 0)
                found[m] = self.target(nets, m, x, batch.lengths.get(m))
        return found

    def target(self, nets: Nets, modality: str, x: Tensor, lengths: Tensor | None) -> Tensor:
        """What its encoder makes of a modality's input x (*K, B, *shape)."""
        return encoder_of(nets, modality).target(x, lengths)

    def encode(self, nets: Nets, targets: Mapping[str, Tensor], part: str = "encoder") -> dict[str, Distribution]:
        """The posterior of each modality by itself, (*K, B, L), of no meaning where it is absent."""
        return {m: self.scaled(*encoder_of(nets, m, part)(x)) for m, x in targets.items()}

    def scaled(self, mean: Tensor, raw: Tensor) -> Distribution:
        """The posterior that an encoder's two outputs stand for: normal, by mean and log variance."""
        return Distribution("normal", mean, raw)

    def likelihood(
        self, nets: Nets, batch: Batch, targets: Mapping[str, Tensor], latent: Latent, *, weighted: bool = True
    ) -> Tensor:
        """The sum over targets that are present of log p(x | z), times its weight: (*K, B, S)."""
        found = latent.shared.new_zeros(latent.shared.shape[:-1])
        for m, target in targets.items():
            decoder = decoder_of(nets, m)
            lengths = None if target.is_floating_point() else batch.lengths.get(m)
            each = decoder.log_prob(latent.of(m), target, lengths) * (decoder.likelihood.weight if weighted else 1.0)
            found = found + torch.where(batch.present[m].unsqueeze(-1), each, 0.0)
        return found


def total(values: Iterable[Tensor], batch: Batch) -> Tensor:
    """The sum of values (*K, B), such as each modality's; zero where there are none."""
    return sum(values, torch.zeros(batch.rows.shape, device=batch.rows.device))


def warmed(weight: float, batch: Batch, rounds: int) -> float:
    """A weight that grows over so many first rounds of training, from none where it is 0.

    At evaluation it is all there, so that losses of different rounds compare.
    """
    return weight * (min(1.0, batch.clock.round / rounds) if batch.clients and rounds else 1.0)


def drawn(q: Distribution, noise: Noise, name: str, draws: int = 1) -> Tensor:
    """Draws from q (*K, B, L): (*K, B, S, L)."""
    q = q.each(lambda t: t.unsqueeze(-2).expand(*t.shape[:-1], draws, t.shape[-1]))
    return q.sample(noise(name, tuple(q.mean.shape)))


def encoder_of(nets: Nets, modality: str, part: str = "encoder") -> VaeEncoder:
    """A modality's encoder, or another of its parts that is one."""
    net = nets[f"gen.{modality}.{part}"]
    assert isinstance(net, VaeEncoder)
    return net


def decoder_of(nets: Nets, modality: str) -> VaeDecoder:
    """A modality's decoder."""
    net = nets[f"gen.{modality}.decoder"]
    assert isinstance(net, VaeDecoder)
    return net
