"""Features of mean 0 and deviation 1, and features as float32, whatever their unit and offset.

What is measured is measured a piece at a time, with the same bits as all at once: arrays may be larger than the memory.

Shapes: N samples, T steps, D features, R rows that are measured, r of them in a piece.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from raysim.data.mapped import Mapped
from raysim.data.pieces import Inputs, pieces
from raysim.data.ragged import Array, Ragged, inside
from raysim.data.scores import Scaling, shifted

Group = tuple[Array, Array | None]
"""Rows whose mean and deviation are taken, and the rows that they scale; all rows where None."""
NOISE = 16 * np.finfo(np.float64).eps
"""A deviation below this part of the largest value is the rounding of a feature that never changes."""
HELD = 500 * np.finfo(np.float64).eps
"""The same, where nobody has asked for the deviation: a float32 may lose it without a word."""
LEAF = 1 << 12
"""Numbers that numpy itself adds up."""


class Lost(ValueError):
    """float32 cannot hold some values; the message says which and what to do, without the key."""


def scaling_of(x: Inputs, rows: Array, lengths: Array | None) -> Scaling | None:
    """How features are scaled by these rows, over the valid steps of sequences; None where there is nothing.

    Args:
        x: (N, D), (N, T, D), or sequences without padding.
        rows: those that are measured.
        lengths: (N,) for sequences.
    """
    found = moments(lambda: pieces(x, rows, lengths))
    return None if found is None else Scaling(*found)


def standardized(x: Inputs, groups: Sequence[Group], present: Array, lengths: Array | None) -> Inputs:
    """Z-scores by feature, from the samples of each group that have the modality, over their valid steps.

    Computed in float64 from the values as they were written. A feature that never changes among those that are
    measured becomes 0 for all. What is in a file is scaled when it is taken.

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
    found = [(scaling_of(x, measured[present[measured]], lengths), used) for measured, used in groups]
    return _scaled(x, [(s, used) for s, used in found if s is not None], present, lengths)


def scaled_by(scaling: Scaling, x: Inputs, present: Array, lengths: Array | None) -> Inputs:
    """New samples, scaled as others were: float32.

    Args:
        scaling: of the others.
        x: (N, D), (N, T, D), or sequences without padding; floats of any width.
        present: (N,) bool.
        lengths: (N,) for sequences.

    Raises:
        Lost: a float32 cannot hold the scores.
    """
    return _scaled(x, [(scaling, None)], present, lengths)


def rounded(x: Inputs, present: Array, lengths: Array | None) -> Inputs:
    """The same features as float32.

    Args:
        x: (N, ...) floats, or sequences without padding.
        present: (N,) bool: the samples that have it, whose values are finite.
        lengths: (N,) for sequences.

    Raises:
        Lost: a sample's values are beyond float32, or all that differs between samples is below its precision.
    """
    if x.dtype.itemsize > 4:
        _refuse_lost(lambda: pieces(x, np.flatnonzero(present), lengths))
    values = x.values if isinstance(x, Ragged) else x
    with np.errstate(over="ignore", invalid="ignore"):
        return _with(x, values.astype(np.float32, copy=False))


def moments(seen: Callable[[], Iterable[Array]]) -> tuple[Array, Array, Array] | None:
    """The power of 2 (D,) by which features are divided so that the largest is near 1, then their mean and deviation.

    Division by a power of 2 is exact, and squares neither overflow nor vanish. A deviation of 0 stands for a feature
    that never changes.

    Args:
        seen: makes the pieces (r, D) of finite floats, each time the same.

    Returns:
        None where there is nothing.
    """
    largest, count = None, 0
    for piece in seen():
        if len(piece):
            most = np.maximum(piece.max(axis=0), -piece.min(axis=0))
            largest, count = most if largest is None else np.maximum(largest, most), count + len(piece)
    if largest is None:
        return None
    exponents: Array = np.frexp(largest.astype(np.float64))[1]
    mean = _sum((shifted(piece, exponents) for piece in seen()), count, len(exponents)) / count
    squares = (np.square(shifted(piece, exponents) - mean) for piece in seen())
    deviation = np.sqrt(_sum(squares, count, len(exponents)) / count)
    return exponents, mean, np.where(deviation > NOISE, deviation, 0.0)


def _scaled(
    x: Inputs, scalings: Sequence[tuple[Scaling, Array | None]], present: Array, lengths: Array | None
) -> Inputs:
    values = x.values if isinstance(x, Ragged) else x
    wide = np.dtype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    every = np.arange(len(present))
    if isinstance(values, Mapped):
        groups = np.full(len(values), -1, dtype=np.int32)
        for number, (_, used) in enumerate(scalings):
            rows = every if used is None else used
            groups[x[rows].steps() if isinstance(x, Ragged) else rows] = number
        one = len(scalings) == 1 and not groups.any()
        scaling = scalings[0][0] if one else Scaling.stacked([s for s, _ in scalings]) if scalings else None
        scaled = replace(values, dtype=wide, scaling=scaling, groups=None if one else groups)
    else:
        scaled = values.astype(wide)
        for scaling, used in scalings:
            at = _where(x, every if used is None else used, lengths)
            scaled[at] = scaling.scores(values[at])
    return rounded(_with(x, scaled), present, lengths)


def _with(x: Inputs, values: Array | Mapped) -> Inputs:
    return type(x)(values, x.spans) if isinstance(x, Ragged) else values


def _where(x: Inputs, rows: Array, lengths: Array | None) -> Array | tuple[Array, ...]:
    """An index of the valid steps of some rows."""
    if isinstance(x, Ragged):
        return x[rows].steps()
    if lengths is None:
        return rows
    row, step = np.nonzero(inside(lengths[rows], x.shape[1]))
    return rows[row], step


def _refuse_lost(seen: Callable[[], Iterable[Array]]) -> None:
    """Raises Lost where float32 cannot hold a value, or would make a constant of a feature that is none.

    Args:
        seen: makes the pieces (r, D), or (r, ...) of which all values are one feature.
    """
    for piece in seen():
        with np.errstate(over="ignore"):
            held = np.isfinite(piece.astype(np.float32))
        if not held.all():
            largest = float(piece[~held].flat[0])
            raise Lost(f"holds {largest:g}, which a float32 cannot; scale it, to deviations near 1")
    found = moments(lambda: (p if p.ndim == 2 else p.reshape(-1, 1) for p in seen()))
    if found is None:
        return
    power, mean, deviation = found
    step = np.ldexp(np.spacing(np.abs(mean).astype(np.float32)).astype(np.float64), power)
    smallest = np.maximum(step, float(np.finfo(np.float32).smallest_subnormal))
    size = np.ldexp(deviation, power)
    for feature in np.flatnonzero((deviation > HELD) & (size < smallest))[:1].tolist():
        centre = float(np.ldexp(mean[feature], power[feature]))
        raise Lost(
            f"varies by {size[feature]:.2g} around {centre:.9g} in feature {feature}, which a float32 cannot hold; set "
            "dataset.standardize: true, or subtract the mean and scale"
        )


def _sum(parts: Iterable[Array], count: int, features: int) -> Array:
    """The sum of pieces (r, D), of `count` rows in all, to the bit as numpy adds them all up along the first axis."""
    if features == 1:
        return np.array([_pairwise(count, _numbers(parts))])
    total: Array | None = None
    for part in parts:
        total = (part if total is None else np.concatenate([total[None], part])).sum(axis=0)
    assert total is not None, "there are rows"
    return total


def _pairwise(count: int, take: Callable[[int], Array]) -> np.float64:
    """Numpy adds up the halves of a row of numbers each by itself; so a few are in memory at a time."""
    if count <= LEAF:
        return take(count).sum()
    half = count // 2
    half -= half % 8
    return _pairwise(half, take) + _pairwise(count - half, take)


def _numbers(parts: Iterable[Array]) -> Callable[[int], Array]:
    """A function that gives the next so many numbers of all pieces."""
    coming, left = iter(parts), np.empty(0)

    def take(count: int) -> Array:
        nonlocal left
        while len(left) < count:
            left = np.concatenate([left, next(coming).reshape(-1)])
        taken, left = left[:count], left[count:]
        return taken

    return take
