"""The commands `raysim list` and `raysim info`: what scenarios can name, and what each takes."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raysim import catalogue, registry
from raysim.catalogue import Option
from raysim.cli.completion import kinds_and_sections, names_of_kind, what_is_listed
from raysim.cli.start import add_here, complain, width
from raysim.registry import Entry, UnknownNameError
from raysim.report.text import encodable
from raysim.scenario import shipped
from raysim.scenario.errors import ScenarioError, one_line
from raysim.scenario.messages import near
from raysim.scenario.source import inline
from raysim.scenario.trial import load

LISTED = (*catalogue.PLURALS, "scenarios")
RULE = 120
"""A rule is no longer, however wide what is below it: where there is no terminal, lines are whole."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help=f"What to list: {', '.join(LISTED)}.", autocompletion=what_is_listed)
    ],
    json_: Json = False,
) -> int:
    """List what scenarios can name."""
    if what not in LISTED:
        complain(f"raysim: cannot list '{what}'; {near(what, LISTED)}")
        return 2
    add_here()
    entries = _scenarios() if what == "scenarios" else catalogue.listed(catalogue.PLURALS[what])
    if json_:
        typer.echo(json.dumps([asdict(entry) for entry in entries]))
        return 0
    longest = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        typer.echo(one_line(f"{entry.name:<{longest}}  {entry.summary}".rstrip()))
    if what == "scenarios":
        typer.echo(f"\nThose with a name are in {shipped.HOME}; raysim run NAME runs one.")
    return 0


def info(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"What it is: {', '.join(catalogue.KINDS)}; or a section of a scenario, such as federation.",
            autocompletion=kinds_and_sections,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A name that `raysim list` shows.", autocompletion=names_of_kind),
    ] = None,
    json_: Json = False,
) -> int:
    """Show a component, or a section of scenarios, with its options."""
    whole = [key for key in catalogue.sections() if name is None and key not in catalogue.KINDS]
    if kind not in catalogue.KINDS and kind not in whole:
        what = "kind" if name is not None else "kind or section"
        complain(f"raysim: there is no {what} '{kind}'; {near(kind, [*catalogue.KINDS, *whole])}")
        return 2
    add_here()
    if name is None and kind in catalogue.KINDS:
        return _members(kind, json_)
    try:
        found = catalogue.section(kind) if name is None else catalogue.component(kind, name)
    except UnknownNameError as error:
        complain(f"raysim: {error}")
        return 2
    if json_:
        typer.echo(json.dumps(asdict(found)))
        return 0
    options = _table(found.options, "field" if name is None else "option") if found.options else "no options"
    below = [key for key in whole if key != "scenario" and key.rpartition(".")[0] == kind.removesuffix("scenario")]
    more = f"Sections in it: raysim info {' | '.join(below)}\n\n" if below else ""
    typer.echo(encodable(f"{found.doc}\n\n{options}\n\n{more}{found.origin}", sys.stdout.encoding))
    return 0


def _members(kind: str, json_: bool) -> int:
    """All of a kind, and how to see what one takes."""
    status = show(registry.plural(kind), json_)
    if not json_:
        typer.echo(f"\nOptions of one: raysim info {kind} NAME")
    return status


def _scenarios() -> list[Entry]:
    """The shipped ones by name, and those in a folder `scenarios` where one works by their paths."""
    here = Path("scenarios")
    own = [] if here.resolve() == shipped.HOME else sorted(here.rglob("*.y*ml"), key=lambda p: (len(p.parts), p))
    files = {**shipped.shipped(), **{str(path): path for path in own}}
    return [Entry(name, _describe(path), str(path.resolve())) for name, path in files.items()]


def _describe(path: Path) -> str:
    try:
        return load(path)[0].scenario.description.partition("\n")[0]
    except ScenarioError as error:
        return f"(malformed) {error}"


def _table(options: tuple[Option, ...], what: str) -> str:
    """A line an option: its name, default, what it may be, and what it is for."""
    table = Table(what, "default", "must be", "meaning", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for o in options:
        default = "required" if o.required else inline(o.default)
        table.add_row(*(Text(part) for part in (o.name, default, o.type, o.description)))
    console = Console(width=width(), color_system=None)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join(line[:RULE] if set(line) <= {"─", " "} else line for line in lines)
