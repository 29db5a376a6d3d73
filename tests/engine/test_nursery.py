"""Workers are forked from a process that has imported everything already."""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raysim.engine import newborn, nursery

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")

MATERIAL = Path(__file__).parent / "material"
WORKER = """
import json, os, sys
with open(sys.argv[1], "a") as file:
    mine = {"there": "torch" in sys.modules, "words": sys.argv[2:], "said": os.environ["SAID"], "cwd": os.getcwd()}
    mine |= {"nice": os.nice(0), "oom": open("/proc/self/oom_score_adj").read(), "imported": imported()}
    mine["alone"] = os.getpgrp() == os.getpid()
    file.write(json.dumps(mine) + chr(10))
print("out")
"""
IMPORTED = """
def imported():
    import raysim.engine.server
    return "ray" in sys.modules
"""
SLEEPER = """
import os, sys, time
nothing = os.open(os.devnull, os.O_WRONLY)
os.dup2(nothing, 1)
os.dup2(nothing, 2)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""
ELSE = "import sys; sys.stdout.write(repr(sys.argv[1:]))"


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("n")


DRIVER = """
import os, sys, threading
from pathlib import Path
from raysim.engine import nursery
how, folder = sys.argv[1:]
if how == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if how == "ray":
    import ray
if how != "started":
    nursery.bear()
opened = nursery.open_nursery(Path(folder))
print(opened.pid, flush=True)
if input() == "close":
    opened.close()
os._exit(0)
"""


class Opened:
    """A driver with its nursery."""

    def __init__(self, folder, how="born"):
        self.driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, how, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = int(self.driver.stdout.readline())
        self.born = DRIVER in Path(f"/proc/{self.pid}/cmdline").read_text()

    def end(self, word):
        if self.driver.poll() is None:
            self.driver.communicate(word, timeout=60)
        self.driver.stdout.close()


@pytest.fixture
def opened(folder, request):
    made = Opened(folder, getattr(request, "param", "born"))
    yield made
    made.end("close")
    assert not Path(f"/proc/{made.pid}").exists()


BOTH = pytest.mark.parametrize("opened", ["born", "started"], indirect=True)


@pytest.fixture
def ask(folder):
    (folder / "worker.py").write_text("import sys\n" + IMPORTED + WORKER)
    (folder / "else.py").write_text(ELSE)

    def ask(*words, context="{}", language="PYTHON", **variables):
        """What the process that Ray starts writes itself; the worker's own words come later."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        given = {newborn.NURSERY: str(folder / nursery.SOCKET), newborn.SETUP: str(folder / "else.py"), "SAID": "so"}
        command = [sys.executable, newborn.__file__, str(folder / "worker.py"), str(folder / "said"), *words]
        return subprocess.run(
            [*command, f"--serialized-runtime-env-context={context}", f"--language={language}"],
            env=clean | given | variables, capture_output=True, text=True, check=True, timeout=60, cwd=folder,
            preexec_fn=lambda: os.nice(3),
        ).stdout  # fmt: skip

    return ask


def told(folder, count):
    until = time.monotonic() + 60
    while not (folder / "said").exists() or len((folder / "said").read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.05)
    return [json.loads(line) for line in (folder / "said").read_text().splitlines()]


@BOTH
def test_workers_are_born_with_what_they_need(folder, opened, ask, request):
    assert opened.born == ("[born]" in request.node.name)
    assert ask("--a", "b c") == "out\n"  # from the worker, whose files are those of who asked
    ask("--d", SAID="more", RAY_JOB_ID="01000000")
    first, second = told(folder, 2)
    nice = os.nice(0) + 3
    expected = {"there": True, "imported": True, "alone": True, "cwd": str(folder), "nice": nice}
    assert first == {**first, **expected, "words": ["--a", "b c"], "said": "so"}
    assert second == {**second, **expected, "words": ["--d"], "said": "more"}


def test_a_worker_of_another_kind_is_not(ask, opened):
    ask("--first")
    unlike = [{"context": '{"env_vars": {"A": "b"}}'}, {"language": "CPP"}, {"RAY_max_direct_call_object_size": "7"}]
    assert all("--second" in ast.literal_eval(ask("--second", **each)) for each in unlike)


def test_without_a_nursery_there_is_what_ray_would_have_started(ask):
    assert "--a" in ast.literal_eval(ask("--a"))


def test_there_is_none_where_there_are_gpus(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(nursery, "GPUS", tmp_path)
    assert nursery.open_nursery(folder) is None
    assert not list(folder.iterdir())


@pytest.mark.parametrize("how", ["threads", "ray"])
def test_a_driver_that_a_fork_would_break_is_not_forked(folder, how):
    made = Opened(folder, how)
    made.end("close")
    assert not made.born


@pytest.mark.parametrize(
    ("opened", "word"), [("born", "close"), ("born", "die"), ("started", "die")], indirect=["opened"]
)
def test_it_ends_with_its_driver_and_its_workers_with_it(folder, opened, ask, word):
    (folder / "worker.py").write_text(SLEEPER)
    ask()
    until = time.monotonic() + 60
    while not (folder / "said").exists() or not (folder / "said").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    worker = (folder / "said").read_text()
    assert Path(f"/proc/{worker}").exists()
    opened.end(word)
    while any(Path(f"/proc/{pid}").exists() for pid in (worker, opened.pid)):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.ray
def test_a_study_has_no_agents_and_its_actors_are_forked(marked):
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    settings = ("--set", "federation.rounds=1000", "--set", "placement.actors=3")
    with marked.start("run", "small.yaml", "--out", "out", *settings) as process:
        assert any("  round 1/" in line for line in process.stdout), process.stderr.read()
        there = marked.processes()
        actors = [pid for kind in ("Client", "Server") for pid in marked.actors(kind)]
        parents = {parent(pid) for pid in actors}
        theirs = {parent(pid) for pid in parents}
        process.terminate()
        process.communicate(timeout=60)
    assert len(actors) > 1
    assert len(parents) == 1
    assert theirs == {process.pid}
    assert not any("dashboard" in line.split("--")[0].lower() for line in there.values())
    assert not any("RuntimeEnvAgent" in line for line in there.values())
    marked.assert_all_gone(10)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
