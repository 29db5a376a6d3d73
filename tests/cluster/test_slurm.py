"""The SLURM script, from its first line to a finished study on two hosts; srun and scontrol are stand-ins."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lan import Lan, obstacle
from processes import records

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SCONTROL = """#!/bin/sh
[ "$1 $2 $3" = "show hostnames node[1-2]" ] && printf 'node1\\nnode2\\n'
"""
SRUN = """#!/bin/bash
# As srun: on this host by --nodelist, else by the test on the other one, with all that is exported here.
here=no
while [[ $1 == --* ]]; do
  case $1 in
    --nodelist=node1) here=yes ;;
    --nodes=1 | --ntasks=1 | --overlap | --exclude=node1) ;;
    *) echo "srun: unknown option $1" >&2; exit 1 ;;
  esac
  shift
done
[ $here = yes ] && exec "$@"
{ export -p | grep -v -e ' PATH=' -e ' HOME='; printf '%q ' "$@"; } >~/step.tmp
mv ~/step.tmp ~/step
exec sleep 600
"""
JOB = {"SLURM_JOB_ID": "123", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "1"}
STUDY = "tests/engine/material/small.yaml --set federation.rounds=2"


@pytest.fixture(scope="module")
def hosts():
    if reason := obstacle():
        pytest.skip(reason)
    with Lan(2) as made:
        bin_ = made.disk(1) / "home/u/bin"
        bin_.mkdir()
        for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
            (bin_ / name).write_text(text)
            (bin_ / name).chmod(0o755)
        yield made


def test_a_job_on_two_nodes_ends_with_a_finished_study(hosts):
    home = hosts.disk(1) / "home/u"
    path = f"/home/u/bin:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    command = f"bash cluster/slurm.sbatch {STUDY}"
    with hosts.start(1, command, PATH=path, OUT="/home/u/out", **JOB) as job:
        until = time.monotonic() + 120
        while not (home / "step").exists() and job.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        step = (home / "step").read_text() if (home / "step").exists() else "false"
        with subprocess.Popen(hosts.command(2, step), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            try:
                said, errors = job.communicate(timeout=300)
            finally:
                job.kill()
                worker.kill()
    assert job.returncode == 0, said + errors
    assert "(2 cores, no GPU, 2 nodes)" in said
    assert "2 actors" in said
    assert len(records(home / "out/small/seed=0")) == 2


def test_the_script_is_read_by_bash_and_asks_slurm_for_what_it_uses():
    script = Path(__file__).parents[2] / "cluster/slurm.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    wanted = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --ntasks-per-node=1" in wanted
    assert "#SBATCH --signal=B:TERM@120" in wanted
    assert os.access(script, os.R_OK)
