"""The command `raysim new`: a first scenario to change."""

from pathlib import Path
from typing import Annotated

import typer

from raysim.cli import completion
from raysim.cli.start import add_here, complain, writable
from raysim.disk import write
from raysim.registry import UnknownNameError
from raysim.scenario.errors import one_line
from raysim.scenario.shipped import HOME

SCREEN = Path("-")


def new(
    method: Annotated[
        str, typer.Option(metavar="NAME", help="As `raysim list methods` shows.", autocompletion=completion.methods)
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="As `raysim list datasets` shows; arrays, with --data, for your own.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Your own data: an .npz file, or a folder of .npy files.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=writable, metavar="FILE", help="Where it goes; - is the screen; DATASET_METHOD.yaml otherwise."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> int:
    """Write a commented scenario that fits a dataset and a method."""
    if dataset is None and data is None:
        complain("raysim: name the dataset: --dataset NAME (raysim list datasets), or --data FILE.npz for your own")
        return 2
    add_here()
    from raysim.draft import draft, name_of  # imports torch
    from raysim.editor import FILE

    name = name_of(data.stem if data is not None else dataset or "", method) if out in (None, SCREEN) else ""
    path = Path(f"{name}.yaml") if out is None else out
    name = name or name_of(path.stem)
    if path != SCREEN and path.exists() and not force:
        complain(f"raysim: {path} is there already; name another file with --out, or overwrite it with --force")
        return 2
    schema = FILE if path != SCREEN and (path.parent / FILE).is_file() else str(HOME / FILE)
    try:
        text = draft(dataset or "arrays", method, name=name, data=data, schema=schema)
    except UnknownNameError as error:
        complain(f"raysim: {error}")
        return 2
    if path == SCREEN:
        typer.echo(text, nl=False)
        return 0
    write(path, text.encode())
    typer.echo(one_line(f"{path}: written; check it: raysim validate {path}; run it: raysim run {path}"))
    return 0
