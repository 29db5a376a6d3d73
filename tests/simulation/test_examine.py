"""What `raysim validate` finds in the data before anything runs, and what it says of it."""

import numpy as np
import pytest
import yaml

import raysim
from raysim.cli.app import main
from raysim.scenario.errors import ScenarioError
from raysim.seeding import stream
from raysim.simulation import examine
from raysim.simulation.prepare import forget

SCENARIO = {
    "name": "own", "dataset": {"name": "arrays", "path": "own.npz"}, "partition": "natural",
    "missing": {"name": "per_client", "rate": 0.5}, "method": "zero_fill",
    "model": {"dim": 64}, "federation": {"rounds": 2}, "evaluation": {"missing": "same"},
}  # fmt: skip
HEAD = """from dataclasses import replace

from raysim.method import Method


class OwnHead(Method):
    def modules(self, task):
        groups = super().modules(task)
        return groups | {"task.head": replace(groups["task.head"], shared=False)}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """`own(arrays, **sections)`: writes data of five clients and a scenario, and returns the scenario's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget()

    def write(arrays=(), **sections):
        rng, n = stream(0, "examined"), 60
        found = {
            "x.photo": rng.integers(256, size=(n, 3, 8, 8), dtype=np.uint8), "x.lab": rng.standard_normal((n, 4)),
            "x.gait": rng.standard_normal((n, 30, 2)), "length.gait": np.arange(n) % 26 + 5, "y": np.arange(n) % 3,
            "present.lab": np.arange(n) != 0, "client": np.arange(n) % 5, "split": np.repeat(np.arange(3), 20),
        }  # fmt: skip
        np.savez("own.npz", **found | dict(arrays))
        (tmp_path / "head_at_clients.py").write_text(HEAD)
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(SCENARIO | sections))
        return path

    return write


@pytest.mark.parametrize(
    ("arrays", "sections", "says"),
    [
        ({}, {"missing": {"name": "per_client", "rate": {"foto": 0.5}}}, "missing: rate: no modality 'foto'; did you"),
        ({}, {"evaluation": {"missing": {"only": ["foto"]}}}, "evaluation: missing.only: no modality 'foto'; did you"),
        ({}, {"method": {"name": "feature_imputation", "heads": 5}}, "method.heads is 5, which does not divide"),
        ({}, {"federation": {"rounds": 2, "clients_per_round": 12}}, "is 12, but there are 5 clients; write 5 or less"),
        ({"length.gait": np.full(60, 44)}, {}, "'length.gait' is 44 in row 0; it must be 1 to 30"),
        ({"length.gait": np.arange(60)}, {}, "'length.gait' is 0 in row 0; it must be 1 to 30"),
        ({}, {"method": "head_at_clients:OwnHead"}, "evaluation.clients: "),
        ({"y": np.arange(60) % 3 + 0.5}, {}, "for real numbers set dataset.task: regression"),
    ],
)
def test_what_run_would_refuse_is_refused(own, capsys, arrays, sections, says):
    path = own(arrays, **sections)
    assert main(["validate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"{path}:")
    assert says in err
    with pytest.raises(ScenarioError):
        raysim.validate(path)


def test_it_says_what_there_is(own, capsys):
    path = own(seeds=[0, 1])
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path}: ok, 2 trials\n"
        "  own.npz: samples: 20 train, 20 validation, 20 test; 3 classes: 0, 1, 2\n"
        "  gait: sequence of 5 to 24 steps of 2; lab: vector of 4; photo: image 3 x 8 x 8, bytes\n"
        "  5 clients of 3 to 4 training samples; the data has 5 of its own; "
        "training samples that lack by nature lab in 1\n"
    )


def test_pixels_of_floats_are_remarked_on(own, capsys):
    path = own({"x.photo": stream(0, "bright").integers(256, size=(60, 3, 8, 8)) / 1.0})
    assert main(["validate", str(path)]) == 0
    assert "\n  look at the data: image 'photo' has values up to 255 as floats; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dataset", "most", "line"),
    [
        ({"name": "cmu_mosi", "cache": "nowhere"}, 1 << 20, "cmu_mosi: the data is not prepared here: what depends on"),
        (SCENARIO["dataset"], 1 << 10, "arrays: 0.0 GB of data are not read here: what depends on them is checked by"),
        ({"name": "synthetic"}, 1 << 10, "synthetic: 0.0 GB of data are not read here"),
    ],
)
def test_it_says_what_it_did_not_check(own, capsys, monkeypatch, dataset, most, line):
    monkeypatch.setattr(examine, "MOST_READ", most)
    path = own(dataset=dataset, federation={"rounds": 2, "clients_per_round": 10_000})
    assert main(["validate", str(path)]) == 0
    (_, said) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"  {line}")


def test_many_trials_are_left_to_run_after_a_while(own, monkeypatch):
    monkeypatch.setattr(examine, "PATIENCE_S", 0.0)
    path = own(seeds=[0, 1, 2], grid={"method": ["zero_fill", "uniform_fill"]})
    assert examine.examine(raysim.api.trials_of(path))[-1] == "5 of 6 trials are checked with their data by run alone"
