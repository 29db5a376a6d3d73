"""What a report shows, whatever it is written in: each form is a function of it that returns text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raysim.report.reading.folders import Study
from raysim.report.tables.comparisons import Comparison
from raysim.report.tables.costs import cost_table, module_table, traffic_table
from raysim.report.tables.tables import Table

Pictures = Mapping[str, Sequence[tuple[str, Path]]]
"""Scenario -> title and path of each picture."""


@dataclass(frozen=True)
class Choice:
    """What a report shows.

    Attributes:
        splits: whose figures.
        metric: of the results; where None, all, or in a matrix the one that selects the round.
        against: the arm whose traffic the others' is compared with; the one that sends most where None.
    """

    splits: tuple[str, ...] = ("test", "test_unmasked")
    metric: str | None = None
    against: str | None = None


@dataclass(frozen=True)
class Content:
    """A study as it is reported.

    Attributes:
        study: as it was read.
        choice: what of it is shown.
        comparisons: scenario -> its pairs of arms.
        pictures: those that are there.
        out: the file that the report is for; None where it is printed.
        width: of the terminal.
    """

    study: Study
    choice: Choice
    comparisons: Mapping[str, Comparison] = field(default_factory=dict[str, Comparison])
    pictures: Pictures = field(default_factory=dict[str, Sequence[tuple[str, Path]]])
    out: Path | None = None
    width: int = 80

    def costs(self, scenario: str) -> Iterator[Table]:
        """What its trials cost; traffic without single groups.

        Raises:
            UnknownArm: there is no arm `choice.against`.
        """
        results = self.study.results
        traffic = traffic_table(results, scenario, self.choice.against, single=False)
        found = cost_table(results, scenario), module_table(results, scenario), traffic
        yield from (table for table in found if table is not None)
