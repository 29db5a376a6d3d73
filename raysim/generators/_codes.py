"""What modalities say each by itself, as a posterior and a latent vector that keep them apart.

Shapes: K clients (may be absent), B batch, S draws, W numbers of a code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from raysim.generators.base import Latent, Noise, Posterior
from raysim.method import Batch
from raysim.models.priors import Distribution


@dataclass(frozen=True, kw_only=True)
class Codes(Latent):
    """What is decoded for each modality from several codes, and what the backbone would decode where there is none.

    Attributes:
        codes: source -> its posterior around what is decoded, (*K, B, S, W).
        sources: tells which of them a row has.
    """

    codes: Mapping[str, Distribution]
    sources: Batch

    def among(self, sources: Batch) -> Latent:
        """From some sources alone."""
        return replace(self, sources=sources)


@dataclass(frozen=True, kw_only=True)
class CodePosterior(Posterior):
    """What each modality that is given says alone.

    Attributes:
        codes: source -> (*K, B, W).
        sources: tells which of them a row has.
    """

    codes: Mapping[str, Distribution]
    sources: Batch

    def mean(self) -> Latent:
        """The codes themselves."""
        latent = super().mean()
        codes = {s: q.each(lambda t: t.unsqueeze(-2)) for s, q in self.codes.items()}
        return Codes(shared=latent.shared, private=latent.private, codes=codes, sources=self.sources)

    def draw(self, noise: Noise, draws: int = 1) -> Latent:
        """Each source's code is drawn by itself."""
        latent, codes = super().draw(noise, draws), dict[str, Distribution]()
        for s, q in self.codes.items():
            wide = q.each(lambda t: t.unsqueeze(-2).expand(*t.shape[:-1], draws, t.shape[-1]))
            codes[s] = replace(wide, mean=wide.sample(noise(f"code.{s}", tuple(wide.mean.shape))))
        return Codes(shared=latent.shared, private=latent.private, codes=codes, sources=self.sources)


def code_of(q: Posterior, modality: str) -> Distribution:
    """What a modality's decoder takes of its own posterior, which is the first component."""
    shared, own = q.shared.components[0], q.private.get(modality)
    if own is None:
        return shared
    mean, logvar = torch.cat([shared.mean, own.mean], dim=-1), torch.cat([shared.logvar, own.logvar], dim=-1)
    return Distribution(shared.family, mean, logvar)
