"""Whether a cluster is gone is said by who listens there, not by Ray."""

import socket
import subprocess
import sys
import time

import pytest

from raysim.engine import watch
from raysim.engine.environment import ClusterLost, named
from raysim.engine.knock import NobodyThere, NoCluster, knock, meant

CALLED = """
import sys, time
from raysim.engine import watch
watch.EVERY_S, watch.GRACE_S = 0.05, 0.1
watch._points = lambda: [watch.Point("its head has not answered", ("127.0.0.1", int(sys.argv[1])), 0.1, 0.0)]
with watch.watching("h:1", "raysim run x --resume"):
    time.sleep(60)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_what_listens_is_there_and_what_does_not_is_gone_after_a_time(listener):
    at = listener.getsockname()
    there = watch.Point("x", at, 0.2, time.monotonic() - 10)
    assert not there.gone()
    listener.close()
    assert not there.gone()
    time.sleep(0.25)
    assert there.gone()


def test_a_lost_cluster_is_told_when_it_is_asked_for(listener, monkeypatch):
    monkeypatch.setattr(watch, "EVERY_S", 0.05)
    monkeypatch.setattr(watch, "_points", lambda: [watch.Point("its head", listener.getsockname(), 0.1, 0.0)])
    with watch.watching("h:1", "raysim run x --resume") as check:
        time.sleep(0.3)
        check()
        listener.close()
        until = time.monotonic() + 10
        with pytest.raises(ClusterLost) as told:  # noqa: PT012 - some time after it is gone
            while time.monotonic() < until:
                check()
                time.sleep(0.05)
    line = "the Ray cluster at 'h:1' is lost: its head; go on, once it is there: raysim run x --resume"
    assert str(told.value) == line


def test_where_nobody_asks_the_process_ends_with_the_command_to_go_on(listener):
    port = listener.getsockname()[1]
    listener.close()
    done = subprocess.run([sys.executable, "-c", CALLED, str(port)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert done.stderr.endswith("its head has not answered; go on, once it is there: raysim run x --resume\n")


def test_a_cluster_of_our_own_is_not_watched():
    with watch.watching(None, "") as check:
        assert check is watch.always_there


@pytest.mark.parametrize(
    ("given", "environment", "meant"),
    [
        (None, {}, None),
        ("local", {}, None),
        ("auto", {}, "auto"),
        (None, {"RAY_ADDRESS": "h:1"}, "h:1"),
        ("auto", {"RAY_ADDRESS": "h:1"}, "h:1"),
        ("g:1", {"RAY_ADDRESS": "h:1"}, "g:1"),
        (None, {"RAY_ADDRESS": ""}, None),
        (None, {"RAY_ADDRESS": "local"}, None),
        (None, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, "auto"),
        (None, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_ADDRESS": "h:1"}, "h:1"),
    ],
)
def test_the_cluster_that_is_meant(given, environment, meant, monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert named(given) == meant


def test_a_cluster_that_ray_address_alone_names_and_that_is_gone_is_none(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    address, warning = meant(None)
    assert address is None
    assert warning.startswith("RAY_ADDRESS: no Ray cluster at '127.0.0.1:1': [Errno 111] Connection refused; start it")
    assert warning.endswith(", or unset it; until then Ray is started here, on this machine alone")
    assert meant("local") == (None, "")
    assert meant("auto") == ("127.0.0.1:1", "")  # it was asked for: who reaches it will say what is wrong
    with pytest.raises(NobodyThere):
        knock("127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "h:port")
    with pytest.raises(NoCluster, match="'h:port' is no address"):
        meant(None)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001", "127.0.0.1", "h:port", ":1", "h:99999"]
)
def test_an_address_of_another_kind_is_one_line(address):
    with pytest.raises(NoCluster, match=f"'{address}'") as told:
        knock(address)
    assert "\n" not in str(told.value)
