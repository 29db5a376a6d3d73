import json
from pathlib import Path

import pytest

from raysim.catalogue import section, sections
from raysim.cli.app import main
from raysim.scenario.shipped import HOME, shipped

BASE = """name: NAME
dataset: polydigits
partition: {name: iid, clients: 4}
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_list_shows_names_with_a_line_each(capfd):
    assert main(["list", "algorithms"]) == 0
    assert "fedavg        FedAvg: local SGD and the sample-weighted mean.\n" in capfd.readouterr().out
    assert main(["list", "metrics"]) == 0
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines()] == [
        "acc2", "acc2_f1", "acc7", "accuracy", "auprc", "balanced_error", "brier", "ece", "f1", "macro_auc", "macro_f1",
        "mae", "mean_average_precision", "pearson", "r2", "recall", "rmse", "uar", "weighted_f1",
    ]  # fmt: skip
    assert main(["list", "missing"]) == 0
    assert capfd.readouterr().out.startswith("none        Every client has every modality that the data has.\n")


def test_a_metric_says_what_is_better_and_which_data_it_is_for(capfd):
    assert main(["info", "metric", "ece"]) == 0
    said = capfd.readouterr().out
    assert said.startswith("Expected calibration error: how far confidence and accuracy are apart")
    assert "\n\nLess is better; for single_label data.\n\n" in said
    assert "bins" in said
    assert main(["info", "metric", "r2"]) == 0
    assert "More is better; for regression data." in capfd.readouterr().out


def test_rules_are_no_wider_than_a_page_where_there_is_no_terminal(capfd, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["info", "federation"]) == 0
    lines = capfd.readouterr().out.splitlines()
    (rule,) = [line for line in lines if line.startswith("─")]
    assert len(rule) == 120 < max(map(len, lines))


def test_list_as_json(capfd):
    assert main(["list", "schedules", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [entry["name"] for entry in found] == ["constant", "cosine", "step", "warmup"]
    assert found[0]["summary"] == "The rate stays as it is."
    assert found[0]["origin"].endswith("schedule.py")


def test_list_of_scenarios_from_anywhere(capfd):
    Path("scenarios").mkdir()
    Path("scenarios/one.yaml").write_text(BASE.replace("NAME", "one") + "description: A first try.\n")
    Path("scenarios/two.yaml").write_text("name: two\n")
    assert main(["list", "scenarios"]) == 0
    *rows, first, second, empty, where = capfd.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list(shipped())
    assert next(row for row in rows if row.startswith("quickstart ")).endswith("Nothing is downloaded.")
    assert first.split(maxsplit=1) == ["scenarios/one.yaml", "A first try."]
    assert second.split(maxsplit=1)[1].startswith("(malformed) scenarios/two.yaml:1: dataset: is required")
    assert (empty, where) == ("", f"Those with a name are in {HOME}; raysim run NAME runs one.")


def test_a_shipped_scenario_by_its_name(capfd):
    assert main(["validate", "quickstart", "generation/mapping_polydigits"]) == 0
    said = [line.split(":")[0] for line in capfd.readouterr().out.splitlines() if line[0] != " "]
    assert said == ["quickstart", "generation/mapping_polydigits"]


def test_info_shows_the_docstring_and_a_table(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["info", "fusion", "attention"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "Attention over all modalities' tokens (FedRecon eq. 6; FedMultimodal's fuse_base)."
    assert [line for line in lines[2:] if set(line) != {"\u2500"}][:3] == [
        "option   default   must be                        meaning",
        "heads    6         a whole number of at least 1   Context vectors; their sums are concatenated.",
        "hidden   512       a whole number of at least 1   Width of the tanh layer before the logits.",
    ]
    assert lines[-1].endswith("model.py")


def test_a_table_keeps_to_the_terminals_width(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["info", "optimizer", "adamw"]) == 0
    table = capfd.readouterr().out.split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= 70


def test_info_of_what_has_no_options(capfd):
    assert main(["info", "fusion", "concat"]) == 0
    assert capfd.readouterr().out.split("\n\n")[1] == "no options"


def test_info_as_json(capfd):
    assert main(["info", "generator", "mopoe", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["kind"], found["name"], found["doc"][:6]) == ("generator", "mopoe", "MoPoE:")
    (latent,) = [o for o in found["options"] if o["name"] == "latent"]
    assert latent == {
        "name": "latent", "type": "a whole number of at least 1", "required": False, "default": 64,
        "description": "Width of the shared latent space.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["list", "encodrs"], "raysim: cannot list 'encodrs'; did you mean 'encoders'?"),
        (["info", "metod", "x"], "raysim: there is no kind 'metod'; did you mean 'method'?"),
        (["info", "method", "zero_fil"], "raysim: there is no method 'zero_fil'; did you mean 'zero_fill'?"),
        (["info", "dataset", "meldd"], "raysim: there is no dataset 'meldd'; did you mean 'meld'?"),
    ],
)
def test_a_wrong_name_is_one_line(capfd, arguments, line):
    assert main(arguments) == 2
    assert capfd.readouterr() == ("", f"{line}\n")


def test_info_of_a_section_shows_its_fields(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["info", "federation"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("How clients and server work together.\n\nfield ")
    (rounds,) = [line for line in out.splitlines() if line.startswith("rounds ")]
    assert [part.strip() for part in rounds.split("  ") if part] == [
        "rounds", "required", "a whole number of at least 1", "Communication rounds.",
    ]  # fmt: skip
    assert "\nSections in it: raysim info federation.checkpoint | federation.faults\n" in out
    assert main(["info", "evaluation.generation", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert {k: v for o in found["options"] if o["name"] == "retrieval" for k, v in o.items() if k != "description"} == {
        "name": "retrieval",
        "type": "true or false",
        "required": False,
        "default": False,
    }
    assert main(["info", "scenario"]) == 0
    assert "\nname            required " in capfd.readouterr().out


def test_info_of_a_kind_lists_it(capfd):
    assert main(["info", "partition"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("iid           Samples are dealt to clients at random, in equal shares.\n")
    assert out.endswith("\nOptions of one: raysim info partition NAME\n")


def test_every_field_of_every_section_says_what_it_is_for():
    silent = [f"{key}.{o.name}" for key in sections() for o in section(key).options if not o.description]
    assert silent == []
