"""Counts of samples: of a prepared dataset by split, class and client, as plain text; of clients as they are dealt.

Shapes: N samples.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raysim.data.arrays import SPLITS
from raysim.data.dataset import Array, Dataset
from raysim.data.federated import Federated
from raysim.data.manifest import manifest

CLIENTS_SHOWN = 12
OUTPUTS_SHOWN = 10
MOST_LISTED = 2_000
"""With more clients nobody looks at each."""


def summary(folder: Path) -> str:
    """Tables of samples by class and split, and by client.

    Raises:
        DataError: the folder is not prepared.
    """
    features = manifest(folder)["features"]
    y, split, classes = (np.load(folder / f"{key}.npy", allow_pickle=False) for key in ("y", "split", "classes"))
    splits = [s for s in SPLITS if (split == s).any()]
    rows = [[name, *(_with(y, split == s, c) for s in splits)] for c, name in enumerate(classes.tolist())]
    rows.append(["samples", *(int((split == s).sum()) for s in splits)])
    parts = [_grid(["class", *splits], rows), "\n".join(_modality(folder, m) for m in features if _there(folder, m))]
    if (path := folder / "client.npy").is_file():
        parts.append(_clients(np.load(path, allow_pickle=False), split, splits))
    return "\n\n".join(parts)


def dealt(data: Federated) -> dict[str, Any] | None:
    """What each client has: samples by class (positives by label where a sample may have several) and by modality.

    Of a regression all samples are counted together. `own` is its own id, where it has one.

    None where there are too many clients to list.
    """
    if data.clients > MOST_LISTED:
        return None
    rows: list[dict[str, Any]] = []
    for client in range(data.clients):
        mask = data.mask[data.part(client)]
        having = {m: int(mask[:, i].sum()) for i, m in enumerate(data.dataset.names)}
        own = {} if data.deal is None or data.deal.ids is None else {"own": str(data.deal.ids[client])}
        counts = data.info(client).class_counts or (len(mask),)
        rows.append({"id": client, **own, "counts": counts, "modalities": having})
    return {"classes": data.dataset.classes or ("samples",), "clients": rows}


def described(title: str, dataset: Dataset, data: Federated) -> list[str]:
    """What a dataset is, as it is dealt out, in three lines: samples, modalities, clients with what lacks by nature."""
    counts = [f"{len(dataset.split(split)):,} {split}" for split in SPLITS]
    what = "label" if dataset.multi_label else "target" if dataset.targets else "class"
    what += "" if dataset.width == 1 else "es" if what == "class" else "s"
    named = ", ".join(dataset.outputs[:OUTPUTS_SHOWN]) + ", …" * (dataset.width > OUTPUTS_SHOWN)
    sizes = data.sizes[: data.clients]
    spread = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    natural = f"; the data has {len(dataset.client_names)} of its own" if dataset.client_names else ""
    present = dataset.train.presence(dataset.names)
    lacking = [f"{m} in {n:,}" for m, n in zip(dataset.names, (~present).sum(axis=0).tolist(), strict=True) if n]
    lacks = f"; training samples that lack by nature {', '.join(lacking)}" if lacking else ""
    return [
        f"{title}: samples: {', '.join(counts)}; {dataset.width} {what}: {named}",
        "; ".join(_kind(dataset, m) for m in dataset.names),
        f"{data.clients:,} clients of {spread} training samples{natural}{lacks}",
    ]


def _kind(dataset: Dataset, name: str) -> str:
    """A modality's kind and shape."""
    spec, shape = dataset.modalities[name], dataset.modalities[name].shape
    if spec.kind == "image":
        how = "bytes" if dataset.train.inputs[name].dtype.kind == "u" else "floats"
        return f"{name}: image {' x '.join(map(str, shape))}, {how}"
    if spec.kind == "vector":
        return f"{name}: vector of {shape[0]}"
    steps = dataset.train.lengths[name][dataset.train.presence((name,))[:, 0]]
    shortest, longest = int(steps.min(initial=shape[0])), int(steps.max(initial=1))
    spread = f"{longest}" if shortest >= longest else f"{shortest} to {longest}"
    return (
        f"{name}: {spread} tokens of {spec.vocabulary}"
        if spec.kind == "tokens"
        else (f"{name}: sequence of {spread} steps of {shape[1]}")
    )


def _with(y: Array, rows: Array, label: int) -> int:
    return int(y[rows, label].sum()) if y.ndim == 2 else int((y[rows] == label).sum())


def _there(folder: Path, modality: str) -> bool:
    return (folder / f"x.{modality}.npy").is_file()


def _modality(folder: Path, name: str) -> str:
    """One line: features, shape, how many samples lack it."""
    x = np.load(folder / f"x.{name}.npy", mmap_mode="r", allow_pickle=False)
    text = f"{name}: {manifest(folder)['features'][name]['name']}, {x.dtype} {x.shape[1:]}"
    if (path := folder / f"span.{name}.npy").is_file():
        lengths = np.diff(np.load(path, allow_pickle=False), axis=1)
        lengths = lengths[lengths > 0]
        what = "bytes a file" if x.dtype == np.uint8 else "steps"
        text = f"{name}: {manifest(folder)['features'][name]['name']}, {lengths.min()} to {lengths.max()} {what}"
        text += f" of {x.shape[1]}, {x.dtype}" if x.ndim == 2 else ""
    if (path := folder / f"present.{name}.npy").is_file():
        text += f", absent in {int((~np.load(path, allow_pickle=False)).sum()):,} samples"
    return text


def _clients(clients: Array, split: Array, splits: Sequence[str]) -> str:
    """The largest clients, and how many there are."""
    names, numbers = np.unique(clients, return_inverse=True)
    counts = {s: np.bincount(numbers[split == s], minlength=len(names)) for s in splits}
    total = sum(counts.values())
    order = np.argsort(-total, kind="stable")[:CLIENTS_SHOWN]
    rows = [[names[i], *(int(counts[s][i]) for s in splits)] for i in order]
    training = counts["train"][counts["train"] > 0]
    spread = f"{training.min()} to {training.max()}, median {np.median(training):g}"
    more = f"; the largest {CLIENTS_SHOWN}" if len(names) > CLIENTS_SHOWN else ""
    head = f"{len(names)} natural clients, {len(training)} of them with {spread} training samples{more}:"
    return f"{head}\n{_grid(['client', *splits], rows)}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    texts = [list(head), *([f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))])
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in lines)
