"""What the methods have in common that make an input from another modality's: CACMRN and FedMMR."""

from dataclasses import replace

import numpy as np
import pytest
from sizes import SMALL

from raysim.data.dataset import Modality
from raysim.seeding import stream
from raysim.simulation.rounds import shares


@pytest.fixture(params=[("cacmrn", "rec"), ("fedmmr", "gen")], ids=lambda p: p[0])
def kind(request):
    """What its groups are called."""
    return request.param[1]


@pytest.fixture
def small(kind):
    """The method at a small size."""
    name = {"rec": "cacmrn", "gen": "fedmmr"}[kind]
    return {"name": name} | SMALL[name]


def test_with_three_modalities_a_pair_is_owned_by_clients_with_both(kind, small, tiny_data, make_job):
    roles = [
        {"modalities": ["image", "vector"], "clients": 2},
        {"modalities": ["image", "vector", "sequence"], "clients": 2},
    ]
    job = make_job(tiny_data("mixed"), small, missing={"name": "roles", "roles": roles})
    whole = [k for k in range(4) if "sequence" in job.data.info(k).modalities]
    found = shares(job, job.phases[0], range(4))
    assert len(whole) == 2
    assert (list(found[f"{kind}.vector_image"]), list(found[f"{kind}.image_sequence"])) == ([0, 1, 2, 3], whole)


@pytest.mark.parametrize("encoder", ["gru", "conv_gru"])
def test_sequences_are_made_for_their_encoder(small, tiny_data, make_job, new_run, encoder):
    data, shape = tiny_data("vectors"), (16, 5)
    values = stream(0, "sequences").standard_normal((51, *shape)).astype(np.float32)

    def sequences(split):
        n = len(split)
        return replace(split, inputs=split.inputs | {"right": values[:n]}, lengths={"right": np.arange(n) % 9 + 8})

    splits = {s: sequences(data.split(s)) for s in ("train", "validation", "test")}
    data = replace(data, modalities=data.modalities | {"right": Modality("sequence", shape)}, **splits)
    model = {"dim": 8, "encoders": {"right": {"name": encoder}}}
    run = new_run(
        make_job(data, small, model=model, missing={"name": "per_sample", "rate": 0.4}, evaluation={"missing": "same"})
    ).go()
    assert np.isfinite([loss for record in run.records for loss in record["loss"].values()]).all()
    assert {n for n in run.x if run.x[n].tobytes() == run.start[n].tobytes()} == set()


def test_what_makes_no_sense_is_refused(small, tiny_data, make_job):
    data = tiny_data("vectors")
    words = replace(data, modalities=data.modalities | {"words": Modality("tokens", (4,), vocabulary=9)})
    with pytest.raises(
        ValueError, match=rf"^{small['name']} .* cannot make tokens: give 'words' as image or sequence or vector$"
    ):
        make_job(words, small)
    with pytest.raises(ValueError, match=rf"^{small['name']} needs at least 2 modalities, the data has 1$"):
        make_job(replace(data, modalities={"left": data.modalities["left"]}), small)
