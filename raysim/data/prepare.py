"""From a dataset's official layout to a checked folder of features, in the layout of `raysim/data/arrays.py`.

A preparation that was stopped goes on where it was: parts that are whole are kept. The manifest is written last, so a
folder without one is not prepared. Equal inputs give equal bits.

Shapes: N samples.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysim.data.dataset import Array, DataError
from raysim.data.extraction import Mapper, Modality, alike, here
from raysim.data.extractor import Extractor
from raysim.data.media import Unreadable
from raysim.data.recipe import MANIFEST, Index, Recipe
from raysim.disk import Sum, hold, settle, sum_of_file, write

PARTS, PLAN, LOCK = ".parts", "plan.json", ".lock"
FEW, SHARE = 3, 0.05
"""So many items of a modality, or this share of them, may be unreadable; beyond that something is wrong at large."""


@dataclass(frozen=True)
class Prepared:
    """What came out.

    Attributes:
        samples: that are in it.
        skipped: what was left out because a file could not be read: a line each.
        fresh: False where it had been prepared before.
    """

    samples: int
    skipped: tuple[str, ...]
    fresh: bool = True


Progress = Callable[[str, int, int], None]
"""(modality, items done, items in all)"""


def prepare(
    recipe: type[Recipe], root: Path, folder: Path, *, settings: Any, extractors: Mapping[str, Extractor],
    mapper: Mapper, progress: Progress,
) -> Prepared:  # fmt: skip
    """Prepares a dataset.

    Args:
        recipe: which one.
        root: its official layout.
        folder: where features go.
        settings: the recipe's.
        extractors: by modality.
        mapper: where features are extracted, if that takes long.
        progress: is told what is done.

    Raises:
        DataError: files are missing or malformed, or the folder holds something else.
        OSError: features cannot be written.
    """
    wish = {
        "dataset": recipe.title(),
        "settings": settings.model_dump(mode="json"),
        "features": {m: {"name": _title(e), **e.options.model_dump(mode="json")} for m, e in extractors.items()},
    }
    if (folder / MANIFEST).exists():
        return _earlier(folder, wish)
    index = recipe.index(root, settings)
    folder.mkdir(parents=True, exist_ok=True)
    lock = hold(folder / LOCK)
    if lock is None:
        raise DataError(f"{folder} is being prepared by another process; wait for it, or give another --cache")
    with lock:
        _plan(folder, wish, index)
        modalities = [Modality(m, medium, extractors[m], folder / PARTS) for m, medium in index.media.items()]
        for modality in modalities:
            _exist(recipe, modality)
            _fit(modality, index)
        for modality in modalities:
            _extract(modality, mapper, progress)
        skipped = [line for m in modalities for line in _failed(recipe, m)]
        kept = _kept(modalities)
        if not kept.any():
            raise recipe.error(f"{root} has no sample whose files can all be read")
        for modality in modalities:
            if not (modality.which[kept] >= 0).any():
                raise recipe.error(f"{root} has no sample with the modality '{modality.name}'")
        names = _write(folder, index, modalities, kept)
        sums = {name: sum_of_file(folder / name) for name in names}
        manifest = {**wish, "samples": int(kept.sum()), "skipped": skipped,
                    "files": {n: {"bytes": s.bytes, "blake2b": s.blake2b} for n, s in sums.items()}}  # fmt: skip
        settle(folder)
        write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
        shutil.rmtree(folder / PARTS)
        return Prepared(int(kept.sum()), tuple(skipped))


def manifest(folder: Path) -> dict[str, Any]:
    """What a prepared folder says of itself.

    Raises:
        DataError: it is not prepared, or its manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{folder} is not prepared: there is no {MANIFEST}; run raysim data prepare") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged; remove {folder} and run raysim data prepare again") from error


def damaged(folder: Path) -> list[str]:
    """The files of a prepared folder that are not as they were written: a line each.

    Raises:
        DataError: it is not prepared, or its manifest is damaged.
    """
    lines: list[str] = []
    for name, wanted in manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{path} is missing")
        elif sum_of_file(path) != Sum(**wanted):
            lines.append(f"{path} has changed since it was prepared")
    return lines


def _title(extractor: Extractor) -> str:
    return type(extractor).__module__.rpartition(".")[2]


def _earlier(folder: Path, wish: Mapping[str, Any]) -> Prepared:
    found = manifest(folder)
    for key, value in wish.items():
        if found[key] != value:
            raise _other(folder, key, found[key], value)
    return Prepared(found["samples"], tuple(found["skipped"]), fresh=False)


def _other(folder: Path, key: str, found: object, wanted: object) -> DataError:
    what = f"{key} {json.dumps(found)}, not {json.dumps(wanted)}"
    return DataError(f"{folder} was prepared with {what}; give another --cache, or remove it")


def _plan(folder: Path, wish: Mapping[str, Any], index: Index) -> None:
    """Begins, or goes on with, a preparation of the same things."""
    sizes = {m: len(medium.items) for m, medium in index.media.items()}
    plan = {**wish, "items": sizes}
    (folder / PARTS).mkdir(exist_ok=True)
    path = folder / PARTS / PLAN
    if path.exists():
        for key, value in json.loads(path.read_bytes()).items():
            if plan[key] != value:
                raise _other(folder, key, value, plan[key])
    else:
        write(path, json.dumps(plan).encode())


def _exist(recipe: type[Recipe], modality: Modality) -> None:
    """Whether the files that the index names are there, but for a few."""
    paths = [item for item in modality.items if isinstance(item, Path)]
    gone = [path for path in paths if not path.is_file()]
    if len(gone) > _few(len(paths)):
        raise recipe.error(f"{len(gone)} of {len(paths)} files of '{modality.name}' are missing, such as {gone[0]}")


def _few(count: int) -> int:
    return max(FEW, int(SHARE * count))


def _fit(modality: Modality, index: Index) -> None:
    training = dict.fromkeys(modality.which[(index.split == "train") & (modality.which >= 0)].tolist())

    def media() -> Iterator[Any]:
        for number in training:
            with suppress(Unreadable):  # told when its features are extracted
                yield modality.medium.read(modality.items[number])

    modality.extractor.fit(media())


def _extract(modality: Modality, mapper: Mapper, progress: Progress) -> None:
    pending, total = modality.pending(), len(modality.items)
    done = total - sum(len(modality.chunk(s)) for s in pending)
    progress(modality.name, done, total)
    if pending:
        for count in modality.extract(mapper if modality.extractor.parallel else here, pending):
            done += count
            progress(modality.name, done, total)


def _failed(recipe: type[Recipe], modality: Modality) -> list[str]:
    """A line for each item that could not be read.

    Raises:
        DataError: these are too many.
    """
    failures = modality.failures()
    lines = [f"{modality.name}: {modality.items[i]}: {reason}" for i, reason in failures.items()]
    if len(failures) > _few(len(modality.items)):
        raise recipe.error(f"{len(failures)} of {len(modality.items)} files cannot be read, such as {lines[0]}")
    return lines


def _kept(modalities: Sequence[Modality]) -> Array:
    """(N,) bool: samples of whose files none was unreadable."""
    kept = np.ones(len(modalities[0].which), dtype=bool)
    for modality in modalities:
        kept &= ~np.isin(modality.which, list(modality.failures()))
    return kept


def _write(folder: Path, index: Index, modalities: Sequence[Modality], kept: Array) -> list[str]:
    """Writes all arrays; returns the files' names."""
    arrays: dict[str, Array] = {
        "y": index.labels[kept], "split": index.split[kept].astype("U"), "classes": np.array(index.classes, dtype="U"),
    }  # fmt: skip
    if index.clients is not None:
        arrays["client"] = index.clients[kept].astype("U")
    for modality in modalities:
        name, which = modality.name, modality.which[kept]
        if (which < 0).any():
            arrays[f"present.{name}"] = which >= 0
        if (codec := modality.extractor.codec) is not None:
            arrays[f"codec.{name}"] = np.array(codec)
        spans = _features(folder / f"x.{name}.npy", modality, which)
        if spans is not None:
            arrays[f"span.{name}"] = spans
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    return [f"{key}.npy" for key in (*arrays, *(f"x.{m.name}" for m in modalities))]


def _features(path: Path, modality: Modality, which: Array) -> Array | None:
    """Writes the features of some samples, part by part.

    Returns:
        (N, 2): where each sample begins and ends, for those that are not one row a sample.
    """
    alike(part.values.shape[1:] for _, part in modality.parts() if len(part.values))
    some = next(part for _, part in modality.parts() if len(part.values))
    lengths = np.concatenate([part.lengths for _, part in modality.parts()])
    ends = np.cumsum(lengths)
    size = len(which) if some.single else int(ends[-1])
    out = np.lib.format.open_memmap(path, "w+", some.values.dtype, (size, *some.values.shape[1:]))
    for start, part in modality.parts():
        stop = start + len(part.lengths)
        begin = ends[start] - lengths[start]
        if some.single:
            rows = np.flatnonzero((which >= start) & (which < stop))
            out[rows] = part.values[(ends - lengths)[which[rows]] - begin]
        elif len(part.values):
            out[begin : begin + len(part.values)] = part.values
    out.flush()
    if some.single:
        return None
    known = np.maximum(which, 0)
    return np.where((which >= 0)[:, None], np.stack([ends - lengths, ends], axis=1)[known], 0)
