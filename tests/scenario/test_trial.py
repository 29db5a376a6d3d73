import pickle

import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import dump, folder_names, load

BASE = """name: t
dataset: polydigits
partition: {name: iid, clients: 4}
missing: {name: per_client, rate: 0.5}
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture
def loaded(tmp_path):
    def run(text="", *overrides, base=BASE):
        path = tmp_path / "s.yaml"
        path.write_text(base + text, encoding="utf-8")
        return load(path, overrides)

    return run


def test_one_trial_without_a_grid(loaded):
    (trial,) = loaded()
    assert (trial.name, trial.seed, trial.grid, trial.scenario.name) == ("seed=0", 0, {}, "t")


def test_grid_and_seeds_expand_to_named_trials(loaded):
    trials = loaded("seeds: [1, 2]\ngrid:\n  method: [zero_fill, {name: fin, dim: 3}]\n  missing.rate: [0.1, 1e-3]\n")
    assert [t.name for t in trials] == [
        "method=zero_fill,missing.rate=0.1,seed=1",
        "method=zero_fill,missing.rate=0.1,seed=2",
        "method=zero_fill,missing.rate=0.001,seed=1",
        "method=zero_fill,missing.rate=0.001,seed=2",
        "method=fin,missing.rate=0.1,seed=1",
        "method=fin,missing.rate=0.1,seed=2",
        "method=fin,missing.rate=0.001,seed=1",
        "method=fin,missing.rate=0.001,seed=2",
    ]
    last = trials[-1]
    assert (last.seed, last.scenario.seeds, last.grid) == (2, (2,), {"method": "fin", "missing.rate": "0.001"})
    assert last.scenario.method.options == {"dim": 3}
    assert last.scenario.missing.rate == 0.001


def test_arms_name_their_trials(loaded):
    trials = loaded("grid: {arm: [{label: FedAvg}, {label: Ours (λ), federation.algorithm: scaffold}]}\n")
    assert [t.name for t in trials] == ["arm=FedAvg,seed=0", "arm=Ours_,seed=0"]
    assert [t.grid["arm"] for t in trials] == ["FedAvg", "Ours (λ)"]
    assert [t.scenario.federation.algorithm.name for t in trials] == ["fedavg", "scaffold"]


def test_folder_names_are_short_and_differ_also_where_case_does_not_count():
    assert folder_names(["a=λ", "a=μ", "b=X", "b=x", "c=../d"]) == [
        "a=_-112e5cde", "a=_-b0d42097", "b=X-d8ffbeae", "b=x-b1102aa4", "c=.._d",
    ]  # fmt: skip
    (long,) = folder_names(["k=" + "x" * 200])
    assert long == "k=" + "x" * 89 + "-af50e36e"


def test_errors_point_into_the_grid(loaded):
    with pytest.raises(ScenarioError, match=r"s\.yaml:10: missing\.rate: must be a number from 0 to 1"):
        loaded("grid:\n  missing.rate:\n    - 0.1\n    - 1.1\n")


def test_a_trial_makes_errors_at_the_line_of_a_setting(loaded, tmp_path):
    _, second = loaded("grid:\n  missing.rate:\n    - 0.1\n    - 0.2\n")
    path = tmp_path / "s.yaml"
    assert str(second.error("missing.rate", "x")) == f"{path}:10: missing.rate: x"
    assert str(second.error("missing.empty", "x")) == f"{path}:4: missing.empty: x"
    assert str(second.error("model.dim", "x")) == f"{path}:1: model.dim: x"


def test_trials_can_be_pickled(loaded):
    trials = loaded("grid: {method: [zero_fill, {name: fin, dim: 3}]}\n")
    assert pickle.loads(pickle.dumps(trials)) == trials


def test_dump_reads_back_to_an_equal_scenario(loaded):
    (trial,) = loaded(
        "description: 'no: 1e-3 # é'\nmodel: {encoders: {m0: cnn}, head: {hidden: null}}\n"
        "evaluation: {missing: 0.25, metrics: [uar], metric: uar}\n"
    )
    assert loaded(base=dump(trial.scenario))[0].scenario == trial.scenario


def test_dump_keeps_the_options_of_components(loaded):
    (trial,) = loaded("", "method={name: fin, layers: [1, 2], word: '1', deep: {a: null}, lr: 1e-9}")
    again = loaded(base=dump(trial.scenario))[0].scenario
    assert again.method.options == {"layers": [1, 2], "word": "1", "deep": {"a": None}, "lr": 1e-9}
    assert again == trial.scenario


def test_overrides_are_yaml_and_come_before_the_grid(loaded):
    trials = loaded(
        "grid: {missing.rate: [0.1]}\n", "federation.optimizer.lr=1e-2", "seeds=[3, 4]", "grid.model.dim=[8]"
    )
    assert [t.name for t in trials] == ["missing.rate=0.1,model.dim=8,seed=3", "missing.rate=0.1,model.dim=8,seed=4"]
    assert trials[0].scenario.federation.optimizer.lr == 0.01


def test_an_override_replaces_a_component_whole_or_adds_an_option(loaded):
    assert loaded("", "method=fin")[0].scenario.method.model_dump() == {"name": "fin"}
    assert loaded("", "method.dim=3")[0].scenario.method.options == {"dim": 3}
    assert loaded("", "method=fin", "method.dim=3")[0].scenario.method.name == "fin"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["federation.rounds=0"], "--set federation.rounds=0: federation.rounds: must be a whole number of at least 1"),
        (["rounds"], "--set rounds: must be key=value"),
        (["=1"], "--set =1: must be key=value"),
        (["a..b=1"], "--set a..b=1: 'a..b': is not a dotted key"),
        ([".".join("a" * 1000) + "=1"], "--set a.a.a."),
        (["model=[1"], "--set model=[1: is not YAML"),
        (["model=!!python/name:os.system x"], "--set model=!!python/name:os.system x: tags such as"),
        (["fedration.rounds=1"], "--set fedration.rounds=1: fedration: unknown key; did you mean 'federation'?"),
        (["missing.rate=0.1", "grid.missing.rate=[0.2]"], "--set missing.rate=0.1: missing.rate: the grid also sets"),
        (["method.dim=1", "grid.method=[a, b]"], "--set method.dim=1: method.dim: the grid also sets 'method'"),
        (["model.dim=1", "grid.arm=[{label: a, model.dim: 2}]"], "--set model.dim=1: model.dim: the grid also sets"),
        (["grid=[1]"], "--set grid=[1]: grid: must map dotted keys to lists"),
    ],
)
def test_a_wrong_override_is_named(loaded, overrides, message):
    with pytest.raises(ScenarioError) as caught:
        loaded("", *overrides)
    assert str(caught.value).startswith(message)


def test_too_many_trials_are_refused(loaded):
    with pytest.raises(ScenarioError, match=r":7: seeds: makes 12000 trials, more than 10000; use fewer"):
        loaded(f"seeds: {list(range(6000))}\ngrid: {{missing.rate: [0.1, 0.2]}}\n")


def test_shorthands_mean_the_same_as_mappings(loaded):
    (short,) = loaded("model: {fusion: attention}\n", "missing=none", "partition=natural", "federation.optimizer=adam")
    (full,) = loaded(
        "model: {fusion: {name: attention}}\n",
        "missing={name: none}",
        "partition={name: natural}",
        "federation.optimizer={name: adam}",
    )
    assert short.scenario == full.scenario
    assert isinstance(short.scenario, Scenario)
