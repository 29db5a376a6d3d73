"""What a wrong address, token or machine comes to: one line, status 2, soon, and nothing of Ray's on the screen."""

import shutil
import time
from contextlib import contextmanager

import pytest
from lan import address

pytestmark = pytest.mark.netns

HEAD = f"{address(1)}:6379"
SOON_S = 60.0
"""Two to eight seconds on a machine that does nothing else; Ray itself tries for a minute and more."""
LISTEN = "import socket, time; s = socket.create_server(('', 7000)); time.sleep(600)"
OTHER = """
from ray._common.usage import usage_lib
from ray._raylet import GcsClient
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
import json, sys
client = GcsClient(address=sys.argv[1])
there = usage_lib.get_cluster_metadata(client)
there["ray_version"] = sys.argv[2] or there["ray_version"]
key = usage_lib.usage_constant.CLUSTER_METADATA_KEY
client.internal_kv_put(key, json.dumps(there).encode(), True, KV_NAMESPACE_CLUSTER)
"""


def refused(lan, host, given, **environment):
    """What `raysim run` says of a cluster: one line, within the time."""
    command = f"raysim run tests/engine/material/small.yaml --out ~/out --progress plain {given}"
    began = time.monotonic()
    done = lan.run(host, command, **environment)
    assert time.monotonic() - began < SOON_S
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    return line


@contextmanager
def listening(lan, host, command):
    """While a command runs, on a port that it opens."""
    with lan.start(host, f"echo $$; exec {command}") as process:
        number = process.stdout.readline().strip()
        time.sleep(1.0)
        try:
            yield
        finally:
            lan.run(host, f"kill -9 {number}")


def token(lan, host):
    return lan.disk(host) / "home/u/.ray/auth_token"


def test_a_token_that_is_absent_wrong_or_not_asked_for(lan):
    kept = token(lan, 2).read_text()
    token(lan, 2).unlink()
    where = "it must be the head's: in ~/.ray/auth_token, or where RAY_AUTH_TOKEN_PATH says"
    assert refused(lan, 2, f"--address {HEAD}") == f"there is no token for the Ray cluster at '{HEAD}'; {where}"
    token(lan, 2).write_text("0" * 64)
    assert refused(lan, 2, f"--address {HEAD}") == f"the Ray cluster at '{HEAD}' refuses the token; {where}"
    token(lan, 2).write_text(kept)
    expected = f"the Ray cluster at '{HEAD}' asks for a token; export RAY_AUTH_MODE=token, and have the token: {where}"
    assert refused(lan, 2, f"--address {HEAD}", RAY_AUTH_MODE="disabled") == expected


@pytest.mark.slow
def test_a_machine_that_is_no_node_and_has_none(lan):
    lan.join(4)
    shutil.copy(token(lan, 1), token(lan, 4).parent)
    expected = (
        f"no node of the Ray cluster at '{HEAD}' is on this machine; run raysim on one of its nodes, or make this "
        f"machine one: ray start --address={HEAD}"
    )
    assert refused(lan, 4, f"--address {HEAD}") == expected
    assert refused(lan, 4, "", RAY_ADDRESS=HEAD) == expected
    assert refused(lan, 4, "--address auto").startswith("no Ray cluster on this machine; start one (ray start --head)")
    lan.off(4)


@pytest.mark.slow
def test_what_listens_there_is_no_head(lan):
    with listening(lan, 1, f'python -c "{LISTEN}"'), listening(lan, 1, "python -m http.server 8000"):
        for port in (7000, 8000):
            expected = f"what listens at '{address(1)}:{port}' is not the head of a Ray cluster; say the port of its "
            assert refused(lan, 2, f"--address {address(1)}:{port}").startswith(expected)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (f"{address(1)}:1", f"no Ray cluster at '{address(1)}:1': [Errno 111] Connection refused; start it there, or "),
        ("nowhere.invalid:6379", "no Ray cluster at 'nowhere.invalid:6379': [Errno -"),
        (f"ray://{address(1)}:10001", f"'ray://{address(1)}:10001' is for Ray's clients and jobs; give --address auto"),
        (address(1), f"'{address(1)}' is no address of a Ray cluster; say auto, or HOST:PORT of its head"),
    ],
)
def test_an_address_that_leads_nowhere(lan, given, line):
    assert refused(lan, 2, f"--address {given}").startswith(line)


def test_another_version_of_ray(lan):
    def pretend(version):
        (lan.disk(1) / "home/u/other.py").write_text(OTHER)
        done = lan.run(1, f"python ~/other.py {HEAD} '{version}'")
        assert done.returncode == 0, done.stderr

    pretend("2.9.1")
    try:
        line = refused(lan, 2, f"--address {HEAD}")
    finally:
        pretend(lan.run(1, "python -c 'import ray; print(ray.__version__)'").stdout.strip())
    assert line.startswith(f"the Ray cluster at '{HEAD}' runs Ray 2.9.1 on Python ")
    assert line.endswith("; install the same versions on all machines")
