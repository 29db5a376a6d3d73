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
ELSE = "import sys; sys.stdout.write(repr(sys.argv[1:]))"


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("n")


@pytest.fixture
def opened(folder):
    process = nursery.open_nursery(folder)
    yield process
    nursery.close_nursery(process)
    assert process.poll() is not None


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


def test_workers_are_born_with_what_they_need(folder, opened, ask):
    assert ask("--a", "b c") == "out\n"  # from the worker, whose files are those of who asked
    ask("--d", SAID="more", RAY_JOB_ID="01000000")
    first, second = told(folder, 2)
    nice = os.nice(0) + 3
    expected = {"there": True, "imported": True, "alone": True, "cwd": str(folder), "nice": nice}
    assert first == {**first, **expected, "words": ["--a", "b c"], "said": "so"}
    assert second == {**second, **expected, "words": ["--d"], "said": "more"}


@pytest.mark.parametrize(
    "unlike", [{"context": '{"env_vars": {"A": "b"}}'}, {"language": "CPP"}, {"RAY_max_direct_call_object_size": "7"}]
)
def test_a_worker_of_another_kind_is_not(ask, opened, unlike):
    ask("--first")
    assert "--second" in ast.literal_eval(ask("--second", **unlike))


def test_without_a_nursery_there_is_what_ray_would_have_started(ask):
    assert "--a" in ast.literal_eval(ask("--a"))


def test_there_is_none_where_there_are_gpus(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(nursery, "GPUS", tmp_path)
    assert nursery.open_nursery(folder) is None
    assert not list(folder.iterdir())


def test_it_ends_with_its_driver(folder):
    code = "import sys; from pathlib import Path; from raysim.engine.nursery import open_nursery\n"
    code += "print(open_nursery(Path(sys.argv[1])).pid, flush=True); import os; os._exit(1)"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    pid, until = int(done.stdout), time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.ray
def test_a_study_has_no_agent_for_figures_and_its_actors_are_forked(marked):
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    settings = ("--set", "federation.rounds=1000", "--set", "placement.actors=3")
    with marked.start("run", "small.yaml", "--out", "out", *settings) as process:
        assert any("  round 1/" in line for line in process.stdout), process.stderr.read()
        there = marked.processes()
        actors = [pid for kind in ("Client", "Server") for pid in marked.actors(kind)]
        parents = {there[int(stat(pid).rpartition(")")[2].split()[1])] for pid in actors}
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in actors]
        process.terminate()
        process.communicate(timeout=60)
    assert len(actors) > 1
    assert len(parents) == 1
    assert "raysim.engine.nursery" in parents.pop()
    assert all(b"RAYSIM_CLUSTER=" in environment for environment in environments)  # by which the last ones are ended
    assert not any("dashboard" in line.split("--")[0].lower() for line in there.values())
    marked.assert_all_gone(10)


def stat(pid):
    return Path(f"/proc/{pid}/stat").read_text()
