"""The schema for editors: what is valid for raysim is valid for it, and what is not is not."""

import json
import os
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from raysim.cli.app import main
from raysim.editor import FILE, LINE, schema, text
from raysim.scenario.shipped import HOME
from raysim.scenario.source import read

FILES = sorted(HOME.rglob("*.yaml"))
BASE = {
    "name": "s", "dataset": "polydigits", "partition": {"name": "iid", "clients": 3}, "method": "zero_fill",
    "federation": {"rounds": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def validator():
    found = schema()
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def test_the_shipped_file_is_what_raysim_schema_prints(tmp_path, capfd):
    assert (HOME / FILE).read_text(encoding="utf-8") == text(), "run: raysim schema --out scenarios/schema.json"
    assert main(["schema"]) == 0
    assert capfd.readouterr().out == text()
    assert main(["schema", "--out", str(tmp_path / "mine.json")]) == 0
    assert json.loads((tmp_path / "mine.json").read_text(encoding="utf-8")) == schema()
    assert capfd.readouterr().out.endswith(f"{LINE}mine.json\n")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_shipped_scenario_names_the_schema_and_keeps_it(validator, path):
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first == f"{LINE}{os.path.relpath(HOME / FILE, path.parent)}"
    validator.validate(read(path).plain())


@pytest.mark.parametrize(
    "more",
    [
        {"method": "own:Mine"},
        {"method": {"name": "own:Mine", "x": 3}},
        {"method": {"name": "generate", "generator": "mopoe"}},
        {"method": {"name": "generate", "generator": {"name": "mapping", "backbone": {"name": "mvae", "latent": 8}}}},
        {"partition": "natural"},
        {"federation": {"rounds": 1, "optimizer": {"lr": 0.1}}},
        {"federation": {"rounds": 1, "optimizer": "adam", "algorithm": {"name": "fedprox", "mu": 0.1}}},
        {"federation": {"rounds": 1, "optimizer": {"name": "adam", "schedule": "cosine"}}},
        {"model": {"start": "results/x", "fusion": "attention", "encoders": {"m0": "mlp", "m1": "my:Net"}}},
        {"model": {"encoders": {"m0": {"name": "my:Net", "width": 3}}}},
        {"evaluation": {"metrics": ["accuracy", "my:f", {"name": "my:g", "beta": 2}], "missing": {"only": ["m0"]}}},
        {"missing": {"name": "per_sample", "rate": {"m0": 0.1}}, "tracking": ["tensorboard"]},
        {"missing": "per_client", "grid": {"missing.rate": [0.1, {"label": "half", "value": 0.5}]}},
        {"partition": {"clients": 3}, "grid": {"partition.name": ["iid", "shards"]}},
        {"grid": {"method.layers": [1, 2], "method.generator.latent": [8], "model.encoders.m0": ["cnn"]}},
        {"grid": {"arm": [{"label": "A", "federation.algorithm": "fedopt"}, {"label": 2, "method": "own:Mine"}]}},
    ],
    ids=json.dumps,
)
def test_what_is_valid(validator, more):
    validator.validate({**BASE, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"seed": [1]},
        {"federation": {"round": 1}},
        {"federation": {}},
        {"federation": {"rounds": "3"}},
        {"federation": {"rounds": 0}},
        {"federation": {"rounds": 1, "optimizer": {"name": "adam", "lr": -1}}},
        {"method": "zero_fil"},
        {"method": {"name": "feature_imputation", "layer": 2}},
        {"method": {"name": "feature_imputation", "layers": "two"}},
        {"method": "generate"},
        {"method": {"name": "generate", "generator": "mopo"}},
        {"method": {"name": "generate", "generator": {"name": "mopoe", "laten": 3}}},
        {"dataset": {"name": "polydigits", "copys": 2}},
        {"partition": "iid"},
        {"partition": {"name": "dirichlet", "clients": 3}},
        {"partition": {"name": "dirichlet", "clients": 3, "alhpa": 1}},
        {"missing": {"rate": 0.3}},
        {"evaluation": {"metrics": ["acuracy"]}},
        {"model": {"encoders": {"m0": {"name": "mpl"}}}},
        {"tracking": ["tensorbord"]},
        {"grid": {"methd": ["zero_fill"]}},
        {"grid": {"federation.rounds": ["x"]}},
        {"grid": {"federation.rounds": 3}},
        {"grid": {"seeds": [[1]]}},
        {"grid": {"arm": [{"method": "zero_fill"}]}},
        {"grid": {"partition.alpha": [1]}, "partition": {"name": "dirichlet", "cleints": 3}},
    ],
    ids=json.dumps,
)
def test_what_is_wrong(validator, more):
    assert not validator.is_valid({**BASE, **more})


def test_components_of_ones_own_are_found_where_one_works(tmp_path):
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "mine.py").write_text(
        '"""Mine."""\nfrom raysim.method import Method\n\n\nclass Mine(Method):\n'
        "    class Options(Method.Options):\n        width: int = 3\n"
    )
    (folder / "broken.py").write_text("class Broken(\n")
    code = "from raysim.cli.app import main; raise SystemExit(main(['schema']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
    )
    found = Draft202012Validator(json.loads(done.stdout))
    assert found.is_valid({**BASE, "method": {"name": "mine", "width": 4}})
    assert not found.is_valid({**BASE, "method": {"name": "mine", "wdth": 4}})
    assert found.is_valid({**BASE, "method": {"name": "broken", "anything": 4}})
