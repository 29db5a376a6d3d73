"""`raysim plan`: what a study will take, and whether that is so."""

import io
import json
import statistics
from contextlib import redirect_stdout

import pytest

from raysim.cli.app import main

SETTINGS = ("federation.rounds=2", "seeds=[1, 2]", "grid.method=[zero_fill, uniform_fill]", "dataset.copies=1")
SPEC = "2x(cpus=8,gpus=2xA100-80,memory=64G),1x(cpus=4)"


def words(*options):
    return ["plan", "quickstart", *(word for setting in SETTINGS for word in ("--set", setting)), *options]


def planned(capsys, *options):
    status = main(words(*options))
    return status, capsys.readouterr()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A file of this machine's speeds, and the plan of the process that measured them."""
    file, said = tmp_path_factory.mktemp("plan") / "speeds.json", io.StringIO()
    with redirect_stdout(said):
        assert main(words("--save-speeds", str(file), "--json")) == 0
    return file, json.loads(said.getvalue())


def test_a_plan_for_this_machine(measured):
    _, plan = measured
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
        (("--speeds", "a", "--save-speeds", "b"), "raysim plan: --speeds takes what was measured and --save-speeds"),
        (("--save-speeds", "no/such/a"), "raysim plan: --save-speeds: no/such is no folder; make it"),
    ],
)
def test_what_does_not_fit_is_one_line(capsys, options, says):
    status, said = planned(capsys, *options)
    assert status == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_memory_that_is_not_there_is_a_warning_and_a_status(capsys, measured):
    speeds = ("--speeds", str(measured[0]))
    status, said = planned(capsys, *speeds, "--nodes", "(cpus=2,memory=100M)")
    assert status == 2
    assert "warning: node1 has 100.0 MB of memory and " in said.out
    assert said.out.endswith("use a node with more, smaller networks (model) or less data (dataset)\n")
    status, said = planned(capsys, *speeds, "--nodes", "(cpus=4,memory=500M)", "--set", "placement.actors=3")
    assert status == 2
    assert said.out.endswith("would be needed; lower placement.actors\n")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("method", "rounds"), [("zero_fill", 10), ("feature_imputation", 4)])
def test_it_comes_true(marked, method, rounds):
    """Bytes to the byte, memory within a quarter, and time, where nothing else is done, within a factor of two."""
    settings = ("seeds=[1, 2]", f"grid.method=[{method}]", f"federation.rounds={rounds}")
    words = ["quickstart", *(word for setting in settings for word in ("--set", setting))]
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


def test_what_was_measured_is_taken_elsewhere(capsys, measured):
    """Other rounds, seeds and places are the same work; another batch is not."""
    file, here = measured
    saved = json.loads(file.read_text())
    assert [(t["grid"]["method"], t["seed"]) for t in saved["trials"]] == [
        ("zero_fill", 1), ("zero_fill", 2), ("uniform_fill", 1), ("uniform_fill", 2),
    ]  # fmt: skip
    again = json.loads(planned(capsys, "--speeds", str(file), "--json")[1].out)
    machine = f"on {saved['machine']}"
    assert again == {**here, "machine": machine, "nodes": again["nodes"]}  # of nodes the memory that is free
    assert again["nodes"][0]["bytes"] == here["nodes"][0]["bytes"]
    status, said = planned(
        capsys, "--speeds", str(file), "--nodes", "2x(cpus=8,memory=64G)", "--set", "federation.rounds=5", "--set",
        "seeds=[7]", "--set", "placement.actors=4",
    )  # fmt: skip
    assert status == 0
    assert said.out.splitlines()[-1].startswith("time: about ")
    assert said.out.splitlines()[-1].endswith(f"measured {machine}")
    status, said = planned(capsys, "--speeds", str(file), "--set", "federation.batch_size=16")
    assert (status, said.out) == (2, "")
    assert said.err == (
        f"{file}: quickstart method=zero_fill has other settings or data there; measure it with raysim plan "
        "--save-speeds\n"
    )
    status, said = planned(capsys, "--speeds", str(file), "--set", "grid.method=[zero_input]")
    assert (status, said.err.count("\n")) == (2, 1)
    assert "zero_input is not in it; measure it" in said.err


def test_speeds_of_a_gpu_are_those_of_nodes_with_gpus(capsys, measured, tmp_path):
    file, saved = tmp_path / "speeds.json", json.loads(measured[0].read_text())
    trials = [{**trial, "device": "cuda"} for trial in saved["trials"]]
    more = {"machine": "gpu1", "gpus": 4, "gpu": "A100-80", "torch": "0.9", "trials": trials}
    file.write_text(json.dumps(saved | more))
    last = planned(capsys, "--speeds", str(file), "--nodes", SPEC)[1].out.splitlines()[-1]
    assert last.endswith(f"measured on gpu1 (4 A100-80) by raysim {saved['raysim']} and torch 0.9")
    last = planned(capsys, "--speeds", str(file), "--nodes", "(cpus=8)")[1].out.splitlines()[-1]
    assert last.startswith("time: not known")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file or directory"),
        (
            "{",
            "Invalid JSON: EOF while parsing an object at line 1 column 1; it must be what",
        ),
        ('{"format": "raysim speeds 1"}', "format: Input should be 'raysim speeds 2'; it must be what raysim plan"),
    ],
)
def test_a_file_without_speeds_is_one_line(capsys, tmp_path, text, says):
    file = tmp_path / "speeds.json"
    if text is not None:
        file.write_text(text)
    status, said = planned(capsys, "--speeds", str(file))
    assert (status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"{file}: {says}")
