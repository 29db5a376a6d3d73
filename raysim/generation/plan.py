"""What an evaluation of generation asks of which samples: its slices, and what a scenario may ask for.

A slice gives some modalities of a chunk of rows and has all others made of them, so that each given set is encoded
once. What is given may be one modality, which is then made of itself, too, several, or nothing: then rows are draws
from the prior.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Literal

import numpy as np

from raysim.data.dataset import Array, Dataset, Kind, Modality, hint
from raysim.evaluation.slices import Slice
from raysim.generation import captions, inception
from raysim.generation.colours import RANGES
from raysim.generators.base import Generator
from raysim.scenario.generation import Generation
from raysim.seeding import stream

GENERATION = "generation"
"""The view of these slices, and the purpose of their random numbers."""
MOST_DRAWS = 4096
"""A slice of the bound decodes so many samples at once, or one row's."""
What = Literal["real", "made", "bound", "colours", "pictures"]


@dataclass(frozen=True)
class Part(Slice):
    """A slice of the measured samples, or of draws from the prior.

    Attributes:
        what: `real`, what the real samples are compared by; `made` of what is given; the `bound` of all that is there;
            images made of captions that name `colours`, in their order; `pictures`, real and made.
        given: modalities, in the data's order.
        weight: what a row costs, about.
    """

    view: str = field(default=GENERATION, init=False)
    what: What
    given: tuple[str, ...] = ()
    weight: int = 1

    @property
    def cost(self) -> float:
        """Beside other slices of one evaluation."""
        return float(self.weight * super().cost)

    @property
    def of_samples(self) -> bool:
        """Whether its rows are test samples, and not draws from the prior or captions of our own."""
        return self.what != "colours" and (bool(self.given) or self.what in ("real", "bound"))


def subject(given: Sequence[str], made: str) -> str:
    """What figures are said of: `m0>m1`, `m0+m2>m1`; `>m1` of nothing."""
    return f"{'+'.join(given)}>{made}"


def made_of(given: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """What is made: all of one modality, itself among them, or of nothing; of several those that are not given."""
    return tuple(m for m in names if len(given) < 2 or m not in given)


def subsets(wanted: str | Sequence[Sequence[str]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """What is given, each once, in the data's order of modalities."""
    if wanted == "singles":
        return [(m,) for m in names]
    if wanted == "all":
        sizes = range(1, max(len(names), 2))
        return list(chain.from_iterable(combinations(names, n) for n in sizes))
    return list(dict.fromkeys(tuple(m for m in names if m in given) for given in wanted))


def measured_rows(dataset: Dataset, count: int, seed: int) -> Array:
    """Test rows that lack nothing, at most `count`: the same for all methods of a seed, in ascending order."""
    complete = np.flatnonzero(dataset.test.presence(dataset.names).all(axis=1))
    return np.sort(stream(seed, GENERATION).permutation(complete)[:count])


def parts(
    settings: Generation, generator: Generator, modalities: Mapping[str, Modality], rows: int, batch: int,
    *, real: bool, pictures: bool,
) -> list[Part]:  # fmt: skip
    """The slices of one round.

    Args:
        settings: what is measured.
        generator: what is judged.
        modalities: of the data.
        rows: measured samples.
        batch: most rows of a slice.
        real: whether the real samples are looked at, too.
        pictures: whether pictures are taken, where the settings ask for some.
    """
    names = tuple(modalities)
    given = subsets(settings.subsets, names) if generator.conditional else []
    found = _cut(rows, batch, "real", (), len(names)) if real else []
    for some in given:
        found += _cut(rows, batch, "made", some, 1 + len(made_of(some, names)))
    if settings.judges or "inception" in settings.frechet:  # nothing else is told of it
        found += _cut(settings.prior_draws, batch, "made", (), len(names))
    if settings.bound:
        found += _cut(rows, max(1, min(batch, MOST_DRAWS // settings.bound)), "bound", (), settings.bound * len(names))
    if (pair := captions.pair(kinds_of(modalities))) is not None:
        found += _cut(len(RANGES) * settings.colours, batch, "colours", pair[:1], 2)
    shown = captions.shown(modalities)
    if pictures and settings.pictures and shown:
        sources = [(m,) for m in shown] if generator.conditional else []
        for some in ((), *sources):
            found += _cut(min(settings.pictures, rows), batch, "pictures", some, len(shown))
    return found


def kinds_of(modalities: Mapping[str, Modality]) -> dict[str, Kind]:
    """The kind of each."""
    return {m: spec.kind for m, spec in modalities.items()}


def _cut(rows: int, batch: int, what: What, given: tuple[str, ...], weight: int) -> list[Part]:
    return [Part(start, min(start + batch, rows), what, given, weight) for start in range(0, rows, batch)]


def problems(
    settings: Generation, generator: Generator | None, method: str, kinds: Mapping[str, Kind] | None,
    shapes: Mapping[str, tuple[int, ...]], modalities: Mapping[str, Modality] | None = None,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """What is wrong with the section, as far as that is known: (key below `evaluation.generation`, one line).

    Args:
        settings: the section.
        generator: the method's.
        method: its name.
        kinds: of the modalities; None where only the data tells.
        shapes: of one sample, where that is known.
        modalities: all of them, where the data was read.
    """
    if generator is None:
        yield "", f"judges what a generator makes, and '{method}' trains none; remove it, or use a method with one"
    elif settings.bound and not generator.density:
        yield "bound", f"'{method}' trains a generator that knows no density; remove it"
    elif settings.colours and not generator.conditional:
        yield "colours", f"'{method}' trains a generator that makes nothing of a caption; write 0"
    if kinds is not None:
        yield from _unfit(settings, kinds, shapes)
        yield from _no_texts(settings, kinds, shapes, modalities or {})
    if "inception" in settings.frechet and not inception.available():
        yield "frechet", inception.MISSING


def _unfit(
    settings: Generation, kinds: Mapping[str, Kind], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, str]]:
    """What does not suit the modalities."""
    if odd := next((m for m in kinds if "+" in m or ">" in m), None):
        yield "", f"names pairs of modalities with '+' and '>', and '{odd}' holds one; give it another name in the data"
    images = [m for m, kind in kinds.items() if kind == "image"]
    if odd := next((m for m in images if settings.pictures and ("/" in m or m in ("real", "prior"))), None):
        yield "pictures", f"are named with '/', 'real' and 'prior', so none are kept of an image '{odd}'; write 0"
    if not isinstance(settings.subsets, str):
        yield from _wrong_subsets(settings.subsets, tuple(kinds))
    if "inception" in settings.frechet:
        yield from _no_pictures(images, shapes)


def _wrong_subsets(wanted: Sequence[Sequence[str]], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, some in enumerate(wanted):
        for name in some:
            if name not in names:
                yield f"subsets.{number}", f"the data has no modality '{name}'; {hint(name, names)}"
        if not made_of(tuple(dict.fromkeys(some)), names):
            yield f"subsets.{number}", "names all modalities, which leaves nothing to be made; leave one out"


def _no_texts(
    settings: Generation, kinds: Mapping[str, Kind], shapes: Mapping[str, tuple[int, ...]],
    modalities: Mapping[str, Modality],
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Why texts cannot be written out, or no caption names the colour of a picture."""
    if settings.pictures and any(spec.codec for spec in modalities.values()) and not captions.available():
        yield "pictures", captions.MISSING
    if not settings.colours:
        return
    if (pair := captions.pair(kinds)) is None:
        yield "colours", "is of data with one image and one text (tokens), and this is other data; write 0"
        return
    text, image = pair
    if image in shapes and shapes[image][0] != 3:
        yield "colours", f"is of images with 3 channels, and '{image}' has {shapes[image][0]}; write 0"
    if text in modalities and (problem := captions.obstacle(text, modalities[text])) is not None:
        yield "colours", problem


def _no_pictures(images: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """What Inception cannot look at."""
    if not images:
        yield "frechet", "inception looks at images, and the data has none; write [judge]"
    for m in images:
        if m in shapes and shapes[m][0] not in (1, 3):
            yield (
                "frechet",
                f"inception takes 1 or 3 channels, and the image '{m}' has {shapes[m][0]}; write [judge]",
            )
