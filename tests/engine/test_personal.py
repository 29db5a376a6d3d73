"""Clients judged by networks of their own on Ray: the same bits as in process, whatever dies meanwhile."""

import shutil
from pathlib import Path

import pytest
from processes import outcome

from raysim.report.events import ClientsScored, TrialFinished

pytestmark = pytest.mark.ray

MATERIAL = Path(__file__).parent / "material"
OWN = (
    "method={name: blossom, scheme: private_head_and_fusion}", "model.fusion={name: attention, hidden: 4, heads: 1}",
    "evaluation={clients: {share: 0.4, most: 5}}", "numerics.evaluation_batch=7", "federation.batch_size=4",
)  # fmt: skip
DIES = """import os
from pathlib import Path

from methods.blossom import Blossom


class Sound(Blossom):
    def predict(self, nets, batch):
        if batch.clock.round == 2 and not batch.clients:
            self.trouble()
        return super().predict(nets, batch)

    def trouble(self):
        pass


class Dies(Sound):
    def trouble(self):
        mark = Path(__file__).with_name("dead")
        if not mark.exists():
            mark.touch()
            os._exit(1)
"""


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("personalise", [0, 1])
def test_the_same_is_said_through_ray(small, local_ray, stack, personalise):
    said = []

    def watch(event):
        if isinstance(event, TrialFinished):
            said.append({name: event.summary[name] for name in ("round", "by_client", "clients", "splits")})
        elif isinstance(event, ClientsScored):
            said.append(str(event))

    more = f"numerics.stack={stack}", f"evaluation.clients.personalise={personalise}"
    found = small.same_on_ray(small.trial(*OWN, *more), watch)
    assert all("by_client" in record and "validation" not in record for record in found["records"])
    assert len({state["private/task.head"] for state in found["states"].values()}) == len(found["states"]) > 4
    assert all(("test_personal" in record["by_client"]) == bool(personalise) for record in found["records"])
    assert len(said) == 4
    assert said[:2] == said[2:]


def options(*settings):
    return [word for setting in (*OWN, *settings) for word in ("--set", setting)]


def study(marked, *words):
    for name in ("ray_material.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    return ("run", "small.yaml", "--progress", "plain", *words)


@pytest.mark.slow
def test_an_actor_that_dies_is_asked_again_with_the_same_networks(marked):
    (marked.folder / "own.py").write_text(DIES)
    found = {}
    for kind in ("Sound", "Dies"):
        method = f"method={{name: 'own:{kind}', scheme: private_head}}"
        status, out, err = marked.run(*study(marked, *options(method, "placement.actors=2"), "--out", kind))
        assert (status, err) == (0, "")
        assert ("died; its work is done again" in out) == (kind == "Dies")
        found[kind] = outcome(marked.folder / kind)
    assert found["Dies"] == found["Sound"]


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on_with_what_clients_had(marked):
    more = options("federation.rounds=60", "federation.clients_per_round=2", "federation.checkpoint.every_rounds=3")
    assert marked.run(*study(marked, *more, "--out", "whole"))[0] == 0
    with marked.start(*study(marked, *more, "--out", "killed")) as process:
        assert any("round 30/60" in line for line in process.stdout)
        process.kill()
        process.communicate()
    status, out, _ = marked.run("run", "small.yaml", *more, "--out", "killed", "--resume", "--progress", "plain")
    assert status == 0
    assert "goes on" in out
    whole, again = (outcome(marked.folder / name) for name in ("whole", "killed"))
    assert again == whole
