"""Which method runs on which kind of modality, and at which level it fills: the README's table."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sizes import NEEDED, SECTIONS, SMALL

from raysim import registry
from raysim.method import Feature, Method
from raysim.models.task import encode

KINDS = ("vector", "sequence", "image", "tokens")
# method: the level at which it fills, and the kinds that it refuses
TABLE = {
    "zero_fill": ("embedding", ()),
    "uniform_fill": ("pooled", ()),
    "feature_imputation": ("pooled", ()),
    "mvae_mapping": ("input", ("tokens",)),
    "vae_fill": ("input", ("tokens",)),
    "cacmrn": ("input", ("tokens",)),
    "fedmmr": ("input", ("tokens",)),
    "generate": ("none", ()),
    "train_on_generated": ("none", ("sequence", "tokens")),
    "mmfedmc": ("none", ()),
    "car_mfl": ("input", ()),
    "modality_dropout": ("embedding", ()),
    "zero_input": ("input", ()),
    "blossom": ("input", ("tokens",)),
    "report_generation": ("input", ()),
    "complete": ("none", ()),
    "unimodal": ("none", ()),
}
STAND_IN = {
    "zero_fill": (0, 0), "uniform_fill": (1, 0), "feature_imputation": (1, 0), "mvae_mapping": (1, 1),
    "cacmrn": (1, 1), "fedmmr": (1, 1), "modality_dropout": (0, 0), "zero_input": (0, 0),
    "vae_fill": (1, 1),
}  # fmt: skip
"""For an absent sequence: tokens that stand in for it, and how often filling asks its encoder."""


def test_the_table_is_complete():
    assert {e.name for e in registry.listed("method")} == set(TABLE)


@pytest.mark.parametrize("method", TABLE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_method_trains_on_a_kind_or_says_why_not(toy, method, kind):
    other = "vector" if kind != "vector" else "image"
    kinds = (kind, *(k for k in NEEDED.get(method, (other,)) if k != kind))
    found: type[Method] = registry.find("method", method)
    level, refused = TABLE[method]
    assert (found.fills or "none") == level
    modalities = dict(zip("abc", kinds, strict=False))
    if kind in refused:
        says = "" if level == "none" else f"fills at level '{level}' and "
        with pytest.raises(ValueError, match=rf"^{method} {says}cannot make {kind}: give 'a' as "):
            found.suits(modalities)
        return
    found.suits(modalities)
    options = SMALL.get(method, {}) | ({"modality": kind} if method == "unimodal" else {})
    data = toy.data((6, 5), kinds)
    if method in SECTIONS:  # the third one is the server
        data = replace(toy.data((6, 5, 4), kinds, absent=[(0, other)]), public=True)
    job = toy.job(data, {"name": method, **options})
    assert math.isfinite(toy.run(job).tally.best["splits"]["test"]["loss"])


@pytest.mark.parametrize("method", STAND_IN)
def test_what_stands_in_for_an_absent_sequence(toy, make_batch, make_nets, method):
    options = SMALL.get(method, {}) | ({"mapping": False} if method == "mvae_mapping" else {})  # none is trained yet
    job = toy.job(toy.data((4,), ("sequence", "vector")), {"name": method, **options})
    x = {"sequence": torch.zeros(2, 6, 2), "vector": torch.ones(2, 3)}
    present = {"sequence": [False, False], "vector": [True, True]}
    batch, nets = make_batch(job, x, present, lengths={"sequence": torch.ones(2, dtype=torch.long)}), make_nets(job)
    features, asked = encode(nets, batch), []
    nets["task.sequence"].register_forward_hook(lambda *_: asked.append(1))
    streams = job.method.fill(batch, nets, features)["sequence"]
    made = streams if isinstance(streams, Feature) else streams[-1]
    assert (int(made.valid[0].sum()), len(asked)) == STAND_IN[method]


def test_the_readme_shows_it():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for method, (level, refused) in TABLE.items():
        marks = " | ".join("no" if kind in refused else "yes" for kind in KINDS)
        assert f"| `{method}` | {level} | {marks} |" in text.splitlines(), method
