"""The command `raysim predict`: what a kept model says of samples."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from raysim.cli.start import add_here, complain, writable
from raysim.data.dataset import Array, DataError, Dataset
from raysim.data.given import labelled, read
from raysim.disk import write
from raysim.engine.environment import use_own_cluster
from raysim.report.files import packed

WRITTEN = (".csv", ".npz")
VIEWS = ("test", "validation", "test_unmasked", "validation_unmasked")


def predict(
    trial: Annotated[
        Path, typer.Argument(metavar="TRIAL", help="A trial's folder or its model.safetensors, or a URL.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="An .npz or folder as for the dataset arrays; or test, validation: the trial's own."
        ),
    ],
    out: Annotated[
        Path, typer.Option(parser=writable, metavar="FILE", help="Where to write: .csv, or .npz with logits, too.")
    ],
    client: Annotated[
        int | None, typer.Option(help="Whose own networks are used, where some stay with clients (keep_private).")
    ] = None,
) -> int:
    """Predict samples by the networks that a trial kept; of labelled ones the metrics are said."""
    add_here()
    use_own_cluster()
    if out.suffix not in WRITTEN:
        complain(f"{out}: is neither .csv nor .npz; write --out {out.with_suffix('.csv')}")
        return 2
    from raysim.predictor import ModelError, Unfit, load

    try:
        predictor = load(trial, client)
        labels: Array | None = None
        if data not in VIEWS and Path(data).exists():
            samples = read(Path(data))
            logits = predictor.logits(samples.inputs, samples.present, samples.lengths, samples.clients)
            labels = None if samples.y is None else _labels(data, samples.y, predictor.kept.dataset())
        elif data not in VIEWS:
            complain(f"{data}: no such file; name an .npz or a folder of arrays, or test for the trial's own samples")
            return 2
        else:
            logits, labels = predictor.own(data)
    except Unfit as error:
        complain(f"{data}: {error}")
        return 2
    except (ModelError, DataError) as error:
        complain(str(error))
        return 2
    chances = predictor.probabilities(logits)
    if predictor.targets:
        made = _numbers(logits, predictor.targets) if out.suffix == ".csv" else _packed({"predicted": logits}, labels)
    else:
        made = _table(chances, predictor.classes) if out.suffix == ".csv" else _arrays(logits, chances, labels)
    write(out, made)
    figures = {} if labels is None else predictor.figures(logits, labels)
    said = [f"{name} {value:.4f}" for name, value in figures.items() if value is not None]
    typer.echo(f"{out}: {'; '.join([f'{len(logits)} samples', ', '.join(said)]).removesuffix('; ')}")
    return 0


def _labels(file: str, y: Array, dataset: Dataset) -> Array:
    try:
        return labelled(y, dataset)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _table(chances: Array, classes: tuple[str, ...]) -> bytes:
    """A line a sample: its row, the likeliest class, and each one's probability."""
    lines = ([classes[int(each.argmax())], *(repr(float(p)) for p in each)] for each in chances)
    return _csv(["predicted", *(f"p.{name}" for name in classes)], lines)


def _numbers(predicted: Array, targets: tuple[str, ...]) -> bytes:
    """A line a sample of a regression: its row, and what is predicted of each target."""
    return _csv([f"predicted.{name}" for name in targets], ([repr(float(v)) for v in each] for each in predicted))


def _csv(names: Sequence[str], lines: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *names])
    writer.writerows([row, *line] for row, line in enumerate(lines))
    return text.getvalue().encode()


def _arrays(logits: Array, chances: Array, labels: Array | None) -> bytes:
    return _packed({"logits": logits, "probabilities": chances, "predicted": chances.argmax(axis=1)}, labels)


def _packed(arrays: Mapping[str, Array], labels: Array | None) -> bytes:
    return packed(arrays if labels is None else {**arrays, "labels": np.asarray(labels)})
