"""`raysim run` as its users see it: processes, signals, files, what is printed."""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from processes import RAYSIM, Marked, records

from raysim.cli.app import main

pytestmark = pytest.mark.ray

MATERIAL = Path(__file__).parent / "engine" / "material"
BAD_METHODS = """import os
import time

import torch

from raysim.method import Method


class Raises(Method):
    def loss(self, nets, batch):
        if batch.clock.round == 2 and batch.clients[0].id == 3:
            raise ValueError("no such luck")
        return super().loss(nets, batch)


class Diverges(Method):
    def loss(self, nets, batch):
        return super().loss(nets, batch) * float("nan")


class Dies(Method):
    def loss(self, nets, batch):
        os._exit(1)


class Sleeps(Method):
    def loss(self, nets, batch):
        time.sleep(1000)


class Unmade(Method):
    def modules(self, task):
        raise KeyError("head")


class Unphased(Method):
    def phases(self, task):
        return {}["head"]


class Unseeing(Method):
    def observe(self, mask, present, task):
        return {}["head"]
"""
RAISING_LINE = 12


def small(folder, name="small", more=""):
    shutil.copy(MATERIAL / "ray_material.py", folder)
    path = folder / f"{name}.yaml"
    path.write_text((MATERIAL / "small.yaml").read_text().replace("name: small\n", f"name: {name}\n", 1) + more)
    return path


SETTINGS = [
    "--set", "federation.algorithm=scaffold", "--set", "seeds=[4, 5]", "--set", "evaluation.missing=none",
    "--set", "placement.parallel_trials=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """A study of two trials, side by side: where it runs, its command, its results and what it printed."""
    marked = Marked()
    out = marked.folder / "out"
    marked.command = ["run", small(marked.folder), "--out", out, *SETTINGS]
    marked.out, marked.printed = out, marked.run(*marked.command)
    marked.assert_all_gone(within_s=20)
    yield marked
    marked.close()


def hostile(folder):
    """Files with the names of modules that raise when somebody imports them."""
    for name in ("random.py", "numpy.py", "torch.py", "raysim/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"raise SystemError({name!r})\n")


HERE_LAST = [sys.executable, "-P", *RAYSIM[1:]]
"""`raysim` as it is installed: the folder where one works is not the first to be searched."""


def wait_for(process, text):
    """Reads lines until one that holds the text."""
    assert any(text in line for line in process.stdout), text


def test_a_run_prints_plain_lines_and_leaves_files(plain):
    out, (status, text, err) = plain.out, plain.printed
    assert (status, err) == (0, "")
    lines = [line for line in text.splitlines() if not line.startswith("plan: ")]  # when these come is left open
    assert len(lines) == len(text.splitlines()) - 2
    assert re.fullmatch(rf"2 trials -> {out} \(\d+ cores, .*, 1 node, 2 trials at a time\)", lines[1])
    assert (lines[0], lines[2]) == ("reading the data of 2 trials and starting Ray", "starting client actors")
    for i, seed in enumerate((4, 5)):
        trial = [line for line in lines[3:13] if line.startswith(f"[{i + 1}/2] ")]
        prefix = rf"\[{i + 1}/2\] small seed={seed}  "
        hidden = r"missing 0\.3: in effect 0\.\d{3} in training, 0\.000 at test"
        started = rf"started: 6 clients on \d+ actors?, stack 1, cpu; {hidden}"
        assert re.fullmatch(prefix + started, trial[0])
        for round_, line in enumerate(trial[1:4], 1):
            assert re.fullmatch(
                prefix + rf"round {round_}/3  loss \d\.\d+  val accuracy 0\.\d+  (\d\.\d s|\d+ ms)", line
            )
        assert re.fullmatch(prefix + r"finished: test accuracy 0\.\d+ at round \d, (\d+\.\d s|\d+ ms)", trial[4])
    origin = json.loads((out / "small" / "seed=4" / "summary.json").read_bytes())["origin"]
    assert (list(origin["code"]), len(origin["data"])) == (["ray_material.py"], 32)
    assert "\x1b" not in text
    assert len(lines) == 20
    assert lines[-2].startswith("finished 2 of 2 trials in ")
    assert lines[-1] == f"look again: raysim report {out}"
    names = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    files = (
        "scenario.yaml", "partition.json", "partition.npz", "metrics.jsonl", "summary.json", "model.safetensors",
        "predictions.npz", "code/ray_material.py",
    )  # fmt: skip
    each = {f"small/seed={s}/{f}" for s in (4, 5) for f in files}
    assert names == each | {
        "study.json", "plan.json", "summary.csv", "report.md", "progress.jsonl", "small/learning_curves.png"
    }  # fmt: skip


def test_its_plan_is_told_and_comes_true(plain):
    """What follows from the scenario alone."""
    told = [line for line in plain.printed[1].splitlines() if line.startswith("plan: ")]
    assert told[0].startswith("plan: 2 trials on ")
    assert told[1].startswith("plan: in all ")
    plan = json.loads((plain.out / "plan.json").read_text())
    done = [json.loads(path.read_text()) for path in sorted(plain.out.rglob("summary.json"))]
    (arm,), (node,) = plan["arms"], plan["nodes"]
    assert arm["bytes_down"] == [d["bytes_down"] for d in done]
    assert arm["bytes_up"] == [d["bytes_up"] for d in done]
    assert (arm["exact"], arm["client_bytes"], plan["seconds"], node["bytes"]) == (True, None, None, None)
    assert node["clients"] == plan["slots"] * plan["actors"]["count"]


def test_another_run_in_its_folder_is_refused(plain, monkeypatch, capfd):
    monkeypatch.chdir(plain.folder)
    before = {p: p.read_bytes() for p in plain.out.rglob("*") if p.is_file()}
    assert main([str(word) for word in plain.command]) == 2
    out = plain.out
    refused = f"{out}: is not empty; go on with its study by --resume, or choose another folder, e.g. --out {out}-2\n"
    assert capfd.readouterr() == ("", refused)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_the_written_scenario_is_the_whole_truth(plain):
    """It gives the same bits with another placement, alone or side by side, whatever lies where one works."""
    again = plain.folder / "again"
    shutil.copy(plain.out / "small" / "seed=5" / "scenario.yaml", plain.folder / "written.yaml")
    hostile(plain.folder)
    status, _, err = plain.run(
        "run", "written.yaml", "--out", again, "--set", "placement={actors: 2, parallel_trials: 1}",
        "--progress", "none", command=HERE_LAST,
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert records(again / "small" / "seed=5") == records(plain.out / "small" / "seed=5")
    assert len(records(again / "small" / "seed=5")) == 3


@pytest.mark.slow
def test_failures_are_told_in_a_line_and_the_study_goes_on(marked):
    (marked.folder / "bad.py").write_text(BAD_METHODS)
    arms = """
grid:
  arm:
    - {label: raises, method: "bad:Raises"}
    - {label: diverges, method: "bad:Diverges"}
    - {label: sleeps, method: "bad:Sleeps", placement.unit_timeout_s: 2.0}
    - {label: dies, method: "bad:Dies"}
    - {label: fine, method: zero_fill}
"""
    file, out = small(marked.folder, "bad_ones", arms), marked.folder / "out"
    status, text, err = marked.run(
        "run", file, "--out", out, "--set", "federation.clients_per_round=all", "--set", "placement.actors=2",
        "--set", "placement.parallel_trials=2", "--progress", "plain",
    )  # fmt: skip
    assert (status, err) == (1, "")
    errors = {}
    for label in ("raises", "diverges", "sleeps", "dies"):
        summary = json.loads((out / "bad_ones" / f"arm={label},seed=0" / "summary.json").read_text())
        assert summary["status"] == "failed"
        assert "\n" not in summary["error"]
        assert summary["error"] in text
        errors[label] = summary["error"]
    where = f"({marked.folder / 'bad.py'}:{RAISING_LINE} in loss)"
    assert errors["raises"] == f"round 2, client 3, stage 'task': ValueError: no such luck {where}"
    assert len(re.findall(r"arm=raises seed=0  warning: .*; done again in a new process", text)) == 1  # twice the same
    assert re.fullmatch(r"round 1, client \d, stage 'task': the loss is nan; .*", errors["diverges"])
    assert re.fullmatch(
        r"round 1, clients [\d, ]+: no answer within 2 s; raise placement.unit_timeout_s if .*", errors["sleeps"]
    )
    assert re.fullmatch(r"round 1, the client actor of client \d died 3 times in a row; .*", errors["dies"])
    assert json.loads((out / "bad_ones" / "arm=fine,seed=0" / "summary.json").read_text())["status"] == "finished"
    assert len(records(out / "bad_ones" / "arm=fine,seed=0")) == 3
    assert "Traceback" not in text
    assert "\x1b" not in text
    assert "(raylet)" not in text
    assert "finished 1 of 5 trials, 4 failed in " in text
    assert max(map(len, text.splitlines())) < 400


@pytest.mark.parametrize(("method", "line"), [("Unmade", 33), ("Unphased", 38), ("Unseeing", 43)])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_method_that_cannot_begin_is_one_line(tmp_path, capfd, command, method, line):
    (tmp_path / "bad.py").write_text(BAD_METHODS)
    words = ["--out", str(tmp_path / "out")] if command == "run" else []
    assert main([command, str(small(tmp_path)), *words, "--set", f"method=bad:{method}"]) == 2
    said = capfd.readouterr().err
    assert re.search(rf"method: KeyError: 'head' \(.*bad.py:{line} in \w+\)\n$", said)
    assert said.count("\n") == 1


@pytest.mark.parametrize("slots", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_control_c_stops_soon_and_keeps_what_is_there(marked, slots):
    out = marked.folder / "out"
    with marked.start(
        "run", small(marked.folder), "--out", out, "--set", "federation.rounds=10000", "--set", "seeds=[0, 1, 2]",
        "--set", f"placement.parallel_trials={slots}",
    ) as process:  # fmt: skip
        wait_for(process, f"[{slots}/3] small seed={slots - 1}  round 1/")
        assert len(marked.actors("Server")) == slots
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        text, err = process.communicate(timeout=30)
        seconds = time.monotonic() - began
    assert (process.returncode, err) == (130, "")
    assert seconds < 5
    stopped, again = text.splitlines()[-2:]
    assert stopped.startswith("stopped after 0 of 3 trials in ")
    assert again.endswith(f" --set placement.parallel_trials={slots} --out {out} --resume")
    assert "small" in (out / "report.md").read_text()
    assert (out / "summary.csv").exists()
    for seed in range(slots):
        rounds = [record["round"] for record in records(out / "small" / f"seed={seed}")]
        assert rounds == list(range(1, len(rounds) + 1))
        assert rounds
    marked.assert_all_gone(within_s=20)


@pytest.mark.slow
def test_a_killed_server_is_replaced_and_changes_nothing(marked):
    out = marked.folder / "out"
    arms = """
grid:
  arm: [{label: first, federation.rounds: 100}, {label: second, federation.rounds: 100}, {label: third}]
"""
    with marked.start(
        "run", small(marked.folder, more=arms), "--out", out, "--set", "placement.parallel_trials=2"
    ) as process:
        wait_for(process, "[1/3] small arm=first seed=0  started")
        (server,) = marked.actors("Server")  # the next one starts after the first round
        wait_for(process, "[1/3] small arm=first seed=0  round 9/100")
        os.kill(server, signal.SIGKILL)
        text, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    (warning,) = [line for line in text.splitlines() if "warning" in line]
    assert "the trial goes on from its last checkpoint, on another server actor: " in warning
    assert "finished 3 of 3 trials in " in text
    assert records(out / "small" / "arm=first,seed=0") == records(out / "small" / "arm=second,seed=0")
    marked.assert_all_gone(within_s=20)


def test_control_c_while_ray_starts_leaves_nothing_behind(marked):
    with marked.start("run", small(marked.folder), "--out", marked.folder / "out") as process:
        while not any("gcs_server" in command for command in marked.processes().values()):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        text, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert text.splitlines() == [
        "reading the data of 1 trial and starting Ray",
        f"stopped before the first trial; begin again: raysim run {marked.folder}/small.yaml --out {marked.folder}/out",
    ]
    marked.assert_all_gone(within_s=5)


def test_a_wrong_address_is_one_line_soon(tmp_path, capfd):
    began = time.monotonic()
    assert main(["run", str(small(tmp_path)), "--out", str(tmp_path / "out"), "--address", "127.0.0.1:1"]) == 2
    line = "no Ray cluster at '127.0.0.1:1': [Errno 111] Connection refused; start it there, or say where its head is"
    assert capfd.readouterr() == ("reading the data of 1 trial and reaching Ray\n", f"{line}\n")
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_files_where_one_works_hide_no_module_of_the_workers(marked):
    here = marked.folder
    hostile(here)
    (here / "methods").mkdir()
    (here / "methods" / "mine.py").write_text("from raysim.method import Method\n\n\nclass Mine(Method):\n    pass\n")
    words = ["run", small(here), "--out", here / "out", "--set", "method=mine"]
    status, _, err = marked.run(*words, command=HERE_LAST)
    assert (status, err) == (0, "")
