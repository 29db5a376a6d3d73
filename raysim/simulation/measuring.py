"""The evaluation of generation of one trial: in which rounds, by which slices, and what becomes of the answers."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from raysim.evaluation.slices import Slice
from raysim.generation.figures import Real, figures
from raysim.generation.measure import joined
from raysim.generation.plan import Part, What, kinds_of, parts
from raysim.simulation.executor import Answer
from raysim.training.job import Job

Figures = dict[str, dict[str, float]]
"""Subject -> figure -> value."""


class Measuring:
    """Knows the real samples from the first time on, since networks do not change them."""

    def __init__(self, job: Job) -> None:
        """A job whose scenario asks for it.

        Raises:
            ValueError: it has no judges: a mistake of whoever made the job.
        """
        settings = job.scenario.evaluation.generation
        assert settings is not None, "the scenario asks for it"
        if job.judges is None and settings.judges:
            raise ValueError("generation is measured by judges: Job(trial, data, judges_for(trial, data.dataset))")
        self._job, self._settings = job, settings
        self._real: Real | None = None

    @staticmethod
    def of(job: Job) -> "Measuring | None":
        """None where the scenario asks for nothing."""
        return None if job.scenario.evaluation.generation is None else Measuring(job)

    def due(self, round_: int) -> bool:
        """Whether generation is measured after a round."""
        every = self._settings.every_rounds
        return round_ == self._job.rounds or (every is not None and round_ % every == 0)

    def slices(self, round_: int) -> list[Part]:
        """Of a round; pictures are taken after the last one."""
        job, batch = self._job, self._job.scenario.numerics.evaluation_batch
        return parts(
            self._settings, job.method.generator, job.task.modalities, len(job.measured), batch,
            real=self._real is None, pictures=round_ == job.rounds,
        )  # fmt: skip

    def figures(self, slices: Sequence[Slice], answers: Sequence[Answer]) -> Generator[None, None, Figures]:
        """Of all slices of an evaluation, in their order; yields between subjects, since some take a while."""
        real = joined(_answers(slices, answers, "real"))
        if real:
            self._real = Real(real, self._job.data.dataset.test.labels[self._job.measured])
        if self._real is None:
            return {}  # nothing was asked for
        made: tuple[What, ...] = ("made", "bound", "colours")
        rows = joined([answer for what in made for answer in _answers(slices, answers, what)])
        found: Figures = {}
        kinds = kinds_of(self._job.task.modalities)
        for subject, figure in figures(rows, self._real, kinds, self._job.task.classes):
            found[subject] = figure
            yield None
        return found

    def pictures(self, slices: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, Any]:
        """Name -> uint8 (n, H, W, C), or str (n,) of texts; empty where none were taken."""
        return {name: rows["picture"] for name, rows in joined(_answers(slices, answers, "pictures")).items()}

    @property
    def accuracy(self) -> Mapping[str, float]:
        """Of each modality's judge, on the real test samples; empty without judges."""
        return {} if self._job.judges is None else {m: float(a) for m, a in self._job.judges.accuracy.items()}


def _answers(slices: Sequence[Slice], answers: Sequence[Answer], what: What) -> list[Answer]:
    return [a for part, a in zip(slices, answers, strict=True) if isinstance(part, Part) and part.what == what]
