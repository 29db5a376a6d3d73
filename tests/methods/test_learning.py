"""What the methods are for: six of eight clients lack a modality, and the test samples have both."""

import numpy as np
import pytest

ROLES = [{"modalities": ["left"], "clients": 6}, {"modalities": ["left", "right"], "clients": 2}]
ROUNDS = 40


@pytest.fixture(scope="module")
def accuracies():
    """What was found so far, (method) -> its mean accuracy over three seeds."""
    return {}


@pytest.fixture
def accuracy(accuracies, correlated, make_job, new_run):
    """`accuracy(method, **options)`: on the test split after the last round, the mean over three seeds."""

    def once(method, seed, options):
        run = new_run(
            make_job(
                correlated(seed), {"name": method} | options, seed=seed, stack=8,
                missing={"name": "roles", "roles": ROLES},
                model={"dim": 16, "normalize": True, "dropout": 0.0, "head": {"hidden": 32, "dropout": 0.0}},
                federation={"rounds": ROUNDS, "optimizer": {"name": "adam", "lr": 0.003}},
                evaluation={"every_rounds": ROUNDS},
            )
        )  # fmt: skip
        return run.go().records[-1]["test"]["accuracy"]

    def mean(method, **options):
        if method not in accuracies:
            accuracies[method] = np.mean([once(method, seed, options) for seed in range(3)])
        return accuracies[method]

    return mean


@pytest.mark.slow
def test_imputed_embeddings_are_better_than_zeros(accuracy):
    options = {"layers": 2, "hidden": 64, "dropout": 0.0, "epochs": 3}
    assert accuracy("feature_imputation", **options) > accuracy("zero_fill") + 0.03


@pytest.mark.slow
def test_synthetic_inputs_are_better_than_zeros(accuracy):
    sizes = {"latent": 8, "hidden": 32, "map_hidden": 32, "generator_epochs": 3, "mapping_epochs": 3}
    assert accuracy("mvae_mapping", **sizes) > accuracy("zero_fill") + 0.03
