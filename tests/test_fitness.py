"""What `raysim doctor` says, without Ray but for one test: processes that answer, fail or hang stand for it."""

import json
import sys
import time
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

from raysim import fitness
from raysim.cli.app import main
from raysim.engine.environment import MAX_TEMP_PATH
from raysim.fitness import DEVELOPERS, EXTRAS, Finding, _asked, _terminal, findings, possible

ROOT = Path(__file__).parents[1]
Usage = namedtuple("Usage", "total used free")
TORCH = {"version": "2.9.0+cpu", "cuda": None, "gpus": []}
RAY = {"cpus": 4.0, "gpus": 0.0, "memory_bytes": 8e9}


@pytest.fixture
def answers(monkeypatch, tmp_path):
    """What torch and Ray answer; nothing is prepared."""
    given = {"torch": TORCH, "ray": RAY}
    monkeypatch.setattr(fitness, "_asked", lambda command, _: given["torch" if "-c" in command else "ray"])
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return given


def of(topic, name):
    return next(f for f in findings() if (f.topic, f.name) == (topic, name))


def test_every_extra_says_what_it_is_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [*EXTRAS, *DEVELOPERS] == list(project["optional-dependencies"])


def test_a_machine_that_is_fit(answers, capfd):
    assert main(["doctor"]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert "ok     ray      sees               4 CPUs, 0 GPUs, 8.0 GB of memory" in lines
    assert "ok     torch    gpu                none; networks are trained on the CPU" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("absent dataset  meld "))
    assert lines[at + 1] == "       -> if you want it: raysim data info meld"
    assert lines[-1].startswith("Studies can run")


def test_as_json(answers, capfd):
    answers["ray"] = {"error": "Ray did not start: no"}
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert not found["possible"]
    (bad,) = [f for f in found["findings"] if f["state"] == "bad"]
    assert (bad["topic"], bad["says"]) == ("ray", "Ray did not start: no")
    assert bad["remedy"]


def test_torch_that_cannot_be_imported_is_bad(answers, capfd):
    answers["torch"] = {"error": "ImportError: libx.so"}
    assert main(["doctor"]) == 1
    assert (
        "bad    torch    import             ImportError: libx.so\n       -> install torch anew"
        in capfd.readouterr().out
    )


def test_packages_that_are_absent_or_old(answers, monkeypatch):
    versions = {"ray": "2.1.0", "torch": None}
    monkeypatch.setattr(fitness, "_version", lambda package: versions.get(package, "99"))
    old, absent = of("package", "ray"), of("package", "torch")
    assert (old.state, old.says, old.remedy) == ("bad", "2.1.0; raysim needs >=2.50", "pip install 'ray>=2.50'")
    assert (absent.state, absent.says.partition(";")[0]) == ("bad", "absent")


def test_an_extra_that_lacks_a_package(answers, monkeypatch):
    monkeypatch.setattr(fitness, "_version", lambda package: None if package == "librosa" else "99")
    found = of("extra", "audio")
    assert found == Finding(
        "extra", "audio", "absent", "lacks librosa; features of sound", "if you want that: pip install 'raysim[audio]'"
    )
    assert of("extra", "wandb").state == "ok"


def test_folders_that_are_small_long_or_closed(answers, monkeypatch, tmp_path):
    monkeypatch.setattr(fitness.shutil, "disk_usage", lambda _: Usage(64e6, 63e6, 1e6))
    assert of("folder", "/dev/shm").remedy.startswith("in a container: docker run --shm-size=4g")
    assert of("folder", "current").state == "gap"
    monkeypatch.setattr(fitness.tempfile, "gettempdir", lambda: "/" + "x" * MAX_TEMP_PATH)
    assert of("folder", "TMPDIR").remedy == "set TMPDIR to a short path if /tmp is small"
    monkeypatch.setattr(fitness.os, "access", lambda *_: False)
    assert of("folder", "current").state == "bad"
    assert of("folder", "current").says == f"{tmp_path} cannot be written to"


@pytest.mark.parametrize(
    ("environment", "tty", "columns", "state", "says"),
    [
        ({"TERM": "xterm"}, True, 120, "ok", "xterm, 120 columns, with colours"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, 80, "ok", "xterm, 80 columns, without colours (NO_COLOR)"),
        ({"TERM": "xterm"}, True, 60, "gap", "60 columns"),
        ({"TERM": "dumb"}, True, 120, "gap", "TERM is 'dumb': plain lines"),
        ({}, False, 80, "ok", "none here; raysim run then prints plain lines"),
    ],
)
def test_terminals(environment, tty, columns, state, says):
    found = _terminal(environment, tty=tty, columns=columns)
    assert (found.state, found.says) == (state, says)
    assert bool(found.remedy) == (state == "gap")


def test_a_process_that_hangs_is_ended_in_time_and_one_that_fails_says_why():
    started = time.monotonic()
    assert _asked([sys.executable, "-c", "import time; time.sleep(100)"], 0.5) == {"error": "no answer within 0.5 s"}
    assert time.monotonic() - started < 30
    assert _asked([sys.executable, "-c", "print(1); raise ValueError('x')"], 60) == {"error": "ValueError: x"}
    assert _asked([sys.executable, "-c", "import os; os._exit(3)"], 60) == {"error": "it ended with status 3"}
    assert _asked([sys.executable, "-c", "print('noise'); print('{\"a\": 1}')"], 60) == {"a": 1}


def test_every_gap_has_a_remedy_in_a_line(answers):
    found = list(findings())
    assert possible(found)
    assert {f.name for f in found if f.state != "ok" and not f.remedy} == set()
    assert [f for f in found if "\n" in f.says + f.remedy] == []


@pytest.mark.ray
def test_ray_says_what_it_sees():
    found = _asked([sys.executable, "-m", "raysim.engine.look"], 100)
    assert found["cpus"] >= 1
    assert found["memory_bytes"] > 0
