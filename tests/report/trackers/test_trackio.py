"""Runs in a local database, as Trackio's own storage reads them."""

import pytest

pytest.importorskip("trackio", reason="needs Trackio: pip install 'raysim[trackio]'")


@pytest.mark.filterwarnings("default")
def test_a_study_that_goes_on_has_each_round_once(study, monkeypatch, tmp_path, capsys):
    from trackio import utils
    from trackio.sqlite_storage import SQLiteStorage

    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(utils, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    made = study("trackio", project="mine")
    made.killed()
    assert made.warnings == []
    assert capsys.readouterr().out == ""
    (run,) = SQLiteStorage.get_run_records("mine")
    assert (run["id"], run["name"]) == (made.note["id"], "out method=zero,seed=7")
    rows = SQLiteStorage.get_logs("mine", run["name"], run_id=run["id"])
    assert [(row["step"], row.get("validation/accuracy")) for row in rows] == [
        (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (5, None),
    ]  # fmt: skip
    assert rows[-1]["reported/test/accuracy"] == 1.0
    assert rows[-1]["report.md"].startswith("# Results\n")
    assert rows[-1]["scenario.yaml"] == (made.folder / "scenario.yaml").read_text()
    config = SQLiteStorage.get_run_config("mine", run["name"], run_id=run["id"])
    assert (config["method.width"], config["_Group"]) == (3, "study")
