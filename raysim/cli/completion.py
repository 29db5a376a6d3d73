"""What the shell completes: names, found without importing what they name."""

from collections.abc import Iterable, Iterator

import typer

from raysim import catalogue, registry
from raysim.cli.start import add_here
from raysim.registry import Entry
from raysim.scenario.shipped import shipped

Completions = Iterable[tuple[str, str]]
LAZY = (*registry.FOLDERS, *catalogue.UNIONS, "augmentation")
"""Kinds that are listed without importing torch."""


def scenarios(incomplete: str) -> Iterator[str]:
    """Shipped scenarios; where none begins so, the shell completes files."""
    return (name for name in shipped() if name.startswith(incomplete))


def datasets(incomplete: str) -> Completions:
    """Datasets by name."""
    return _named("dataset", incomplete)


def methods(incomplete: str) -> Completions:
    """Methods by name, those in the current folder's `methods` among them."""
    return _named("method", incomplete)


def generators(incomplete: str) -> Completions:
    """Generators by name."""
    return _named("generator", incomplete)


def trackers(incomplete: str) -> Completions:
    """Trackers by name."""
    return _named("tracker", incomplete)


def what_is_listed(incomplete: str) -> Iterator[str]:
    """What `raysim list` takes."""
    return (what for what in (*catalogue.PLURALS, "scenarios") if what.startswith(incomplete))


def kinds_and_sections(incomplete: str) -> Iterator[str]:
    """What `raysim info` takes first."""
    return (k for k in dict.fromkeys([*catalogue.KINDS, *catalogue.sections()]) if k.startswith(incomplete))


def names_of_kind(context: typer.Context, incomplete: str) -> Completions:
    """What `raysim info` takes next."""
    kind = str(context.params.get("kind"))
    return _named(kind, incomplete) if kind in LAZY else ()


def _named(kind: str, incomplete: str) -> Completions:
    add_here()
    entries: list[Entry] = catalogue.listed(kind)
    return [(entry.name, entry.summary) for entry in entries if entry.name.startswith(incomplete)]
