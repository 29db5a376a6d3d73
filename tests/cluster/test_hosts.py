"""A study on several hosts, each with a disk and a network of its own, comes to the numbers of one host."""

import json

import pytest
from processes import records
from sizes import SMALL

pytestmark = pytest.mark.netns

STUDY = "tests/engine/material/small.yaml"


def words(method, algorithm):
    options = ", ".join(f"{key}: {value}" for key, value in {"name": method, **SMALL[method]}.items())
    said = (f"method={{{options}}}".replace("'", ""), f"federation.algorithm={algorithm}", "numerics.stack=auto")
    return " ".join(f"--set '{setting}'" for setting in said)


@pytest.mark.parametrize(
    ("method", "algorithm"),
    [
        ("feature_imputation", "scaffold"),
        pytest.param("mvae_mapping", "fedavg", marks=pytest.mark.slow),
        pytest.param("vae_fill", "fedavg", marks=pytest.mark.slow),
    ],
)
def test_bits_do_not_depend_on_hosts(lan, method, algorithm):
    study = f"raysim run {STUDY} --progress plain {words(method, algorithm)}"
    found = []
    for hosts, address in ((1, "local"), (2, "auto"), (3, "auto")):
        out = f"{method}-{hosts}"
        where = f"--out ~/{out} --address {address} --set placement.actors={hosts}"
        done = lan.run(1, f"{study} {where}", timeout_s=200)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        (path,) = (lan.disk(1) / "home/u" / out).rglob("metrics.jsonl")
        found.append(records(path.parent))
        plan = json.loads((lan.disk(1) / "home/u" / out / "plan.json").read_text())
        assert sum(node["clients"] > 0 for node in plan["nodes"]) == hosts
    alone, *together = found
    assert len(alone) == 3
    assert together == [alone, alone]
