"""Progress for pipes and logs: one plain line a round, no control codes."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO

from raysim.report.events import (
    Doing,
    Event,
    Printed,
    RoundFinished,
    StudyFinished,
    StudyPlanned,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.reading.generation import heading, headline
from raysim.report.reading.results import Results
from raysim.report.scores import OVER_CLIENTS, central, over_clients
from raysim.report.tables.generation import generation_table
from raysim.report.tables.tables import aligned, tables
from raysim.report.text import counted, duration, encodable, label, number
from raysim.scenario.errors import one_line


class PlainSink:
    """Writes lines to a stream. Where nobody reads them any more (`| head`), or the disk is full, the study goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._results = Results()
        self._reader_gone = False

    def handle(self, event: Event) -> None:
        """Writes the lines of one event."""
        self._results.fold(event)
        text = "\n".join(self._lines(event))
        if not text or self._reader_gone:
            return
        try:
            self._stream.write(encodable(text, self._stream.encoding) + "\n")
            self._stream.flush()
        except OSError as error:
            self._reader_gone = True
            silence(self._stream)
            if not isinstance(error, BrokenPipeError):
                with suppress(OSError):
                    print(f"standard output: {error.strerror}; the study goes on in silence", file=sys.stderr)  # noqa: T201

    def close(self) -> None:
        """Nothing is held."""

    def _lines(self, event: Event) -> list[str]:
        match event:
            case Doing():
                return [event.text]
            case StudyStarted():
                hardware = f" ({event.hardware})" if event.hardware else ""
                return [f"{counted(len(event.trials), 'trial')} -> {event.out}{hardware}"]
            case TrialStarted():
                after = f"; goes on after round {len(event.done)}" if event.done else ""
                return [f"{prefix(self._results, event.trial)}  started: {event.line}{after}"]
            case RoundFinished():
                figures = "  ".join(round_figures(event.trial, event.record))
                return [f"{prefix(self._results, event.trial)}  round {event.round}/{event.trial.rounds}  {figures}"]
            case StudyFinished():
                return self._end(event)
            case _:
                return lasting(self._results, event)

    def _end(self, event: StudyFinished) -> list[str]:
        lines: list[str] = []
        found = [t for split in ("test", "test_unmasked") for t in tables(self._results, [split])]
        made = (generation_table(self._results, scenario) for scenario in self._results.scenarios)
        for table in (*found, *(t for t in made if t is not None)):
            lines += [
                "",
                f"{table.title}: {table.caption}{f' (* {table.word})' if table.best else ''}",
                *aligned(table),
            ]
        return [*lines, "", *ending(self._results, event)]


class FailuresSink:
    """Says of each trial that fails in one line that it did, and nothing else: where no progress is wanted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._results = stream, Results()

    def handle(self, event: Event) -> None:
        """Writes the line of a failure."""
        self._results.fold(event)
        if isinstance(event, TrialFailed):
            line = one_line(f"{prefix(self._results, event.trial)}  FAILED: {event.error}")
            with suppress(OSError):  # nobody hears it; the study goes on
                self._stream.write(encodable(line, self._stream.encoding) + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Nothing is held."""


def silence(stream: TextIO) -> None:
    """Points a stream at nothing, or the interpreter would complain when it flushes at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def prefix(results: Results, trial: TrialInfo) -> str:
    """`[2/8] quickstart method=fin seed=1`: a trial in a few words."""
    words = (f"[{results.position(trial)}]", trial.scenario, label(trial.grid), f"seed={trial.seed}")
    return " ".join(word for word in words if word)


def lasting(results: Results, event: Event) -> list[str]:
    """The lines that any terminal keeps: the plan, how a trial ended, warnings, what code printed; none of the rest."""
    match event:
        case StudyPlanned():
            return list(event.lines)
        case TrialFinished():
            when = "finished earlier" if event.earlier else "finished"
            return [f"{prefix(results, event.trial)}  {when}: {trial_figures(event.trial, event.summary)}"]
        case TrialFailed():
            return [f"{prefix(results, event.trial)}  FAILED: {event.error}", *event.details.splitlines()]
        case Warned():
            of = f"{prefix(results, event.trial)}  " if event.trial else ""
            return [f"{of}warning: {event.text}"]
        case Printed():
            of = f"{prefix(results, event.trial)}  " if event.trial else ""
            often = f" ({event.times:,} times)" if event.times > 1 else ""
            return [f"{of}{event.who}: {event.text}{often}"]
        case _:
            return []


def round_figures(trial: TrialInfo, record: Mapping[str, Any]) -> list[str]:
    """`loss 1.23`, `val accuracy 0.641`, `coherence 0.81` (where generation was measured), `3.2 s`: in a few words."""
    losses = dict(record["loss"])
    loss = " ".join(f"{stage} {number(v, 4)}" if len(losses) > 1 else number(v, 4) for stage, v in losses.items())
    over = "" if (said := central(record)) else OVER_CLIENTS
    said = said or over_clients(record)
    seconds = record.get("train_s", 0.0) + record.get("evaluate_s", 0.0)
    value = said.get("validation", {}).get(trial.metric)
    evaluated = [f"val {trial.metric} {number(value)}{over}"] if "validation" in said else []
    skipped = [f"{len(record['skipped'])} skipped"] if record.get("skipped") else []
    made = headline(record.get("generation") or {})
    quality = [f"{heading(made[0])} {number(made[1])}"] if made else []
    return [f"loss {loss}", *evaluated, *quality, *skipped, duration(seconds)]


def trial_figures(trial: TrialInfo, summary: Mapping[str, Any]) -> str:
    """`test accuracy 0.612 at round 12, 41.0 s`."""
    over = "" if (said := summary["splits"]) else OVER_CLIENTS
    value = (said or over_clients(summary)).get("test", {}).get(trial.metric)
    return f"test {trial.metric} {number(value)}{over} at round {summary['round']}, {duration(summary['seconds_s'])}"


def ending(results: Results, event: StudyFinished) -> list[str]:
    """The last lines of a study: what became of it, and the command to go on or to look again."""
    state = "stopped after" if event.interrupted else "finished"
    failed = f", {event.failed} failed" if event.failed else ""
    trials = f"{event.finished} of {counted(len(results.trials), 'trial')}{failed}"
    time = f" in {duration(event.seconds)}" if event.seconds else ""
    line = f"{state} {trials}{time}; results in {results.out}"
    return [line, f"{'go on' if event.interrupted else 'look again'}: {event.then}"] if event.then else [line]
