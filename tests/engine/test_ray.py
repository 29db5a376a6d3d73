"""The same bits on Ray as in process, whatever the placement and whoever dies."""

import os
import re
import signal
import time

import numpy as np
import pytest
import ray
from ray.exceptions import RayActorError

from raysim.registry import listed
from raysim.report.events import RoundFinished, RoundStarted, Warned

pytestmark = pytest.mark.ray

FIN = ("method={name: feature_imputation, layers: 1, heads: 2, hidden: 16}", "federation.algorithm=scaffold")
MVAE = (
    "method={name: mvae_mapping, latent: 4, hidden: 8, map_hidden: 8}", "federation.algorithm=scaffold",
    "federation.optimizer={name: adam, lr: 0.01, persistent: true}",
)  # fmt: skip
CASES = [(*case, f"numerics.stack={stack}") for case in (FIN, MVAE) for stack in (1, 4)]
TOYS = ("Gan", "Diary", "Shift", "Auction", "Relay")


def toy(name, stack):
    return (
        "dataset=ray_material:Line", f"method=toys:{name}", "missing=none", "evaluation.missing=none",
        "model={}", "federation.optimizer={name: sgd, lr: 0.25}", f"numerics.stack={stack}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def expected(small):
    """What comes out in process; computed once."""
    known = {}

    def find(settings):
        if settings not in known:
            known[settings] = small.run(small.trial(*settings))
        return known[settings]

    return find


@pytest.fixture(scope="module")
def pool(local_ray, small):
    """Client actors as a scenario's placement asks for them."""
    return small.warm


def test_a_second_run_gives_the_same_bits_and_states_travel(small, expected):
    for settings in CASES:
        first = expected(settings)
        assert small.run(small.trial(*settings)) == first
        assert [r["round"] for r in first["records"]] == [1, 2, 3]
        assert any(name.startswith("control/") for name in first["states"][0])
    assert any(name.startswith("optimizer/") or "adam" in name for name in expected(CASES[2])["states"][0])


@pytest.mark.parametrize(
    ("placement", "actors"),
    [
        ("placement.actors=3", 3),
        pytest.param("placement.clients_per_actor=1", 4, marks=pytest.mark.slow),
        pytest.param("placement.actors=1", 1, marks=pytest.mark.slow),
        pytest.param("placement.clients_per_actor=auto", 2, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_no_placement_changes_a_bit(small, expected, pool, placement, actors):
    warm = pool(placement)
    assert len(warm.actors) == actors
    for settings in CASES:
        assert small.run(small.trial(*settings, placement), warm) == expected(settings)


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("name", TOYS)
def test_every_hook_works_through_ray(small, expected, pool, name, stack):
    settings = toy(name, stack)
    assert small.run(small.trial(*settings), pool()) == expected(settings)


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("method", ["zero_fill", "toys:Auction"])
@pytest.mark.parametrize("algorithm", ["fednova", "{name: trimmed_mean, trim: 0.3}"])
def test_steps_and_single_updates_are_the_same_through_ray(small, expected, pool, algorithm, method, stack):
    base = (f"method={method}",) if method == "zero_fill" else toy("Auction", stack)
    settings = (*base, f"federation.algorithm={algorithm}", "federation.batch_size=3", f"numerics.stack={stack}")
    found = small.run(small.trial(*settings), pool())
    assert found == expected(settings)
    assert found["weights"] != expected((*base, "federation.batch_size=3", f"numerics.stack={stack}"))["weights"]


WITHOUT_ENCODER = ("gan", "diffusion")
"""Generators that make no sequences."""
SMALL = "latent: 3, hidden: 8, channels: [4]"
MAPPED = f"{{name: mapping, map_hidden: 8, backbone: {{name: mmvae_plus, private: 2, {SMALL}}}}}"
ADAM = "{name: adam, lr: 0.005, persistent: true}"
GENERATORS = [e.name for e in listed("generator")]
UNALIKE = ("diffusion", "gan", "mapping", "mopoe")
"""One generator of each kind; the others go through Ray in the slow run."""


def generates(name, stack, optimizer=ADAM):
    generator = MAPPED if name == "mapping" else f"{{name: {name}, {SMALL}}}"
    return (
        f"method={{name: generate, generator: {generator}}}", f"numerics.stack={stack}",
        f"federation.optimizer={optimizer}",
        *(("modalities=[image, vector]", "model.encoders={}") if name in WITHOUT_ENCODER else ()),
    )  # fmt: skip


@pytest.mark.parametrize("stack", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize(
    "name", [name if name in UNALIKE else pytest.param(name, marks=pytest.mark.slow) for name in GENERATORS]
)
def test_every_generator_learns_the_same_through_ray(small, expected, pool, name, stack):
    settings = generates(name, stack)
    found = expected(settings)
    assert small.run(small.trial(*settings), pool()) == found
    if name == "gan":  # whose players' losses need not fall
        return
    losses = [record["validation"]["loss"] for record in found["records"] if "validation" in record]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_stack_of_four_clients_trains_a_generator_as_one_after_another(small, name):
    """To the last digits; by plain steps where it has no optimizer of its own."""
    one, four = (
        small.run(small.trial(*generates(name, stack, "{name: sgd, lr: 0.001}"), "federation.rounds=1"))["weights"]
        for stack in (1, 4)
    )
    assert one.keys() == four.keys()
    for group, weights in one.items():
        np.testing.assert_allclose(
            *(np.frombuffer(w, np.float32) for w in (four[group], weights)), rtol=0, atol=1e-6, err_msg=group
        )


@pytest.mark.parametrize("stack", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("generator", ["mopoe", "mapping"])
def test_what_fills_in_by_a_generator_is_the_same_through_ray(small, expected, pool, generator, stack):
    made = MAPPED if generator == "mapping" else f"{{name: {generator}, {SMALL}}}"
    settings = (
        f"method={{name: vae_fill, draw: sample, generator: {made}}}",
        f"numerics.stack={stack}", "federation.optimizer={name: adam, lr: 0.005}",
    )  # fmt: skip
    assert small.run(small.trial(*settings), pool()) == expected(settings)


def pids(pool):
    return ray.get([actor.__ray_call__.remote(lambda _: os.getpid()) for actor in pool.actors], timeout=60)


def wait_for_new(pool, before):
    for _ in range(600):
        try:
            if pids(pool) != before:
                return
        except RayActorError:
            time.sleep(0.05)
    pytest.fail("the actor did not come back")


@pytest.mark.parametrize("case", [CASES[0], ("federation.algorithm=krum",), ("federation.algorithm=fednova",)])
def test_a_client_actor_that_dies_at_work_changes_no_bit(small, expected, pool, case):
    warm, trial = pool(), small.trial(*case)
    before, waited, doomed = pids(warm), [], []

    def kill(event):
        waited.append(event)
        if isinstance(event, RoundStarted) and event.round == 2:
            os.kill(before[0], signal.SIGSTOP)  # nothing has been sent yet: what it is sent it will not do
            doomed.append(before[0])
        elif event is None and doomed:
            os.kill(doomed.pop(), signal.SIGKILL)

    assert small.run(trial, warm, kill) == expected(case)
    assert pids(warm)[0] != before[0]
    assert pids(warm)[1] == before[1]
    warnings = [event.text for event in waited if isinstance(event, Warned)]
    (warning,) = [text for text in warnings if "is not back yet" not in text]  # which there may be on a busy machine
    assert re.fullmatch(r"round 2, the client actor of clients? [\d, ]+ died; its work is done again", warning)


def test_a_client_actor_that_dies_between_rounds_changes_no_bit(small, expected, pool):
    warm, trial = pool(), small.trial(*CASES[0])

    def kill(event):
        if isinstance(event, RoundFinished) and event.round < 3:
            before = pids(warm)
            os.kill(before[event.round - 1], signal.SIGKILL)
            if event.round == 1:  # once Ray has noticed, the next call reaches a new process, which knows no trial
                wait_for_new(warm, before)

    assert small.run(trial, warm, kill) == expected(CASES[0])
