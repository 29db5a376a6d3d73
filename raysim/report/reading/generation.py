"""What the figures of generation add up to: every mean that tables, curves and pictures show is defined here.

A subject says what was given and what was made of it: `a>b`, `a>a` (a self pair), `a+b>c`, `>b` (from the prior), `>`
(all from one draw of the prior), or `all` for figures of a sample as a whole. A mean over figures of which one is
undefined is undefined; what was not measured does not count.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

Figures = Mapping[str, Mapping[str, float | None]]
"""Subject -> figure -> number."""

ALL, UNMAPPED = "all", "_unmapped"
NAMES = {
    "coherence": "coherence", "colours": "colours", "uar": "UAR", "frechet": "Fréchet", "fid": "FID",
    "reconstruction": "reconstruction", "cosine": "cosine", "top1": "top-1",
    "top5": "top-5", "top10": "top-10", "median_rank": "median rank",
    "mean_rank": "mean rank", "bound": "bound",
}  # fmt: skip
"""The figures that are known, in the order of a table, and what they are called there."""
DISTANCES = ("frechet", "fid")
LOW = (*DISTANCES, "reconstruction", "median_rank", "mean_rank")
"""Where less is better."""
MAIN = ("coherence", "colours", "uar", "cosine", "reconstruction", *DISTANCES)
"""What stands for a generator where there is room for one figure: the first that was measured."""
PRIOR = tuple(f"{name} prior" for name in DISTANCES)
"""The same of a generator that is given nothing."""


class Subject(NamedTuple):
    """What was given, and what was made of it; nothing given is the prior, an empty target is all of one draw."""

    given: frozenset[str]
    target: str

    @classmethod
    def of(cls, text: str) -> "Subject | None":
        """None for `all`, which is of no pair."""
        given, arrow, target = text.rpartition(">")
        return cls(frozenset(given.split("+")) if given else frozenset(), target) if arrow else None

    @property
    def single(self) -> bool:
        """An ordered pair, perhaps of a modality with itself."""
        return len(self.given) == 1 and bool(self.target)

    @property
    def own(self) -> bool:
        """A modality that was made of itself alone."""
        return self.single and self.target in self.given

    @property
    def conditional(self) -> bool:
        """A modality that was made of others."""
        return bool(self.given) and bool(self.target) and self.target not in self.given

    @property
    def prior(self) -> bool:
        """A modality that was made of nothing."""
        return not self.given and bool(self.target)

    @property
    def joint(self) -> bool:
        """All modalities, made of one draw of the prior."""
        return not self.given and not self.target


_WORDS: dict[str, Callable[[Subject], bool]] = {
    "self": lambda s: s.own, "joint": lambda s: s.joint, "prior": lambda s: s.prior,
}  # fmt: skip


def numbers(figures: Figures, name: str) -> dict[Subject, float | None]:
    """One figure of all subjects that have it, but for `all`; None where it is undefined."""
    found = ((Subject.of(text), values[name]) for text, values in figures.items() if name in values)
    return {subject: _defined(value) for subject, value in found if subject is not None}


def conditional(figures: Figures, name: str) -> float | None:
    """The mean over targets of the mean over sources, of ordered pairs; self pairs count for a distance alone.

    As Palumbo et al., "MMVAE+", 2023 have their coherence and their FID.
    """
    return _nested((s.target, v) for s, v in numbers(figures, name).items() if _counts(s, name))


def by_given(figures: Figures, name: str) -> dict[int, float | None]:
    """How many modalities were given -> the mean over what was given of the mean over the targets outside.

    As Sutter et al., "MoPoE", 2021 have their coherence.
    """
    found = {s: v for s, v in numbers(figures, name).items() if s.conditional}
    counts = sorted({len(s.given) for s in found})
    return {n: _nested((s.given, v) for s, v in found.items() if len(s.given) == n) for n in counts}


def means(figures: Figures) -> dict[str, float | None]:
    """What a trial's figures come to, those alone that were measured.

    Keys are the figure for its conditional mean, or with a word behind it: `self` (mean over self pairs), `prior` (mean
    over targets made from the prior), `joint` (all from one draw), `from 2` (two given). Of `all` the figure itself.
    """
    found = {name: _defined(value) for name, value in figures.get(ALL, {}).items()}
    for name in dict.fromkeys(n for values in figures.values() for n in values):
        several = numbers(figures, name)
        if any(_counts(s, name) for s in several):
            found[name] = conditional(figures, name)
        found |= {f"{name} from {n}": value for n, value in by_given(figures, name).items() if n > 1}
        for word, belongs in _WORDS.items():
            if any(map(belongs, several)):
                found[f"{name} {word}"] = _mean(v for s, v in several.items() if belongs(s))
    return found


def heading(key: str) -> str:
    """What a key of `means` is called above a column: `top-1, unmapped`, `coherence, 2 given`."""
    figure, _, words = key.partition(" ")
    name = figure.removesuffix(UNMAPPED)
    more = [words.removeprefix("from ") + " given" if words.startswith("from ") else words] if words else []
    return ", ".join([NAMES.get(name, name), *["unmapped"] * figure.endswith(UNMAPPED), *more])


def ordered(keys: Iterable[str]) -> list[str]:
    """Keys of `means` in the order of a table, each once: what is not known of last, in the order in which it came."""
    return sorted(dict.fromkeys(keys), key=lambda key: _place(key.partition(" ")[0]))


def headline(figures: Figures) -> tuple[str, float] | None:
    """The mean that stands for all, with its key; None where none is defined."""
    found = means(figures)
    known = ((key, found[key]) for key in (*MAIN, *PRIOR) if key in found)
    return next(((key, value) for key, value in known if value is not None), None)


def modalities(figures: Figures) -> list[str]:
    """The modalities of the pairs, in order."""
    pairs = [s for s in map(Subject.of, figures) if s is not None and s.single]
    return list(dict.fromkeys(m for s in pairs for m in (*s.given, s.target)))


def _counts(subject: Subject, name: str) -> bool:
    """Whether a subject is part of a figure's conditional mean."""
    return subject.single and (name in DISTANCES or not subject.own)


def _place(figure: str) -> tuple[int, bool]:
    order = list(NAMES)
    name = figure.removesuffix(UNMAPPED)
    return (order.index(name) if name in order else len(order)), figure.endswith(UNMAPPED)


def _nested(pairs: Iterable[tuple[object, float | None]]) -> float | None:
    """The mean over groups of the mean within each."""
    groups: dict[object, list[float | None]] = {}
    for group, value in pairs:
        groups.setdefault(group, []).append(value)
    return _mean(_mean(values) for values in groups.values())


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [v for v in found if v is not None]
    return statistics.fmean(known) if known and len(known) == len(found) else None


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
