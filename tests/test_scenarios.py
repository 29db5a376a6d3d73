"""The shipped scenarios: each dataset runs with each of its methods on made-up data, and the papers' tables are there.

That every file is valid is a test of `test_layout.py`.
"""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shipped
from sizes import shrunk

from raysim import registry
from raysim.cli.app import main
from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.dealing import federate
from raysim.data.recipe import Recipe
from raysim.generation.judges import unlearnt
from raysim.scenario.clients import PerClient, Roles
from raysim.scenario.schema import Scenario
from raysim.seeding import stream
from raysim.training.job import Job, method_of, task_of

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "../shared/facts/tables"

SHAPES = {"image": (1, 16, 16), "vector": (6,), "sequence": (8, 4), "tokens": (8,)}
HALVED_FIVE_TIMES = (1, 32, 32)
"""An image as generators' networks for CUB take it."""
WORDS = 9
KINDS = {
    "meld": {"audio": "sequence", "text": "sequence"},
    "crisismmd": {"image": "vector", "text": "sequence"},
    "cmu_mosi": {"text": "vector", "audio": "vector", "video": "vector"},
    "av_mnist": {"image": "image", "audio": "sequence"},
    "utd_mhad": {"accelerometer": "sequence", "gyroscope": "sequence", "skeleton": "sequence", "depth": "image"},
    "polymnist": {f"m{i}": "image" for i in range(5)},
    "cub": {"image": "image", "text": "tokens"},
    "covid_cxr": {"image": "vector", "text": "vector"},
    "mimic_cxr": {"image": "image", "text": "tokens"},
    "openi": {"image": "image", "text": "tokens"},
    "fin_heterogeneous": {"image": "image", "text": "tokens"},
}
"""What a prepared dataset consists of, with the features that the scenarios ask for."""
IMAGES_AND_WORDS = {"image": "image", "text": "tokens"}
OTHERWISE = {"reports_covid_cxr": IMAGES_AND_WORDS, "figure9_crisismmd": IMAGES_AND_WORDS}
"""The same for a scenario that asks for others."""
MULTI_LABEL = ("mimic_cxr", "fin_heterogeneous", "openi")
PAPERS = {
    "fedrecon_table1_meld_uar": ("table1_meld",),
    "fedrecon_table2_meld_top1acc": ("table1_meld",),
    "fin_table1_auc_image_clients": ("table1_mimic_cxr", "table1_heterogeneous"),
    "fin_table2_auc_other_settings": ("table2_mimic_cxr",),
    "fin_table3_cost": ("table3_cost",),
}
"""A paper's table -> the scenarios that reproduce it."""
ALIKE = {
    "fig4_crisismmd": "table1_meld",
    "table1_cmu_mosi": "table1_meld",
    "table1_av_mnist": "table1_meld",
    "table1_utd_mhad": "table1_meld",
    "table1_polymnist": "table1_meld",
    "reports_covid_cxr": "table1_mimic_cxr",
    "roles_av_mnist": "table2_mimic_cxr",
    "roles_covid_cxr": "table2_mimic_cxr",
}
"""A scenario -> the one that has the same rows on other data."""


def cases():
    """A trial of each dataset with each method and each of its settings, but for sizes: the first in any file.

    Of a scenario of generation all but the first are slow.
    """
    found = {}
    for path in shipped.FILES:
        slow = False
        for trial in shipped.trials(path):
            scenario = trial.scenario
            method = shrunk(scenario.method.model_dump())
            kinds = path.stem if path.stem in OTHERWISE else scenario.dataset.name
            key = json.dumps([kinds, method])
            if key not in found:
                marks = [pytest.mark.slow] if slow else []
                found[key] = pytest.param(trial, id=f"{path.stem}-{trial.name}", marks=marks)
                slow = path.parent.name == "generation"
    return found.values()


def stand_in(scenario, clients):
    """Noise around the means of three classes, or labels or targets of which one is 1; eight samples a client."""
    name = scenario.dataset.name
    source = registry.find("dataset", name)
    kinds = OTHERWISE.get(scenario.name, KINDS.get(name))
    if kinds is None:
        kinds = source(registry.options(source, scenario.dataset.options)).kinds()
    generator = scenario.method.options.get("generator")
    halved = isinstance(generator, dict) and generator.get("images") == "cub"
    shapes = SHAPES | ({"image": HALVED_FIVE_TIMES} if halved else {})
    modalities = {m: Modality(kind, shapes[kind], WORDS if kind == "tokens" else None) for m, kind in kinds.items()}
    targets = ("x", "y", "z") if scenario.dataset.options.get("targets") else ()
    rng = stream(0, "stand-in")

    def split(count):
        labels = np.arange(count) % 3
        inputs, lengths = {}, {}
        for m, modality in modalities.items():
            if modality.kind == "tokens":
                inputs[m] = rng.integers(WORDS, size=(count, *modality.shape))
            else:
                means = rng.standard_normal((3, *modality.shape))[labels]
                inputs[m] = (means + rng.standard_normal(means.shape)).astype(np.float32)
            if modality.ordered:
                lengths[m] = np.full(count, modality.shape[0])
        y = np.eye(3, dtype=np.float32)[labels] if name in MULTI_LABEL or targets else labels
        return Split(inputs, y, lengths)

    owners = np.arange(8 * clients) % clients
    train = replace(split(len(owners)), clients=owners)
    if name == "fin_heterogeneous":  # whose first clients have no text
        train = replace(train, present={"text": owners >= clients // 2})
    classes = () if targets else ("x", "y", "z")
    data = Dataset(modalities, classes, name in MULTI_LABEL, train, split(9), split(9), targets=targets)
    return data if scenario.modalities is None else data.only(scenario.modalities)


def reduced(scenario, clients):
    """Two rounds with small networks; who the clients are is the stand-in's."""
    settings = scenario.model_dump(mode="json")
    model, federation, evaluation = settings["model"], settings["federation"], settings["evaluation"]
    for encoder in model["encoders"].values():
        if encoder["name"] in ("resnet50", "bert"):
            encoder |= {"name": "auto", "weights": None}
    model["dim"] = 8
    model["fusion"] |= {"hidden": 8} if model["fusion"]["name"] == "attention" else {}
    federation |= {"rounds": 2, "local_epochs": 1, "batch_size": 8, "clients_per_round": "all"}
    evaluation |= {"every_rounds": 1, "features": min(evaluation["features"], 4)}
    if evaluation["generation"] is not None:
        few = {"rows": 6, "prior_draws": 6, "pictures": 2, "frechet": ["judge"], "judge_floor": 0.0, "judge_epochs": 1}
        few |= {"colours": 0}  # stand-ins are no captions
        evaluation["generation"] |= few | {"bound": min(evaluation["generation"]["bound"], 2)}
    settings["method"] = shrunk(settings["method"])
    settings["partition"] = {"name": "natural"}
    settings["public"] = 0.2 if scenario.public else 0
    settings["numerics"] |= {"device": "cpu", "stack": 6, "evaluation_batch": 16}
    return Scenario.model_validate(settings)


@pytest.mark.parametrize("trial", cases())
def test_a_scenario_s_method_runs_on_data_of_its_form(toy, trial):
    missing = trial.scenario.missing
    clients = sum(role.clients for role in missing.roles) if isinstance(missing, Roles) else 6
    scenario, data = reduced(trial.scenario, clients), stand_in(trial.scenario, clients)
    method, task = method_of(scenario), task_of(scenario, data)
    method.check(task)
    federated = federate(data, scenario, trial.seed, lambda mask, present: method.observe(mask, present, task))
    wanted = scenario.evaluation.generation
    judges = unlearnt(data) if wanted is not None and wanted.judges else None
    job = Job(replace(trial, scenario=scenario), federated, judges)
    best = toy.run(job).tally.best
    # Networks that stay with clients are judged there alone.
    test = best["splits"]["test"] if best["splits"] else {n: v["mean"] for n, v in best["by_client"]["test"].items()}
    assert math.isfinite(test["loss"])
    assert job.method.has("losses") or 0 <= test[scenario.evaluation.metric] <= 1


@pytest.mark.parametrize("name", KINDS)
def test_a_stand_in_has_the_modalities_of_its_dataset(name):
    source = registry.find("dataset", name)
    known = source.features if issubclass(source, Recipe) else registry.find("dataset", "mimic_cxr").features
    assert set(KINDS[name]) == set(known)


def test_no_two_scenarios_share_a_name():
    stems = [path.stem for path in shipped.FILES]
    assert sorted(set(stems)) == sorted(stems)


@pytest.mark.parametrize("table", PAPERS)
def test_a_paper_s_table_has_a_trial_for_each_of_its_figures(table):
    if not TABLES.is_dir():
        pytest.skip("needs ../shared/facts/tables beside the repository: the papers' tables")
    with (TABLES / f"{table}.csv").open(encoding="utf-8") as file:
        (_, *columns), *lines = csv.reader(file)
    trials = [trial for name in PAPERS[table] for trial in trials_of(name)]
    found = {(trial.grid["arm"], column) for trial in trials for column in shown(trial, columns)}
    assert {(row, column) for row, *_ in lines for column in columns} == found


@pytest.mark.parametrize("name", ALIKE)
def test_the_same_study_on_other_data_has_the_same_arms(name):
    arms = {trial.grid["arm"] for trial in trials_of(name)}
    assert arms >= {trial.grid["arm"] for trial in trials_of(ALIKE[name])}


def trials_of(name):
    (path,) = [path for path in shipped.FILES if path.stem == name]
    return shipped.trials(path)


def shown(trial, columns):
    """Which columns of its table a trial gives."""
    missing = trial.scenario.missing
    if isinstance(missing, PerClient):
        return [f"missing_{round(100 * missing.rate)}pct"]
    if isinstance(missing, Roles):
        counts = {role.modalities: role.clients for role in missing.roles}
        return ["homogeneous_" + ":".join(str(counts.get(r, 0)) for r in (("image",), ("text",), ("image", "text")))]
    return [c for c in columns if c.startswith("heterogeneous")] or columns


def test_scenarios_in_folders_are_listed_after_those_beside_them(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name in ("second", "first/last"):
        path = Path(f"scenarios/{name}.yaml")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(
            f"name: {path.stem}\ndescription: About {path.stem}.\ndataset: polydigits\nmethod: zero_fill\n"
            "partition: {name: iid, clients: 2}\nfederation: {rounds: 1}\n"
        )
    assert main(["list", "scenarios"]) == 0
    second, last = [line for line in capfd.readouterr().out.splitlines() if line.startswith("scenarios/")]
    assert second.split() == ["scenarios/second.yaml", "About", "second."]
    assert last.split() == ["scenarios/first/last.yaml", "About", "last."]
