"""`raysim plan`: what a study will take, and whether that is so."""

import json
import shutil
import statistics
from pathlib import Path

import pytest

from raysim.cli.app import main

SETTINGS = ("federation.rounds=2", "seeds=[1, 2]", "grid.method=[zero_fill, uniform_fill]", "dataset.copies=1")
MATERIAL = Path(__file__).parents[1] / "engine" / "material"
SPEC = "2x(cpus=8,gpus=2xA100-80,memory=64G),1x(cpus=4)"


def planned(capsys, *options):
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    status = main(["plan", "quickstart", *sets, *options])
    return status, capsys.readouterr()


def test_a_plan_for_this_machine(capsys):
    status, said = planned(capsys, "--json")
    assert status == 0
    plan = json.loads(said.out)
    assert [(arm["method"], arm["seeds"], arm["rounds"], arm["cohort"]) for arm in plan["arms"]] == [
        ("zero_fill", 2, 2, 10), ("uniform_fill", 2, 2, 10),
    ]  # fmt: skip
    (node,) = plan["nodes"]
    assert node["servers"] == plan["slots"]
    assert node["clients"] == plan["slots"] * plan["actors"]["count"]
    assert plan["link_bytes"] == 0
    assert plan["bytes_down"] == sum(sum(arm["bytes_down"]) for arm in plan["arms"])
    assert plan["seconds"] > sum(arm["trial_s"] for arm in plan["arms"])


def test_a_plan_for_a_cluster_in_words(capsys):
    status, said = planned(capsys, "--nodes", SPEC)
    assert status == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("4 trials on 20 cores, 4 GPUs, 3 nodes: ")
    assert "with 0.25 GPU each" in lines[0]
    assert any(line.startswith("node3") and line.split()[1:4] == ["0", "0", "0"] for line in lines)
    assert " between nodes; about " in said.out
    assert "time: not known, as no machine of that kind was measured" in said.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--nodes", "2x"), "raysim plan: --nodes: '2x': nodes look like"),
        (
            ("--nodes", "(cpus=1)", "--address", "auto"),
            "raysim plan: --nodes describes a cluster and --address names one",
        ),
        (("--nodes", "(cpus=2,gpus=1)", "--set", "placement.gpus_per_client=2"), "placement: "),
        (("--set", "placement.gpus_per_clients=2"), "placement.gpus_per_clients"),
    ],
)
def test_what_does_not_fit_is_one_line(capsys, options, says):
    status, said = planned(capsys, *options)
    assert status == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_memory_that_is_not_there_is_a_warning_and_a_status(capsys):
    status, said = planned(capsys, "--nodes", "(cpus=2,memory=100M)")
    assert status == 2
    assert "warning: node1 has 100.0 MB of memory and " in said.out


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("method", ["zero_fill", "feature_imputation"])
def test_it_comes_true(marked, method):
    """Bytes to the byte, memory within a quarter, and time, where nothing else is done, within a factor of two."""
    words = ["quickstart", "--set", "seeds=[1, 2]", "--set", f"grid.method=[{method}]"]
    status, out, err = marked.run("plan", *words, "--json")
    assert (status, err) == (0, "")
    (arm,) = json.loads(out)["arms"]
    folder = marked.folder / "out"
    assert marked.run("run", *words, "--out", folder, "--progress", "none")[0] == 0
    done = [json.loads(path.read_text()) for path in sorted(folder.rglob("summary.json"))]
    assert [(d["bytes_down"], d["bytes_up"]) for d in done] == list(
        zip(arm["bytes_down"], arm["bytes_up"], strict=True)
    )
    assert 0.75 < arm["client_bytes"] / max(d["peak_bytes_rss"] for d in done) < 1.25
    assert 0.5 < arm["trial_s"] / statistics.fmean(d["seconds_s"] for d in done) < 2.0


@pytest.mark.ray
def test_a_run_tells_its_plan_and_keeps_it(marked):
    """What follows from the scenario alone, and that it comes true."""
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    words = (marked.folder / "small.yaml", "--set", "federation.rounds=2", "--set", "seeds=[1, 2]")
    status, text, _ = marked.run("run", *words, "--out", marked.folder / "out", "--progress", "plain")
    assert status == 0
    told = [line for line in text.splitlines() if line.startswith("plan: ")]
    assert [line.partition(" at a time")[0].partition(" on ")[0] for line in told[:1]] == ["plan: 2 trials"]
    assert told[1].startswith("plan: in all ")
    plan = json.loads((marked.folder / "out" / "plan.json").read_text())
    done = [json.loads(path.read_text()) for path in sorted((marked.folder / "out").rglob("summary.json"))]
    (arm,) = plan["arms"]
    assert arm["bytes_down"] == [d["bytes_down"] for d in done]
    assert arm["bytes_up"] == [d["bytes_up"] for d in done]
    assert (arm["exact"], arm["client_bytes"], plan["seconds"], plan["nodes"][0]["bytes"]) == (True, None, None, None)
    assert plan["nodes"][0]["clients"] == plan["slots"] * plan["actors"]["count"]
