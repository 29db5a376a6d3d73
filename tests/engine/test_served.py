"""Clients' own rows and modality subsets on Ray: the same bits as in process, to the files and the report."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from processes import records

import raysim
from raysim.report.events import ClientsScored, TrialFinished

pytestmark = pytest.mark.ray

MATERIAL = Path(__file__).parent / "material"
SERVED = ("evaluation.clients={share: 0.4, every_rounds: 2}", "evaluation.subsets=all", "numerics.evaluation_batch=7")


@pytest.mark.parametrize("stack", [1, 4])
def test_the_same_is_said_through_ray(small, local_ray, stack):
    trial = small.trial(*SERVED, f"numerics.stack={stack}", "evaluation.keep_model=none")
    said = []

    def watch(event):
        if isinstance(event, TrialFinished):
            said.append({name: event.summary[name] for name in ("round", "by_client", "clients", "subsets")})
        elif isinstance(event, ClientsScored):
            said.append(str(event))

    found = small.same_on_ray(trial, watch)
    assert ["by_client" in record for record in found["records"]] == [False, True, True]
    assert len(said) == 4
    assert said[:2] == said[2:]


@pytest.mark.slow
def test_files_and_report_and_a_replay_of_the_partition(marked):
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    first, again = marked.folder / "first", marked.folder / "again"
    settings = [word for setting in ("seeds=[3]", *SERVED) for word in ("--set", setting)]
    run = ("run", "small.yaml", "--progress", "plain", *settings)
    status, out, err = marked.run(*run, "--out", first)
    assert (status, err) == (0, "")
    assert "rows for themselves; judged: 6" in out

    (trial,) = raysim.open(first).trials
    rows = trial.client_scores()
    assert len(rows) == 12
    assert {row["split"] for row in rows} == {"validation", "test"}
    accuracies = [row["accuracy"] for row in rows if row["split"] == "test"]
    said = trial.summary["by_client"]["test"]["accuracy"]
    assert said["mean"] == pytest.approx(sum(accuracies) / 6)
    assert said["worst_tenth"] == min(accuracies)
    with (trial.folder / "subsets.csv").open() as file:
        table = {row["given"]: row for row in csv.DictReader(file)}
    assert list(table) == list(trial.summary["subsets"])
    assert float(table["image"]["loss"]) == trial.summary["subsets"]["image"]["metrics"]["loss"]
    status, report, _ = marked.run("report", first)
    assert status == 0
    assert "small: who is served, accuracy: 6 clients on rows of their own, one seed" in report
    assert "small: by modality, accuracy" in report
    assert "Who is served, accuracy; 6 clients" in (first / "report.md").read_text()

    shutil.copy(trial.folder / "partition.npz", marked.folder / "kept.npz")
    files = ("--set", "partition={name: file, path: kept.npz}", "--set", "missing={name: file, path: kept.npz}")
    assert marked.run(*run, *files, "--out", again)[0] == 0
    assert records(again / "small" / "seed=3") == records(trial.folder)
    for name in ("partition.npz", "clients.csv", "subsets.csv"):
        assert (again / "small" / "seed=3" / name).read_bytes() == (trial.folder / name).read_bytes()
    summaries = [json.loads((out / "small" / "seed=3" / "summary.json").read_text()) for out in (first, again)]
    assert summaries[0]["by_client"] == summaries[1]["by_client"]
