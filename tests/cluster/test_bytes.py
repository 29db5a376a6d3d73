"""What a round brings over the links: one copy of the networks to each node, one of the sums from it."""

import math

import pytest
from processes import records
from safetensors import safe_open

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = (
    "seeds=[1]", "dataset.copies=1", "federation.local_epochs=1", "numerics.stack=1",
    "evaluation.every_rounds=1",
)  # fmt: skip
METHODS = {
    "fedavg": ("zero_fill", 2048),
    "fedrecon": ("{name: mvae_mapping, latent: 32, map_hidden: 256, channels: [8]}", 512),
}
"""Each with the model's width. All nodes' sums of the first one's 10 million parameters take the head's link 13 s."""
FEW, MORE = 1, 3
DOWN, UP, MOST = 4, 8, 1.15
"""Bytes of a parameter, and how much more there may be."""


def study(lan, name, actors, rounds):
    """Runs one; returns its records, the parameters, and host -> the bytes that it sent and got."""
    out, before = f"{name}-{actors}-{rounds}", lan.bytes()
    method, width = METHODS[name]
    settings = (
        *SETTINGS, f"grid.method=[{method}]", f"model.dim={width}", f"federation.rounds={rounds}",
        f"placement.actors={actors}",
    )  # fmt: skip
    options = " ".join(f"--set '{setting}'" for setting in settings)
    command = f"raysim run scenarios/quickstart.yaml --address auto --progress plain --out ~/{out} {options}"
    done = lan.run(1, command, timeout_s=400)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = {f.parent for f in (lan.disk(1) / "home/u" / out).rglob("metrics.jsonl")}
    (model,) = folder.glob("*.safetensors")
    with safe_open(model, "numpy") as kept:
        parameters = sum(math.prod(kept.get_slice(name).get_shape()) for name in kept.keys())  # noqa: SIM118
    moved = {host: sum(after) - sum(before[host]) for host, after in lan.bytes().items()}
    return records(folder), parameters, moved


@pytest.mark.parametrize("name", METHODS)
def test_several_actors_of_a_node_cost_no_more_than_one(lan, name):
    shares, known = {}, []
    for actors in (3, 6):
        _, _, few = study(lan, name, actors, FEW)
        done, parameters, more = study(lan, name, actors, MORE)
        known.append(done)
        for host in (2, 3):
            shares[actors, host] = (more[host] - few[host]) / (MORE - FEW) / ((DOWN + UP) * parameters)
    assert known[0] == known[1]
    assert all(share <= MOST for share in shares.values()), shares
