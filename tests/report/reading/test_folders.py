import json

import pytest
from studies import failed, small_study, summary, write_study

from raysim.report.reading.folder import FolderError
from raysim.report.reading.folders import read

ZERO = "method=zero,seed=1"


def test_a_study_under_way_is_what_has_ended(tmp_path):
    out = write_study(tmp_path / "out", [summary("zero", 1, 0.25), failed("fin", 1)], planned=2)
    study = read([out])
    assert study.planned == {"study": 4}
    assert [t.name for t in study.results.trials] == [ZERO, "method=fin,seed=1"]
    assert study.results.summaries[0][1]["splits"]["test"]["accuracy"] == 0.25
    assert [(t.grid, error) for t, error in study.results.failures] == [({"method": "fin"}, "the loss is nan")]
    trial = study.results.trials[0]
    assert (trial.rounds, trial.metric, trial.metrics, trial.select) == (2, "accuracy", ("accuracy", "uar"), "best")
    assert study.folders["study", ZERO] == out / "study" / ZERO
    assert study.notes == []


def test_the_rounds_are_those_that_were_run(tmp_path):
    out = write_study(tmp_path / "out", [summary("zero", 1, 0.25)])
    path = out / "study" / ZERO / "metrics.jsonl"
    path.write_text('{"round": 1}\n' * 5)  # two phases
    assert read([out]).results.trials[0].rounds == 5
    path.unlink()
    assert read([out]).results.trials[0].rounds == 2


def test_a_method_that_predicts_nothing_has_a_loss_in_place_of_metrics(tmp_path):
    found = summary("zero", 1, 0.25)
    losses = {split: {"loss": values["loss"]} for split, values in found["splits"].items()}
    (trial,) = read([write_study(tmp_path / "out", [found | {"splits": losses}])]).results.trials
    assert (trial.metric, trial.metrics) == ("loss", ("loss",))


def test_parts_are_merged(tmp_path):
    first = write_study(tmp_path / "a", [summary("zero", 1, 0.25)])
    second = write_study(tmp_path / "b", [summary("zero", 2, 0.5)])
    study = read([first, second, first])
    assert [t.seed for t in study.results.trials] == [1, 2]
    assert study.planned == {"study": 2}
    assert study.notes == []


def test_what_is_finished_twice_counts_once(tmp_path):
    first = write_study(tmp_path / "a", [summary("zero", 1, 0.25)])
    second = write_study(tmp_path / "b", [summary("zero", 1, 0.75)])
    study = read([first, second])
    assert [s["splits"]["test"]["accuracy"] for _, s in study.results.summaries] == [0.25]
    assert study.planned == {"study": 1}
    name = f"study/{ZERO}"
    assert study.notes == [
        f"{name}: is finished in several folders and counts once, in {first}/{name}, not in {second}/{name}"
    ]


def test_what_failed_in_one_part_may_be_finished_in_another(tmp_path):
    first = write_study(tmp_path / "a", [failed("zero", 1)])
    second = write_study(tmp_path / "b", [summary("zero", 1, 0.75)])
    study = read([first, second])
    assert (len(study.results.summaries), study.results.failures) == (1, [])
    assert study.folders["study", ZERO].is_relative_to(second)
    assert study.notes == []


def test_trials_of_one_name_with_other_settings_are_kept_apart(tmp_path):
    first = write_study(tmp_path / "a", [summary("zero", 1, 0.25)])
    second = write_study(tmp_path / "b", [summary("zero", 1, 0.75), summary("fin", 1, 0.5)], lr=0.2)
    study = read([first, second])
    assert study.notes == [
        f"{second}/study: is kept apart from {first}/study: {ZERO}: federation.optimizer.lr was 0.1, is 0.2"
    ]
    apart = f"study ({second})"
    assert [(t.scenario, t.name) for t in study.results.trials] == [
        ("study", ZERO), (apart, ZERO), (apart, "method=fin,seed=1"),
    ]  # fmt: skip
    assert [s["splits"]["test"]["accuracy"] for _, s in study.results.summaries] == [0.25, 0.75, 0.5]
    assert study.homes == {"study": [first / "study"], apart: [second / "study"]}
    assert study.folders[apart, ZERO] == second / "study" / ZERO


def test_other_data_is_kept_apart(tmp_path):
    first = write_study(tmp_path / "a", [summary("zero", 1, 0.25) | {"origin": {"data": "1"}}])
    second = write_study(tmp_path / "b", [summary("fin", 1, 0.75) | {"origin": {"data": "2"}}])
    third = write_study(tmp_path / "c", [summary("vae", 1, 0.5) | {"origin": {"data": "1"}}])
    study = read([first, second, third])
    assert study.notes == [f"{second}/study: is kept apart from {first}/study: its data is another"]
    assert study.planned == {"study": 2, f"study ({second})": 1}


def test_a_grid_over_data_may_be_in_several_folders(tmp_path):
    parts = [
        write_study(tmp_path / data, [summary("zero", 1, 0.25, dataset=data) | {"origin": {"data": data}}])
        for data in ("a", "b")
    ]
    assert read(parts).notes == []
    both = [summary(m, 1, 0.25) | {"origin": {"data": m}} for m in ("arm_1", "arm_2")]
    more = write_study(tmp_path / "c", [summary("arm_3", 1, 0.25) | {"origin": {"data": "arm_3"}}])
    assert read([write_study(tmp_path / "d", both), more]).notes == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"seed": 1', "is no JSON"),
        ("[]", "has no 'status'"),
        ('{"seed": 1, "grid": {}, "status": "finished"}', "has no 'splits'"),
        ('{"seed": 1, "grid": {}, "status": "failed", "splits": {}}', "has no 'error'"),
    ],
)
def test_a_broken_trial_is_left_out(tmp_path, text, why):
    out = small_study(tmp_path / "out")
    path = out / "study" / ZERO / "summary.json"
    path.write_text(text)
    study = read([out])
    assert study.notes == [f"{path}: {why}; this trial is left out"]
    assert [t.name for t in study.results.trials] == ["method=zero,seed=2", "method=fin,seed=1"]
    assert study.planned == {"study": 3}


def test_what_is_no_study_is_refused(tmp_path):
    remedy = "name a folder that `raysim run` wrote"
    file = tmp_path / "file"
    file.write_text("")
    for path, why in ((tmp_path, "holds no study"), (tmp_path / "x", "there is no such folder"),
                      (file, "there is no such folder")):  # fmt: skip
        with pytest.raises(FolderError) as caught:
            read([path])
        assert str(caught.value) == f"{path}: {why}; {remedy}"
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(FolderError, match=r"study\.json: is no JSON; name"):
        read([tmp_path])
    (tmp_path / "study.json").write_text(json.dumps({"format": "raysim study 0", "trials": {}}))
    with pytest.raises(FolderError, match="is of another version of raysim"):
        read([tmp_path])
