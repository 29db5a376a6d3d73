"""No other machine reaches a local cluster: all that listens of it does so on the loopback interface."""

import ipaddress
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import ray
from processes import family

from raysim.engine.session import cluster

pytestmark = [pytest.mark.ray, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

PROC = Path("/proc")
LISTENS = "0A"
AGENT_IS_UP = {"env_vars": {"RAYSIM_TEST": "1"}}  # only with a runtime environment does a worker wait for the agent


def address(text):
    """The one in an entry of /proc/net/tcp or tcp6, which has words in the machine's order of bytes."""
    host, _ = text.split(":")
    words = [bytes.fromhex(host[i : i + 8]) for i in range(0, len(host), 8)]
    ip = ipaddress.ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
    return getattr(ip, "ipv4_mapped", None) or ip


def listening():
    """(process, its command, address) for each TCP socket on which one of the family listens."""
    lines = [line for name in ("tcp", "tcp6") for line in (PROC / "net" / name).read_text().splitlines()[1:]]
    sockets = {f"socket:[{c[9]}]": address(c[1]) for c in map(str.split, lines) if c[3] == LISTENS}
    found = []
    for pid in family():
        with suppress(OSError):  # the process ended meanwhile
            command, *_ = (PROC / str(pid) / "cmdline").read_text().split("\0")
            for file in (PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):  # it was closed meanwhile
                    if (target := str(file.readlink())) in sockets:
                        found.append((pid, Path(command.strip()).name, sockets[target]))
    return found


@ray.remote(num_cpus=0)
class Actor:
    def pid(self):
        return os.getpid()


def test_a_local_cluster_listens_on_loopback_only():
    with cluster(None):
        actors = [Actor.remote(), Actor.options(runtime_env=AGENT_IS_UP).remote()]
        pids = ray.get([actor.pid.remote() for actor in actors], timeout=60)
        found = listening()
    assert {os.getpid(), *pids} <= {pid for pid, _, _ in found}
    assert {"gcs_server", "raylet"} <= {command for _, command, _ in found}
    assert [entry for entry in found if not entry[2].is_loopback] == []
