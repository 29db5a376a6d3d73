"""What slices answer: rows, in the order of the samples, so that no grouping of slices changes a bit of any figure.

A chunk's features are no more numbers than their sums and outer products would be; the sums are taken in float64 where
figures are made (`raysim.generation.figures`).

Shapes: B rows, D features, L numbers of a code; *shape is a sample's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from raysim.batch import Batch, Nets
from raysim.generation.captions import coloured, pair, shown, written
from raysim.generation.colours import RANGES, coherent
from raysim.generation.inception import Inception, load
from raysim.generation.judges import Judge
from raysim.generation.plan import Part, kinds_of, made_of, subject
from raysim.generators.base import Generator, Latent, decoder_of
from raysim.models.likelihood import words
from raysim.training.job import Job

AT_ONCE = 32
"""Pictures that Inception takes at once: of each its first layers hold 6 MB."""
Rows = dict[tuple[str, str], NDArray[Any]]
"""(subject, what) -> (B, ...). The subject of real samples is the modality.

- `features`, `inception`: (B, D) float32. `guess`: of the judge, (B,) class numbers, or (B, C) bool when multi-label.
- `wrong`, `squares`: (B,) float64, the squared error, and the squares of the target. `total`: (1, D), its sum.
- `cosine`: (B,), of what was made and the target. `code`: (B, L). `bound`: (B,). `colours`: (B,) bool.
- `picture`: (B, H, W, C) uint8, or of texts (B,) str.
"""
_Found = Iterator[tuple[tuple[str, str], Tensor | NDArray[Any]]]


class Meter:
    """One process's judges, at work on what a trial's generator makes."""

    def __init__(self, job: Job) -> None:
        settings = job.scenario.evaluation.generation
        assert settings is not None, "nothing is measured"
        self._job, self._settings = job, settings
        self._generator: Generator = job.method.generator
        self._kinds = kinds_of(job.task.modalities)
        judges: Mapping[str, Judge] = {} if job.judges is None else job.judges.by_modality
        self._judges = {m: judge.to(job.device).eval() for m, judge in judges.items()}
        self._inception: Inception | None = None

    def measure(self, nets: Nets, batch: Batch, part: Part) -> Rows:
        """What a slice answers, given its batch."""
        named: Mapping[str, Any] = {
            "real": self._real, "made": self._made, "bound": self._bound, "colours": self._colours,
            "pictures": self._pictures,
        }  # fmt: skip
        found: _Found = named[part.what](nets, batch, part)
        return {key: rows.cpu().numpy() if isinstance(rows, Tensor) else rows for key, rows in found}

    def _real(self, nets: Nets, batch: Batch, _part: Part) -> _Found:
        for m, target in self._generator.targets(nets, batch).items():
            if self._kinds[m] != "tokens":
                yield from self._judged(m, m, batch.x[m], batch.lengths.get(m))
                flat = target.flatten(1).double()
                yield (m, "squares"), flat.square().sum(-1)
                yield (m, "total"), flat.sum(0, keepdim=True)

    def _made(self, nets: Nets, batch: Batch, part: Part) -> _Found:
        given = part.given
        latent = self._latent(nets, batch, given)
        targets = self._generator.targets(nets, batch) if given else {}
        for m in made_of(given, tuple(self._kinds)):
            if self._kinds[m] != "tokens":
                name, made = subject(given, m), self._decoded(nets, latent, m)
                lengths = decoder_of(nets, m).lengths(latent.of(m)) if self._kinds[m] == "sequence" else None
                yield from self._judged(name, m, made, None if lengths is None else lengths.squeeze(-1))
                if given:
                    yield (name, "wrong"), (made.double() - targets[m].double()).flatten(1).square().sum(-1)
                if given and self._kinds[m] != "image":
                    yield (name, "cosine"), F.cosine_similarity(made.flatten(1), targets[m].flatten(1))
        if self._settings.retrieval and len(given) == 1:
            yield from self._codes(nets, batch, given[0])

    def _codes(self, nets: Nets, batch: Batch, source: str) -> _Found:
        """The source's own code and, of a generator that maps codes, what it makes of it for each other modality."""
        maps = type(self._generator).code is not Generator.code
        for m in self._kinds if maps else (source,):
            with self._job.precision():
                code = self._generator.code(nets, batch, source, m)
            yield (subject((source,), m), "code"), code.float()

    def _bound(self, nets: Nets, batch: Batch, _part: Part) -> _Found:
        with self._job.precision():
            yield ("all", "bound"), self._generator.bound(nets, batch, batch.noise, self._settings.bound).double()

    def _colours(self, nets: Nets, batch: Batch, part: Part) -> _Found:
        """Whether images drawn from captions have their colour; as many rows of each, one colour after another."""
        both, settings = pair(self._kinds), self._settings
        assert both is not None, "checked before anything starts"
        text, image = both
        which = torch.arange(part.start, part.stop) // settings.colours
        ids, lengths = (table[which].to(self._job.device) for table in coloured(self._job.task.modalities[text]))
        batch = replace(batch, x={**batch.x, text: ids}, lengths={**batch.lengths, text: lengths})
        with self._job.precision():
            latent = self._generator.posterior(nets, batch, (text,)).draw(batch.noise)
        made, found = self._decoded(nets, latent, image).cpu(), torch.zeros(len(which), dtype=torch.bool)
        for number, colour in enumerate(RANGES):
            found[which == number] = coherent(made[which == number], colour)
        yield (subject((text,), image), "colours"), found

    def _pictures(self, nets: Nets, batch: Batch, part: Part) -> _Found:
        """Of nothing given: what the prior makes, and the real ones."""
        latent = self._latent(nets, batch, part.given)
        targets = {} if part.given else self._generator.targets(nets, batch)
        for m in shown(self._job.task.modalities):
            text, source = self._kinds[m] == "tokens", part.given[0] if part.given else "prior"
            made = self._decoded(nets, latent, m)
            yield (f"{source}/{m}", "picture"), self._written(m, words(made)) if text else _pixels(made)
            if not part.given:
                yield (f"real/{m}", "picture"), self._written(m, targets[m]) if text else _pixels(batch.x[m])

    def _written(self, m: str, ids: Tensor) -> NDArray[Any]:
        return written(self._job.task.modalities[m], ids)

    def _latent(self, nets: Nets, batch: Batch, given: tuple[str, ...]) -> Latent:
        with self._job.precision():
            posterior = self._generator.posterior(nets, batch, given)
            mean = bool(given) and self._settings.draws == "mean"
            return posterior.mean() if mean else posterior.draw(batch.noise)

    def _decoded(self, nets: Nets, latent: Latent, m: str) -> Tensor:
        """(B, *shape)."""
        with self._job.precision():
            return self._generator.decode(nets, latent, m).squeeze(1).float()

    def _judged(self, name: str, m: str, x: Tensor, lengths: Tensor | None) -> _Found:
        if (judge := self._judges.get(m)) is not None:
            features = judge.features(x, lengths)
            logits = judge.head(features)
            yield (name, "guess"), logits > 0 if self._job.task.multi_label else logits.argmax(-1)
            if "judge" in self._settings.frechet:
                yield (name, "features"), features
        yield from self._inspected(name, m, x)

    def _inspected(self, name: str, m: str, x: Tensor) -> _Found:
        """What Inception sees in images, where it is asked."""
        if "inception" in self._settings.frechet and self._kinds[m] == "image":
            self._inception = self._inception or load(self._job.device)
            starts = range(0, len(x), AT_ONCE)
            yield (name, "inception"), torch.cat([self._inception.features(x[i : i + AT_ONCE]) for i in starts])


def _pixels(images: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, H, W, C) uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1)


def joined(answers: list[Mapping[tuple[str, str], NDArray[Any]]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Subject -> what -> the rows of all slices, given in their order."""
    pieces = dict[tuple[str, str], list[NDArray[Any]]]()
    for answer in answers:
        for key, rows in answer.items():
            pieces.setdefault(key, []).append(rows)
    found = dict[str, dict[str, NDArray[Any]]]()
    for (name, what), rows in pieces.items():
        found.setdefault(name, {})[what] = np.concatenate(rows)
    return found
