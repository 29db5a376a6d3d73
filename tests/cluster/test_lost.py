"""A cluster that goes away while a study runs: the last line is the command to go on."""

import time

import pytest
from lan import Lan, obstacle

pytestmark = [pytest.mark.netns, pytest.mark.slow]

STUDY = "raysim run tests/engine/material/small.yaml --set federation.rounds=100000"
BEGAN_S, ENDS_S = 200.0, 75.0
"""Ray itself gives up after 60 s."""


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("kill -9 $(pgrep -x gcs_server)", "its head has not answered for 45 s"),
        ("kill -9 $(pgrep -x raylet)", "Ray on this machine has ended"),
    ],
    ids=["head", "node"],
)
def test_the_command_to_go_on_is_said(death, reason):
    if why := obstacle():
        pytest.skip(why)
    with Lan(1) as lan:
        lan.ray(1, "--num-cpus=2")
        with lan.start(1, f"{STUDY} --address auto --out ~/out --progress plain 2>&1") as process:
            try:
                until = time.monotonic() + BEGAN_S
                while "round 1/" not in (line := process.stdout.readline()):
                    assert line, "the study has ended"
                    assert time.monotonic() < until
                lan.run(1, death)
                killed = time.monotonic()
                said, _ = process.communicate(timeout=ENDS_S * 2)
            finally:
                process.kill()
        assert time.monotonic() - killed < ENDS_S
        assert process.returncode == 1
        [*_, last] = said.splitlines()
        go_on = f"{STUDY} --address auto --progress plain --out /home/u/out --resume"
        assert last == f"the Ray cluster at 'auto' is lost: {reason}; go on, once it is there: {go_on}"
