"""progress.jsonl in a study's folder: what other processes need to show the study as it goes.

A line an event, with the time; trials by their place in the study, results by the files that have them. It stays small:
past a limit only those lines are kept that a screen would still show.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from raysim.report.events import (
    CheckpointWritten,
    ClientsFinished,
    Doing,
    Event,
    Printed,
    Resources,
    RoundFinished,
    RoundStarted,
    StudyFinished,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.files import SUMMARY
from raysim.report.live.again import Again
from raysim.report.reading.folder import JOURNAL
from raysim.report.reading.results import key

LIMIT = 4_000_000
"""Bytes, after which the file is cut."""
REMARKS = 200
"""So many of the last warnings and printed lines are kept then."""
EVERY_S = 0.25
"""What happens in rounds is written as often as that; all else, and with it what waits, at once."""
_INSIDE = (RoundStarted, ClientsFinished)
_OFTEN = (*_INSIDE, RoundFinished, CheckpointWritten)
_TOLD: Mapping[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        CheckpointWritten, ClientsFinished, Doing, Printed, Resources, RoundFinished, RoundStarted, StudyFinished,
        StudyStarted, TrialFailed, TrialFinished, TrialStarted, Warned,
    )
}  # fmt: skip
_RECORD = (
    "round", "phase", "loss", "train_s", "evaluate_s", "validation", "test", "validation_unmasked", "test_unmasked",
    "generation", "skipped",
)  # fmt: skip
"""What is shown of a round."""
Line = dict[str, Any]


class JournalSink:
    """Writes the journal.

    Args:
        out: the study's folder.
        again: how the study was begun.
        tell: is told once where the journal cannot be written; the study goes on without it.
        limit: bytes after which it is cut.
    """

    def __init__(self, out: Path, again: Again, tell: Callable[[Event], None], limit: int = LIMIT) -> None:
        self._tell, self._over = tell, False
        self._path, self._again, self._limit = out / JOURNAL, again, limit
        self._most, self._run = limit, uuid.uuid4().hex
        self._places: dict[tuple[str, str], int] = {}
        self._size, self._count, self._written_s = 0, 0, 0.0
        self._waiting: list[tuple[float, Event]] = []

    def handle(self, event: Event) -> None:
        """Writes the line of an event, now or with the next ones."""
        if self._over or type(event).__name__ not in _TOLD:
            return
        if isinstance(event, StudyStarted):
            self._places = {key(trial): i for i, trial in enumerate(event.trials)}
        self._waiting.append((time.time(), event))
        if not isinstance(event, _OFTEN) or time.monotonic() > self._written_s + EVERY_S:
            try:
                self._write()
            except OSError as error:
                self._over = True
                reason = f"cannot be written: {error.strerror}; raysim watch sees nothing from here on"
                self._tell(Warned(f"{self._path}: {reason}"))

    def close(self) -> None:
        """Nothing is held; what waits was followed by no other event within the time that it may wait."""

    def _write(self) -> None:
        lines = list(map(self._line, without_old_rounds(self._waiting)))
        if self._size:
            text = _text(lines)
            with self._path.open("ab") as file:
                file.write(text)
            self._size += len(text)
        else:
            self._anew(lines)
        self._waiting, self._written_s = [], time.monotonic()
        if self._size > self._most:
            self._anew(needed([json.loads(line) for line in self._path.read_bytes().splitlines()[1:]]))
            self._most = max(self._limit, 2 * self._size)

    def _line(self, told: tuple[float, Event]) -> Line:
        at, event = told
        self._count += 1
        return {"n": self._count, "at": round(at, 3), **encoded(event, self._places)}

    def _anew(self, lines: Sequence[Line]) -> None:
        """Begins the file with some lines; readers see the old one or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = _text([{"run": self._run, **asdict(self._again)}, *lines])
        aside = self._path.with_name(f".{self._path.name}.tmp")
        aside.write_bytes(text)
        aside.replace(self._path)
        self._size = len(text)


class Journal:
    """Reads the journal of a folder while it grows, is cut, or is begun anew by a process that goes on.

    Attributes:
        again: how the study was begun; None before anything was written.
    """

    def __init__(self, out: Path) -> None:
        self.again: Again | None = None
        self._out, self._file = out, cast("IO[bytes] | None", None)
        self._run, self._seen, self._open = "", 0, b""
        self._trials: tuple[TrialInfo, ...] = ()

    def news(self) -> list[tuple[float, Event]]:
        """The events since the last time, with the time of day at which each happened, in seconds."""
        found: list[tuple[float, Event]] = []
        data = self._more()
        *whole, self._open = (self._open + data).split(b"\n")
        for text in whole:
            line: Line = json.loads(text)
            if "run" in line:
                self._begin(line)
            elif line["n"] > self._seen:
                self._seen = line["n"]
                if (event := decoded(line, self._trials, self._out)) is not None:
                    self._trials = event.trials if isinstance(event, StudyStarted) else self._trials
                    found.append((line["at"], event))
        return found

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, line: Line) -> None:
        if line["run"] != self._run:
            self._run, self._seen, self._trials = line["run"], 0, ()
        self.again = Again(line["out"], tuple(line["words"]), line["cwd"])

    def _more(self) -> bytes:
        """What was written since the last time, and all of a new file; while one is open its number is no other's."""
        path = self._out / JOURNAL
        rest = b"" if self._file is None else self._file.read()
        try:
            if self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), path.stat()):
                return rest
            file = path.open("rb")
        except FileNotFoundError:
            return rest
        before = self._open + rest
        self.close()
        self._file, self._open = file, b""
        return before[: before.rfind(b"\n") + 1] + file.read()


def encoded(event: Event, places: Mapping[tuple[str, str], int]) -> Line:
    """An event as JSON can have it.

    Args:
        event: of a kind that the journal has.
        places: (scenario, trial) -> its place in the study.
    """
    line: Line = {f.name: getattr(event, f.name) for f in fields(cast(Any, event))}
    if (trial := line.get("trial")) is not None:
        line["trial"] = places[key(trial)]
    match event:
        case StudyStarted():
            line["trials"] = [asdict(trial) for trial in event.trials]
        case TrialStarted():
            line["done"] = [_thin(record) for record in event.done]
        case RoundFinished():
            line["record"] = _thin(event.record)
        case ClientsFinished():
            columns: Mapping[str, Any] = {n: line[n] for n in ("clients", "samples", "loss", "seconds")}
            line |= {name: [_short(v) for v in column.tolist()] for name, column in columns.items()}
        case TrialFinished():
            del line["summary"]  # is in its own file
        case StudyFinished():
            del line["then"]  # depends on where it is read
        case _:
            pass
    return {"event": type(event).__name__, **line}


def decoded(line: Line, trials: Sequence[TrialInfo], out: Path) -> Event | None:
    """The event of a line; None where a file that it needs is gone, since another process goes on with the study."""
    values = {name: value for name, value in line.items() if name not in ("n", "at", "event")}
    kind = _TOLD[line["event"]]
    if values.get("trial") is not None:
        values["trial"] = trials[values["trial"]]
    if kind is StudyStarted:
        values["trials"] = tuple(map(_info, values["trials"]))
    elif kind is RoundStarted:
        values["cohort"] = tuple(values["cohort"])
    elif kind is ClientsFinished:
        values |= {n: np.array(values[n], dtype=np.int64) for n in ("clients", "samples")}
        values |= {n: np.array(values[n], dtype=np.float64) for n in ("loss", "seconds")}  # None is NaN
    elif kind is TrialFinished:
        trial = cast(TrialInfo, values["trial"])
        try:
            values["summary"] = json.loads((out / trial.scenario / trial.name / SUMMARY).read_bytes())
        except FileNotFoundError:
            return None
    return kind(**values)


def needed(lines: Sequence[Line]) -> list[Line]:
    """Those lines that a screen still shows: of trials that ended their beginning and end, of others all rounds."""
    kinds = [line["event"] for line in lines]
    ended = {line["trial"] for line in lines if line["event"] in ("TrialFinished", "TrialFailed")}
    begun = {line["trial"]: i for i, line in enumerate(lines) if line["event"] == "TrialStarted"}
    round_ = {line["trial"]: i for i, line in enumerate(lines) if line["event"] == "RoundStarted"}
    remarks = [i for i, kind in enumerate(kinds) if kind in ("Warned", "Printed")][-REMARKS:]
    last = {kind: i for i, kind in enumerate(kinds)}
    first_remark = remarks[0] if remarks else 0

    def stays(i: int, line: Line) -> bool:
        match line["event"]:
            case "Resources" | "Doing" as kind:
                return i == last[kind]
            case "Warned" | "Printed":
                return i >= first_remark
            case "RoundFinished" | "CheckpointWritten":
                return line["trial"] not in ended and i > begun[line["trial"]]
            case "RoundStarted" | "ClientsFinished":
                return line["trial"] not in ended and i >= max(begun[line["trial"]], round_.get(line["trial"], 0))
            case "TrialStarted":
                return i == begun[line["trial"]]
            case _:
                return True

    kept = [line for i, line in enumerate(lines) if stays(i, line)]
    return [{**x, "done": []} if x["event"] == "TrialStarted" and x["trial"] in ended else x for x in kept]


def without_old_rounds(told: Sequence[tuple[float, Event]]) -> list[tuple[float, Event]]:
    """Without what happened inside rounds that are followed by another one of their trial."""
    last = {key(event.trial): i for i, (_, event) in enumerate(told) if isinstance(event, RoundStarted)}
    return [
        (at, event)
        for i, (at, event) in enumerate(told)
        if not isinstance(event, _INSIDE) or i >= last.get(key(event.trial), 0)
    ]


def _info(values: Any) -> TrialInfo:
    known: dict[str, Any] = {**values, "metrics": tuple(values["metrics"]), "low": tuple(values["low"])}
    return TrialInfo(**known)


def _thin(record: Mapping[str, Any]) -> Line:
    found = {name: record[name] for name in _RECORD if name in record}
    return {**found, "skipped": [x["id"] for x in record["skipped"]]} if record.get("skipped") else found


def _short(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.4g}") if value - value == 0 else None


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
