import json

from pages import write_dealt
from studies import grid_study, small_study, summary, write_study

from raysim.report.reading.folders import read
from raysim.report.reading.partitions import partitions


def test_a_partition_stands_for_all_trials_that_have_it(tmp_path):
    study = read([grid_study(tmp_path)])
    for (_, name), folder in study.folders.items():
        seed, rate = int(name[-1]), 0 if "rate=0.5" in name else 100
        write_dealt(folder, seed + rate)
    found = partitions(study, "study")
    assert [(p.name, len(p.trials)) for p in found] == [
        ("missing.rate=0.5, seed 1", 2), ("missing.rate=0.5, seed 2", 2),
        ("missing.rate=0.25, seed 1", 2), ("missing.rate=0.25, seed 2", 2),
    ]  # fmt: skip
    assert found[0].trials[0] == ("study", "missing.rate=0.5,method=zero,seed=1")


def test_a_partition_of_some_values_names_them(tmp_path):
    study = read([grid_study(tmp_path)])
    for (_, name), folder in study.folders.items():
        write_dealt(folder, 7 if name == "missing.rate=0.5,method=fin,seed=2" else 1)
    assert [(p.name, len(p.trials)) for p in partitions(study, "study")] == [
        ("seed 1, 2", 7), ("missing.rate=0.5 method=fin, seed 2", 1),
    ]  # fmt: skip


def test_what_clients_have(tmp_path):
    study = read([write_study(tmp_path, [summary("zero", 1, 0.5)])])
    clients = [
        {"id": 3, "own": "ward A", "counts": [1, 2], "modalities": {"x": 3, "y": 0}},
        {"id": 5, "counts": [4, 0]},
    ]
    text = json.dumps({"classes": ["cat", "dog"], "clients": clients})
    (tmp_path / "study/method=zero,seed=1/partition.json").write_text(text)
    (one,) = partitions(study, "study")
    assert (one.name, one.clients, one.classes) == ("seed 1", ("ward A", "5"), ("cat", "dog"))
    assert (one.counts, one.modalities) == (((1, 2), (4, 0)), {"x": (3, 0), "y": (0, 0)})


def test_a_file_that_cannot_be_read_is_noted(tmp_path):
    study = read([small_study(tmp_path)])
    path = tmp_path / "study/method=fin,seed=1/partition.json"
    path.write_text('{"classes": []}')
    assert partitions(study, "study") == []
    assert study.notes == [f"{path}: no picture of it: KeyError: 'clients'"]
