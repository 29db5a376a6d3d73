"""All tables of a scenario, by what they are about: what a page shows of them it takes from here."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from raysim.report.reading.folders import Study
from raysim.report.reading.results import Results
from raysim.report.tables.by_class import class_table
from raysim.report.tables.clients import client_tables
from raysim.report.tables.costs import cost_table, module_table, traffic_table
from raysim.report.tables.generation import generation_tables
from raysim.report.tables.subsets import subset_tables
from raysim.report.tables.tables import Table, figures_table, result_tables

RESULTS, CLIENTS, SUBSETS, CLASSES = "results", "clients", "subsets", "by class"
GENERATION, FILLS, COSTS = "generation", "fills", "costs"

_MOST_COLUMNS = 6
"""Of figures; of more there is a table for each split."""


class Grouped(NamedTuple):
    """A table, what it is about, and what is said below it; a group that a page does not know becomes a section."""

    group: str
    table: Table
    notes: tuple[str, ...] = ()


def every_table(
    study: Study, scenario: str, splits: Sequence[str], metric: str | None = None, against: str | None = None
) -> Iterator[Grouped]:
    """The tables of one scenario, in order.

    Args:
        study: as it was read.
        scenario: one of it.
        splits: whose results.
        metric: of the results alone, where not None.
        against: the arm whose traffic the others' is compared with.

    Raises:
        UnknownArm: there is no arm `against`.
    """
    results = study.results
    together = result_tables(results, scenario, splits, metric)
    if any(len(table.header) - table.first > _MOST_COLUMNS for table in together):
        together = [table for split in splits for table in result_tables(results, scenario, (split,), metric)]
    yield from (Grouped(RESULTS, table) for table in together)
    yield from finer_tables(results, scenario, splits[0], metric)
    yield from (Grouped(GENERATION, table) for table in generation_tables(results, scenario))
    if (made_up := figures_table(results, scenario)) is not None:
        yield Grouped(FILLS, made_up)
    costs = cost_table(results, scenario), module_table(results, scenario), traffic_table(results, scenario, against)
    yield from (Grouped(COSTS, table) for table in costs if table is not None)


def finer_tables(results: Results, scenario: str, split: str, metric: str | None) -> Iterator[Grouped]:
    """What was measured by client, by what test samples are given, and by class, where it was."""
    yield from (Grouped(CLIENTS, table) for table in client_tables(results, scenario, metric))
    yield from (Grouped(SUBSETS, table) for table in subset_tables(results, scenario, metric))
    if (by_class := class_table(results, scenario, split)) is not None:
        yield Grouped(CLASSES, by_class)
