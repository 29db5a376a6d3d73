"""From a dataset's official layout to a checked folder of features, in the layout of `raysim/data/arrays.py`.

A preparation that was stopped goes on where it was: parts that are whole are kept. The manifest is written last, so a
folder without one is not prepared. Equal inputs give equal bits.

Shapes: N samples.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysim.data.dataset import Array, DataError
from raysim.data.extraction import Extraction, Mapper, here
from raysim.data.extractor import Extractor
from raysim.data.manifest import MANIFEST, json_object, manifest
from raysim.data.media import Unreadable
from raysim.data.recipe import Index, Recipe
from raysim.disk import hold, settle, sum_of_file, write
from raysim.registry import name_of

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
        "features": {
            m: {"name": name_of("feature", type(e)), **e.options.model_dump(mode="json")} for m, e in extractors.items()
        },
    }
    if (folder / MANIFEST).exists():
        return _earlier(folder, wish)
    index = _index(recipe, root, settings)
    folder.mkdir(parents=True, exist_ok=True)
    lock = hold(folder / LOCK)
    if lock is None:
        raise DataError(f"{folder} is being prepared by another process; wait for it, or give another --cache")
    with lock:
        if (folder / MANIFEST).exists():  # another process was faster
            return _earlier(folder, wish)
        _plan(folder, wish, {m: _digest(medium.items, root) for m, medium in index.media.items()})
        modalities = [Extraction(m, medium, extractors[m], folder / PARTS) for m, medium in index.media.items()]
        for modality in modalities:
            _suit(modality)
            _exist(recipe, modality)
            _fit(modality, index)
        for modality in modalities:
            _extract(modality, mapper, progress)
        skipped = [line for m in modalities for line in _failed(recipe, m)]
        kept = _kept(modalities)
        if what := _lost(index, modalities, kept):
            raise recipe.error(f"{root} has no {what}")
        names = _write(folder, index, modalities, kept)
        for name in names:
            settle(folder / name)
        sums = {name: sum_of_file(folder / name) for name in names}
        written = {**wish, "samples": int(kept.sum()), "skipped": skipped,
                    "files": {n: {"bytes": s.bytes, "blake2b": s.blake2b} for n, s in sums.items()}}  # fmt: skip
        settle(folder)
        write(folder / MANIFEST, json.dumps(written, indent=1).encode())
        shutil.rmtree(folder / PARTS)
        return Prepared(int(kept.sum()), tuple(skipped))


def _earlier(folder: Path, wish: Mapping[str, Any]) -> Prepared:
    found = manifest(folder)
    for key, value in wish.items():
        if found[key] != value:
            raise _other(folder, key, found[key], value)
    return Prepared(found["samples"], tuple(found["skipped"]), fresh=False)


def _other(folder: Path, key: str, found: object, wanted: object) -> DataError:
    what = f"{key} {json.dumps(found)}, not {json.dumps(wanted)}"
    return DataError(f"{folder} was prepared with {what}; give another --cache, or remove it")


def _digest(items: Sequence[Any], root: Path) -> str:
    """A checksum of items; that of a path is of its name below the root, so that the root may move."""
    found = hashlib.blake2b(digest_size=8)
    for item in items:
        if isinstance(item, Path):
            text = (str(item.relative_to(root)) if item.is_relative_to(root) else str(item)).encode()
        else:
            text = item.tobytes() if isinstance(item, np.ndarray) else repr(item).encode()
        found.update(len(text).to_bytes(8, "little") + text)
    return f"{len(items)}-{found.hexdigest()}"


def _plan(folder: Path, wish: Mapping[str, Any], items: Mapping[str, str]) -> None:
    """Begins, or goes on with, a preparation of the same things."""
    plan = {**wish, "items": dict(items)}
    (folder / PARTS).mkdir(exist_ok=True)
    path = folder / PARTS / PLAN
    if path.exists():
        found = json_object(path, plan, folder)
        for key, value in plan.items():
            if found[key] != value:
                raise _other(folder, key, found[key], value)
    else:
        write(path, json.dumps(plan).encode())


def _suit(modality: Extraction) -> None:
    kind, wanted = modality.medium.kind, modality.extractor.reads
    if kind != wanted:
        raise DataError(
            f"'{modality.name}' is {kind}, but {name_of('feature', type(modality.extractor))} reads {wanted}; "
            "choose another extractor with --features"
        )


def _index(recipe: type[Recipe], root: Path, settings: Any) -> Index:
    index = recipe.index(root, settings)
    if wrong := index.wrong():
        raise recipe.error(f"{root}: {wrong}")
    return index


def _exist(recipe: type[Recipe], modality: Extraction) -> None:
    """Whether the files that the index names are there, but for a few."""
    paths = [item for item in modality.items if isinstance(item, Path)]
    gone = [path for path in paths if not path.is_file()]
    if len(gone) > _few(len(paths)):
        raise recipe.error(f"{len(gone)} of {len(paths)} files of '{modality.name}' are missing, such as {gone[0]}")


def _few(count: int) -> int:
    return max(FEW, int(SHARE * count))


def _fit(modality: Extraction, index: Index) -> None:
    training = dict.fromkeys(modality.which[(index.split == "train") & (modality.which >= 0)].tolist())

    def media() -> Iterator[Any]:
        for number in training:
            with suppress(Unreadable):  # told when its features are extracted
                yield modality.medium.read(modality.items[number])

    modality.extractor.fit(media())


def _extract(modality: Extraction, mapper: Mapper, progress: Progress) -> None:
    pending, total = modality.pending(), len(modality.items)
    done = total - sum(len(modality.chunk(s)) for s in pending)
    progress(modality.name, done, total)
    if pending:
        for count in modality.extract(mapper if modality.extractor.parallel else here, pending):
            done += count
            progress(modality.name, done, total)


def _failed(recipe: type[Recipe], modality: Extraction) -> list[str]:
    """A line for each item that could not be read.

    Raises:
        DataError: these are too many.
    """
    failures = modality.failures()
    lines = [f"{modality.name}: {modality.items[i]}: {reason}" for i, reason in failures.items()]
    if len(failures) > _few(len(modality.items)):
        raise recipe.error(f"{len(failures)} of {len(modality.items)} files cannot be read, such as {lines[0]}")
    return lines


def _kept(modalities: Sequence[Extraction]) -> Array:
    """(N,) bool: samples of whose files none was unreadable."""
    kept = np.ones(len(modalities[0].which), dtype=bool)
    for modality in modalities:
        kept &= ~np.isin(modality.which, list(modality.failures()))
    return kept


def _lost(index: Index, modalities: Sequence[Extraction], kept: Array) -> str | None:
    """What nothing is left of, if anything: a split, a modality."""
    for part in np.unique(index.split).tolist():
        if part not in index.split[kept]:
            return f"{part} sample whose files can all be read"
    return next((f"sample with the modality '{m.name}'" for m in modalities if not (m.which[kept] >= 0).any()), None)


def _write(folder: Path, index: Index, modalities: Sequence[Extraction], kept: Array) -> list[str]:
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
        spans = modality.write(folder / f"x.{name}.npy", which)
        if spans is not None:
            arrays[f"span.{name}"] = spans
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    return [f"{key}.npy" for key in (*arrays, *(f"x.{m.name}" for m in modalities))]
