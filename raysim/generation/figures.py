"""The figures of an evaluation of generation, out of the rows that slices gave.

Of each subject `<given>><made>`, with the judge of what is made:

- `coherence`: the share of samples that it takes for the class of the real one (multi-label: of samples' labels); for
  vectors and sequences also `uar`, the mean recall of the classes.
- `colours`: the share of images made of captions that have the colour named there, the mean of eight colours;
  `colours_white` and so on are the shares of one.
- `frechet`: the distance to the real samples of the modality on the judge's features, `fid` on those of Inception.
- `reconstruction`: the squared error as a share of the variance; `cosine`, for vectors and sequences, to the real one.
- `top1`, `top5`, `top10`, `median_rank`, `mean_rank` of the right sample among the codes of what is made; of a
  generator that maps codes also `..._unmapped`.

Of `>`, made of nothing: `coherence` is the share of draws in which all judges agree. Of `all`: `bound`, a mean.

Source: Palumbo, Daunhawer and Vogt, "MMVAE+", 2023, section 4, for coherence and FID; Liu et al., "FedRecon", 2025,
for retrieval.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from raysim.data.dataset import Array, Kind
from raysim.evaluation.metrics.accuracy import accuracy
from raysim.evaluation.metrics.uar import uar
from raysim.generation import retrieval
from raysim.generation.colours import RANGES
from raysim.generation.frechet import Moments, distance

Table = Mapping[str, Mapping[str, NDArray[Any]]]
"""Subject -> what -> rows."""


class Real:
    """What the real samples are compared by, and their labels."""

    def __init__(self, rows: Table, labels: Array) -> None:
        self.labels = labels
        with threadpool_limits(1):
            self.moments = {
                (m, what): Moments.of(rows[m][what])
                for m in rows for what in ("features", "inception") if what in rows[m]
            }  # fmt: skip
        self.spread = {
            m: float(r["squares"].sum() - np.square(r["total"].sum(0)).sum() / len(labels)) for m, r in rows.items()
        }


def figures(rows: Table, real: Real, kinds: Mapping[str, Kind], classes: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Subject and figures, one after another, since distances take a while; those that make no sense are left out.

    Args:
        rows: what slices gave.
        real: of the same samples.
        kinds: of the modalities.
        classes: how many there are.
    """
    coded = [m for m in kinds if "code" in rows.get(f"{m}>{m}", {})]
    ranked = [f"{s}>{t}" for s in coded for t in coded]  # also where a text is made, of which nothing else is told
    for name in dict.fromkeys((*rows, *ranked)):
        found = rows.get(name, {})
        if name == "all":
            yield name, {"bound": float(found["bound"].mean())}
            continue
        given, _, made = name.rpartition(">")
        figure = dict[str, float]()
        with threadpool_limits(1):  # more threads may round in another way
            if given and "guess" in found:
                figure |= _coherence(found["guess"], real.labels, classes, recall=kinds[made] != "image")
            if "colours" in found:
                figure |= _coloured(found["colours"])
            figure |= _distances(found, real, made)
            if "wrong" in found and real.spread[made] > 0:
                figure["reconstruction"] = float(found["wrong"].sum() / real.spread[made])
            if "cosine" in found:
                figure["cosine"] = float(found["cosine"].astype(np.float64).mean())
            if given in kinds and given != made:
                figure |= _retrieval(rows, given, made)
        if figure:
            yield name, figure
    guesses = [found["guess"] for name, found in rows.items() if name.startswith(">") and "guess" in found]
    if len(guesses) > 1:
        alike = np.all([(g == guesses[0]).reshape(len(g), -1).all(axis=1) for g in guesses], axis=0)
        yield ">", {"coherence": float(alike.mean())}


def _coherence(guess: NDArray[Any], labels: Array, classes: int, *, recall: bool) -> dict[str, float]:
    scores = guess if guess.ndim == 2 else np.equal.outer(guess, np.arange(classes))
    names = {"coherence": accuracy} | ({"uar": uar} if recall else {})
    values = {name: of(scores.astype(np.float64), labels) for name, of in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def _coloured(coherent: NDArray[Any]) -> dict[str, float]:
    """Of as many rows of each colour, one colour after another."""
    shares = coherent.reshape(len(RANGES), -1).mean(axis=1)
    return {"colours": float(shares.mean())} | {f"colours_{c}": float(s) for c, s in zip(RANGES, shares, strict=True)}


def _distances(found: Mapping[str, NDArray[Any]], real: Real, made: str) -> dict[str, float]:
    pairs = {"frechet": "features", "fid": "inception"}
    return {
        figure: distance(Moments.of(found[what]), real.moments[made, what])
        for figure, what in pairs.items()
        if what in found and min(len(found[what]), real.moments[made, what].count) > 1
    }


def _retrieval(rows: Table, source: str, target: str) -> dict[str, float]:
    """Ranks of a sample's own code among the target's, by the source's code, mapped where the generator maps."""
    gallery = rows.get(f"{target}>{target}", {}).get("code")
    own, mapped = (rows.get(f"{source}>{m}", {}).get("code") for m in (source, target))
    if gallery is None or own is None:
        return {}
    if mapped is None:
        return _ranked(own, gallery)
    return _ranked(mapped, gallery) | {f"{n}_unmapped": v for n, v in _ranked(own, gallery).items()}


def _ranked(queries: NDArray[Any], gallery: NDArray[Any]) -> dict[str, float]:
    if queries.shape[1] != gallery.shape[1]:
        return {}  # codes of unlike width cannot be compared
    return retrieval.figures(retrieval.ranks(queries, gallery, np.arange(len(queries))))
