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
        list[str],
        typer.Option(
            metavar="NAME",
            help="As `raysim list methods` shows; several, each with its --method, become a grid.",
            autocompletion=completion.methods,
        ),
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
    task: Annotated[
        str | None, typer.Option(help="Of your own data: classification or regression; otherwise as its y looks.")
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Of missing modalities, 0.5 otherwise; several become a grid."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 1 on.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    name: Annotated[str | None, typer.Option(help="The scenario's, and so of its results.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=writable, metavar="FILE", help="Where it goes; - is the screen; NAME.yaml otherwise."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> int:
    """Write a commented scenario that fits a dataset and methods."""
    if dataset is None and data is None:
        complain("raysim: name the dataset: --dataset NAME (raysim list datasets), or --data FILE.npz for your own")
        return 2
    if task not in (None, "classification", "regression"):
        complain(f"raysim: --task {task}: write classification or regression")
        return 2
    methods = list(dict.fromkeys(method))
    add_here()
    from raysim.draft.draft import draft, name_of  # imports torch
    from raysim.draft.text import Wish
    from raysim.editor import FILE

    if name is not None and name != name_of(name):
        complain(f"raysim: --name {name!r}: write letters, digits, _, - and . alone, such as {name_of(name)}")
        return 2
    words = (data.stem if data is not None else dataset or "", *(methods if len(methods) == 1 else ()))
    named = name or name_of(*words)
    path = Path(f"{named}.yaml") if out is None else out
    if name is None and out not in (None, SCREEN):
        named = name_of(path.stem)
    if path != SCREEN and path.exists() and not force:
        complain(f"raysim: {path} is there already; name another file with --out, or overwrite it with --force")
        return 2
    schema = FILE if path != SCREEN and (path.parent / FILE).is_file() else str(HOME / FILE)
    try:
        wish = Wish(tuple(dict.fromkeys(rate or Wish.rates)), seeds, rounds, task)
        text = draft(dataset or "arrays", *methods, name=named, data=data, schema=schema, wish=wish)
    except UnknownNameError as error:
        complain(f"raysim: {error}")
        return 2
    if path == SCREEN:
        typer.echo(text, nl=False)
        return 0
    write(path, text.encode())
    typer.echo(one_line(f"{path}: written; check it: raysim validate {path}; run it: raysim run {path}"))
    return 0
