"""A study on several hosts, each with a disk and a network of its own, comes to the same numbers as in one process."""

import pytest
from processes import records

pytestmark = pytest.mark.netns

SETTINGS = ("federation.rounds=2", "seeds=[1]", "numerics.stack=4")


@pytest.mark.parametrize("method", ["feature_imputation"])
def test_bits_do_not_depend_on_hosts(lan, method):
    options = " ".join(f"--set '{setting}'" for setting in SETTINGS)
    study = f"raysim run scenarios/quickstart.yaml --progress plain {options} --set grid.method=[{method}]"
    for out, address in (("alone", ""), ("together", "--address auto")):
        done = lan.run(1, f"{study} --out ~/{out} {address}", timeout_s=200)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    folders = (lan.disk(1) / "home/u" / out for out in ("alone", "together"))
    alone, together = ({f.parent.name: records(f.parent) for f in out.rglob("metrics.jsonl")} for out in folders)
    assert len(alone) == 1
    assert together == alone
