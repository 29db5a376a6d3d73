import pytest

from raysim.scenario.identity import conditions, differences, digest, is_condition, settings
from raysim.scenario.trial import load

BASE = """name: t
dataset: polydigits
partition: {name: iid, clients: 4}
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture
def trial(tmp_path):
    def trial(*overrides):
        path = tmp_path / "s.yaml"
        path.write_text(BASE)
        return load(path, overrides)[0]

    return trial


@pytest.mark.parametrize(
    "same",
    ["description=other", "placement.actors=3", "placement.max_failures=0", "federation.checkpoint.keep=9",
     "tracking=[tensorboard]"],
)  # fmt: skip
def test_what_changes_no_bit_makes_no_other_trial(trial, same):
    assert digest(trial(same)) == digest(trial())


@pytest.mark.parametrize(
    "other",
    ["seeds=[1]", "numerics.stack=2", "method={name: zero_fill, x: 1}", "federation.faults.on_invalid=skip_client",
     "dataset={name: polydigits, modalities: 2}", "evaluation.metric=uar", "model.dim=8"],
)  # fmt: skip
def test_all_else_does(trial, other):
    assert digest(trial(other)) != digest(trial())


def test_a_path_that_ones_own_partition_reads_counts(trial):
    one, two = (trial(f'partition={{name: "own:read", path: {path}}}') for path in ("a.csv", "b.csv"))
    assert settings(one)["partition"] == {"name": "own:read", "path": "a.csv"}
    assert digest(one) != digest(two)


def test_differences_in_words(trial):
    old = [("t/a", settings(trial())), ("t/gone", {}), ("t/same", {"x": 1})]
    new = [("t/a", settings(trial("federation.rounds=3", "model.encoders={image: cnn}"))), ("t/same", {"x": 1}),
           ("t/new", {})]  # fmt: skip
    assert list(differences(old, new)) == [
        "t/gone was there and is not",
        "t/new was not there and is",
        "t/a: federation.rounds was 2, is 3",
        "t/a: model.encoders.image.name was empty, is 'cnn'",
    ]
    assert list(differences(old, old)) == []


@pytest.mark.parametrize(
    "same",
    [
        "method=modality_dropout",
        "model.dim=8",
        "federation.rounds=9",
        "seeds=[1]",
        "evaluation.metric=uar",
        "public=0.1",
    ],
)
def test_what_an_arm_chooses_leaves_its_conditions_alone(trial, same):
    assert conditions(settings(trial(same))) == conditions(settings(trial()))
    assert not is_condition(same.partition("=")[0])


@pytest.mark.parametrize(
    "other",
    ["missing={name: per_sample, rate: 0.5}", "partition.clients=5", "dataset={name: polydigits, modalities: 2}",
     "evaluation.missing=0.5", "labels.noise=0.5", "feature_noise=0.1"],
)  # fmt: skip
def test_data_clients_and_what_is_missing_are_conditions(trial, other):
    assert conditions(settings(trial(other))) != conditions(settings(trial()))
    assert is_condition(other.partition("=")[0])
