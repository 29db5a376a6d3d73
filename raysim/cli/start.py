"""What every command needs of where it is started: standard streams, and a folder to stand in."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import typer

from raysim.disk import local
from raysim.scenario.errors import one_line

_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def open_streams() -> None:
    """Points standard streams that are closed at nothing: else the next files that are opened take their place."""
    for number, (name, flags, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))


def homeless() -> str | None:
    """What is wrong with the current folder; None where one can work there."""
    try:
        there = Path.cwd().exists()
    except OSError as error:
        return f"the current folder cannot be used: {error.strerror}; cd to one that is there"
    return None if there else "the current folder was removed; cd to one that is there"


def add_here() -> None:
    """Looks components up in the current folder, too."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def writable(text: str) -> Path:
    """A path of an option that names what is written."""
    try:
        return local(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def width() -> int:
    """The terminal's columns; where there is no terminal, so many that tables stay whole."""
    return shutil.get_terminal_size((10_000, 24)).columns


def complain(text: str) -> None:
    """One line on standard error, as far as that takes any."""
    with suppress(OSError):
        typer.echo(one_line(text), err=True)


def unwritable(error: OSError) -> int:
    """Says what could not be written or read and returns the exit status; standard output takes nothing any more."""
    where = error.filename or "standard output"
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    complain(f"raysim: {where}: {error.strerror or error}; mend that and run the command again")
    return 1


def out_of_memory() -> None:
    """Says so and ends the process at once: libraries that lack memory wait for each other at a usual end."""
    complain("raysim: out of memory; allow the process more, or use less data")
    os._exit(1)
