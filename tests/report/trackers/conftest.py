import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from raysim.registry import find, options
from raysim.report.events import (
    ClientsFinished,
    ModelKept,
    RoundFinished,
    StudyFinished,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.files import FileSink
from raysim.report.trackers.sink import TrackingSink

SCENARIO = (
    "name: study\nseeds: [7]\nmethod: {name: zero, width: 3}\nmodel: {dropout: 0.5, start: null}\ntracking: [x]\n"
)
TRIAL = TrialInfo("study", "method=zero,seed=7", 7, {"method": "zero"}, 4, "best", "accuracy", ("accuracy",))


def record(number):
    """A line of metrics.jsonl that says its round in all figures."""
    scores = {"accuracy": number / 4, "loss": float("nan")}
    return {
        "round": number, "phase": "train", "cohort": [0, 2], "loss": {"task": 1 / number}, "clients": [{"id": 0}],
        "bytes_up": 10 * number, "train_s": 0.5, "validation": scores,
        "generation": {"a+b>c": {"mse": 0.25}}, "examined": {"a": {"error": 2.0}},
    }  # fmt: skip


def finished(number):
    splits = {"test": {"accuracy": number / 4}}
    return TrialFinished(TRIAL, {"round": number, "selected_by": "best", "splits": splits, "bytes_up": 100})


class Study:
    """A study's folder, and processes that are told of it one after another."""

    def __init__(self, out, name, **settings):
        self.out, self.name, self.settings = Path(out, "out"), name, settings
        self.folder = self.out / TRIAL.scenario / TRIAL.name
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "scenario.yaml").write_text(SCENARIO)
        self.warned = []

    def process(self, *events, tracker=None):
        """Tells a new tracker, as a new process has it, after the file sink; returns the tracking sink."""
        kind = find("tracker", self.name)
        tracker = tracker or kind(options(kind, self.settings))
        sinks = [FileSink(self.out), TrackingSink(self.name, tracker, ["study"], self.out, self.warned.append)]
        for event in (StudyStarted((TRIAL,), str(self.out), "1 core"), *events):
            for sink in sinks:
                sink.handle(event)
        return sinks[1]

    def started(self, done=0):
        return TrialStarted(TRIAL, 0, 3, 2, "a plan", tuple(record(n) for n in range(1, done + 1)))

    def rounds(self, *numbers):
        columns = (np.array([1.0]),) * 4
        return [e for n in numbers for e in (ClientsFinished(TRIAL, n, *columns), RoundFinished(TRIAL, n, record(n)))]

    def end(self, number=4):
        return [ModelKept(TRIAL, number, b"weights"), finished(number), StudyFinished(1, 0, 9.0)]

    def killed(self):
        """A process tells three rounds and is killed, with the second in its checkpoint; another goes on to the end."""
        code = f"import conftest; conftest.Study({str(self.out.parent)!r}, {self.name!r}, **{self.settings!r}).die()"
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert not self.note["finished"]
        self.process(self.started(done=2), *self.rounds(3, 4), *self.end())

    def die(self):
        """Told of three rounds, this process ends at once."""
        sink = self.process(self.started(), *self.rounds(1, 2, 3))
        sink._jobs.put(None)
        sink._thread.join()
        assert not self.warned
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def note(self):
        return json.loads((self.folder / f"{self.name}.run.json").read_text())

    @property
    def warnings(self):
        assert all(isinstance(event, Warned) for event in self.warned)
        return [event.text for event in self.warned]


@pytest.fixture
def study(tmp_path):
    return lambda name, **settings: Study(tmp_path, name, **settings)


@pytest.fixture
def told():
    return SimpleNamespace(trial=TRIAL, failed=TrialFailed(TRIAL, "round 2: the loss is nan"), finished=finished)
