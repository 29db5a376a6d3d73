"""Runs in a local database and at a server, as MLflow's own client finds them."""

import socket
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from raysim.report.trackers.mlflow import Mlflow, _name

NEEDS = "needs MLflow: make test-trackers, or pip install 'raysim[mlflow]'"


@pytest.fixture
def client(tmp_path):
    pytest.importorskip("sqlalchemy", reason=NEEDS)
    pytest.importorskip("mlflow", reason=NEEDS)
    from mlflow.tracking import MlflowClient

    return lambda: MlflowClient(f"sqlite:///{tmp_path / 'm.db'}")


def history(client, run, name):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


def runs(client, experiment="study"):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///tmp/runs", "write a file such as mlflow.db"),
        ("http://me:secret@host:5000", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_what_cannot_be_a_store_is_refused(uri, message):
    with pytest.raises(ValidationError, match=message):
        Mlflow.Options(uri=uri)


def test_a_name_as_mlflow_takes_it():
    assert _name("generation/a+b>c/mse") == "generation/a.b:c/mse"
    assert _name("loss/été=1") == "loss/été_1"


@pytest.mark.filterwarnings("default")
def test_a_study_that_goes_on_has_each_round_once(study, client, tmp_path):
    made = study("mlflow", uri=str(tmp_path / "m.db"))
    made.killed()
    found = client()
    (run,) = runs(found)
    assert made.warnings == []
    assert (run.info.run_id, run.info.run_name, run.info.status) == (made.note["id"], "method=zero,seed=7", "FINISHED")
    assert history(found, run, "validation/accuracy") == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert history(found, run, "generation/a.b:c/mse")[-1] == (4, 0.25)
    assert history(found, run, "reported/test/accuracy") == [(4, 1.0)]
    assert run.data.params["method.width"] == "3"
    assert run.data.params["grid.method"] == "zero"
    assert {tag: run.data.tags[tag] for tag in ("raysim.study", "raysim.scenario")} == {
        "raysim.study": "out", "raysim.scenario": "study",
    }  # fmt: skip
    files = {file.path for file in found.list_artifacts(run.info.run_id)}
    assert files == {"model.safetensors", "report.md", "scenario.yaml"}
    kept = Path(found.download_artifacts(run.info.run_id, "report.md", str(tmp_path)))
    assert kept.read_text() == (made.out / "report.md").read_text()


@pytest.mark.filterwarnings("default")
def test_a_failed_trial_and_one_that_was_deleted(study, client, told, tmp_path):
    made = study("mlflow", uri=str(tmp_path / "m.db"), experiment="mine", model=False)
    made.process(made.started(), *made.rounds(1), told.failed).close()
    found = client()
    (failed,) = runs(found, "mine")
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "round 2: the loss is nan")

    made.process(made.started(), *made.rounds(1)).close()
    (stopped,) = [run for run in runs(found, "mine") if run.info.run_id != failed.info.run_id]
    assert stopped.info.status == "KILLED"
    found.delete_run(stopped.info.run_id)
    made.process(made.started(done=1), *made.rounds(2, 3, 4), *made.end()).close()
    (last,) = [run for run in runs(found, "mine") if run.info.run_id != failed.info.run_id]
    assert [step for step, _ in history(found, last, "loss/task")] == [1, 2, 3, 4]
    assert {file.path for file in found.list_artifacts(last.info.run_id)} == {"report.md", "scenario.yaml"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_down_or_silent_is_one_line(study, client, monkeypatch, answers):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not answers:
            server.close()
        made = study("mlflow", uri=f"http://127.0.0.1:{port}", timeout_s=2.0)
        began = time.monotonic()
        made.process(made.started(), *made.rounds(1, 2, 3, 4), *made.end()).close()
    assert time.monotonic() - began < 10
    (line,) = made.warnings
    assert line.startswith("mlflow: ")
    assert line.endswith("; the study goes on without it, and what it misses is told by --resume")
    assert not (made.folder / "mlflow.run.json").exists()
