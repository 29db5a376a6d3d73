"""The command `raysim schema`: what editors need to complete and check scenarios."""

from pathlib import Path
from typing import Annotated

import typer

from raysim.cli.start import add_here, writable
from raysim.disk import write


def schema(
    out: Annotated[
        Path | None, typer.Option(parser=writable, metavar="FILE", help="Where it goes; to the screen if not given.")
    ] = None,
) -> int:
    """Print the JSON Schema of scenarios, for editors."""
    add_here()
    from raysim import editor  # components import torch

    if out is None:
        typer.echo(editor.text(), nl=False)
        return 0
    write(out, editor.text().encode())
    typer.echo(f"{out}: a scenario beside it begins with the line: {editor.LINE}{out.name}")
    return 0
