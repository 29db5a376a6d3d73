"""Features of mean 0 and deviation 1, and features as float32, whatever their unit and offset.

Shapes: N samples, T steps, D features, R rows that are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysim.data.ragged import Array, Ragged, inside

Group = tuple[Array, Array | None]
"""Rows whose mean and deviation are taken, and the rows that they scale; all rows where None."""
NOISE = 16 * np.finfo(np.float64).eps
"""A deviation below this part of the largest value is the rounding of a feature that never changes."""
HELD = 500 * np.finfo(np.float64).eps
"""The same, where nobody has asked for the deviation: a float32 may lose it without a word."""


class Lost(ValueError):
    """float32 cannot hold some values; the message says which and what to do, without the key."""


@dataclass(frozen=True)
class Scaling:
    """How features are scaled, (D,) each.

    Attributes:
        power: of 2, by which they are divided so that the largest that was measured is near 1.
        mean, deviation: of what is divided so, float64; a deviation of 0 stands for a feature that never changed.
    """

    power: Array
    mean: Array
    deviation: Array

    @staticmethod
    def of(x: Array | Ragged, rows: Array, lengths: Array | None) -> "Scaling | None":
        """Of these rows, over the valid steps of sequences; None where there is nothing."""
        values = x.values if isinstance(x, Ragged) else x
        seen = values[_where(x, rows, lengths)]
        return Scaling(*moments(seen)) if len(seen) else None

    def scores(self, values: Array) -> Array:
        """(..., D) in float64; 0 for a feature that never changed."""
        with np.errstate(over="ignore", invalid="ignore"):  # rows that lack the modality hold anything
            scores = (_shifted(values, self.power) - self.mean) / np.where(self.deviation > 0, self.deviation, 1.0)
            return np.where(self.deviation > 0, scores, 0.0)


def standardized(x: Array | Ragged, groups: Sequence[Group], present: Array, lengths: Array | None) -> Array | Ragged:
    """Z-scores by feature, from the samples of each group that have the modality, over their valid steps.

    Computed in float64 from the values as they were written. A feature that never changes among those that are
    measured becomes 0 for all.

    Args:
        x: (N, D), (N, T, D), or sequences without padding; floats of any width.
        groups: who is scaled by whom.
        present: (N,) bool.
        lengths: (N,) for sequences.

    Returns:
        float32.

    Raises:
        Lost: a float32 cannot hold the scores.
    """
    values = x.values if isinstance(x, Ragged) else x
    scaled = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    for measured, used in groups:
        scaling = Scaling.of(x, measured[present[measured]], lengths)
        if scaling is not None:
            at = _where(x, np.arange(len(present)) if used is None else used, lengths)
            scaled[at] = scaling.scores(values[at])
    return rounded(type(x)(scaled, x.spans) if isinstance(x, Ragged) else scaled, present, lengths)


def scaled_by(scaling: Scaling, x: Array | Ragged, present: Array, lengths: Array | None) -> Array | Ragged:
    """New samples, scaled as others were: float32.

    Args:
        scaling: of the others.
        x: (N, D), (N, T, D), or sequences without padding; floats of any width.
        present: (N,) bool.
        lengths: (N,) for sequences.

    Raises:
        Lost: a float32 cannot hold the scores.
    """
    values = x.values if isinstance(x, Ragged) else x
    found = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    at = _where(x, np.arange(len(present)), lengths)
    found[at] = scaling.scores(values[at])
    return rounded(type(x)(found, x.spans) if isinstance(x, Ragged) else found, present, lengths)


def rounded(x: Array | Ragged, present: Array, lengths: Array | None) -> Array | Ragged:
    """The same features as float32.

    Args:
        x: (N, ...) floats, or sequences without padding.
        present: (N,) bool: the samples that have it, whose values are finite.
        lengths: (N,) for sequences.

    Raises:
        Lost: a sample's values are beyond float32, or all that differs between samples is below its precision.
    """
    values = x.values if isinstance(x, Ragged) else x
    with np.errstate(over="ignore", invalid="ignore"):
        found = values.astype(np.float32, copy=False)
    if values.dtype.itemsize > 4:
        at = _where(x, np.flatnonzero(present), lengths)
        seen, now = values[at], found[at]
        if not np.isfinite(now).all():
            largest = float(seen[~np.isfinite(now)].flat[0])
            raise Lost(f"holds {largest:g}, which a float32 cannot; scale it, to deviations near 1")
        _refuse_flat(seen if seen.ndim == 2 else seen.reshape(-1, 1))
    return type(x)(found, x.spans) if isinstance(x, Ragged) else found


def moments(seen: Array) -> tuple[Array, Array, Array]:
    """The power of 2 (D,) by which features are divided so that the largest is near 1, then their mean and deviation.

    Division by a power of 2 is exact, and squares neither overflow nor vanish. A deviation of 0 stands for a feature
    that never changes.

    Args:
        seen: (R, D) finite floats, R at least 1.
    """
    exponents: Array = np.frexp(np.abs(seen).max(axis=0).astype(np.float64))[1]
    unit = _shifted(seen, exponents)
    mean, deviation = unit.mean(axis=0), unit.std(axis=0)
    return exponents, mean, np.where(deviation > NOISE, deviation, 0.0)


def _shifted(values: Array, power: Array) -> Array:
    return np.ldexp(values.astype(np.float64, copy=False), -power)


def _refuse_flat(seen: Array) -> None:
    """Raises Lost where float32 would make a constant of a feature (R, D) that is none."""
    if not len(seen):
        return
    power, mean, deviation = moments(seen)
    step = np.ldexp(np.spacing(np.abs(mean).astype(np.float32)).astype(np.float64), power)
    smallest = np.maximum(step, float(np.finfo(np.float32).smallest_subnormal))
    size = np.ldexp(deviation, power)
    for feature in np.flatnonzero((deviation > HELD) & (size < smallest))[:1].tolist():
        centre = float(np.ldexp(mean[feature], power[feature]))
        raise Lost(
            f"varies by {size[feature]:.2g} around {centre:.9g} in feature {feature}, which a float32 cannot hold; set "
            "dataset.standardize: true, or subtract the mean and scale"
        )


def _where(x: Array | Ragged, rows: Array, lengths: Array | None) -> Array | tuple[Array, ...]:
    """An index of the valid steps of some rows."""
    if isinstance(x, Ragged):
        return x[rows].steps()
    if lengths is None:
        return rows
    row, step = np.nonzero(inside(lengths[rows], x.shape[1]))
    return rows[row], step
