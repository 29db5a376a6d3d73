"""Hosts on this machine: network namespaces with links between them, disks, processes and shared memory of their own.

Each host sees this checkout and its environment at the same path, as a copy of its own: what is edited there, no other
host sees. Needs Linux, root, iproute2 and util-linux. Nothing is added to the machine's own network: the switch, too,
has a namespace of its own.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NETWORK = "10.77.0"
PORT = 6379
SLOW_LINKS = '{"object_manager_pull_timeout_ms": 30000}'
"""As cluster/README.md has it: after 10 s Ray would send once more what is still on its way."""
BURST = ("burst", "256kb", "latency", "400ms")
READY_S = 10.0
_BIRTH = """
set -e
hostname "node$0"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" "$1/repo"
mount --bind "$1/repo" "$2"
mount --bind "$1/ray" /tmp/ray
mount --bind "$1/home" /home
trap "" CHLD # an ignored signal survives exec: the kernel buries dead children of process 1
touch "$1/ready"
exec sleep infinity
"""


def obstacle() -> str:
    """Why there can be no hosts here; empty where there can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "hosts need root on Linux"
    if missing := [tool for tool in ("ip", "tc", "nsenter", "unshare") if shutil.which(tool) is None]:
        return f"hosts need {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True)
    return "" if tried.returncode == 0 else "namespaces are not allowed here"


class Lan:
    """Some hosts on a switch, numbered from 1; host i has the address 10.77.0.i. A context manager, which ends them.

    Args:
        hosts: how many.
        rate: of each link, both ways, in the words of tc (`100mbit`); None for no limit.
    """

    def __init__(self, hosts: int, rate: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lan", dir="/tmp"))  # short: Ray's sockets lie below
        self._name, self._rate = self.folder.name, rate
        self._pids: dict[int, int] = {}
        self._born: dict[int, subprocess.Popen[bytes]] = {}
        _ip("netns", "add", self._name)
        self._switch("link", "add", "br0", "type", "bridge")
        self._switch("link", "set", "br0", "up")
        for host in range(1, hosts + 1):
            self.join(host)

    def __enter__(self) -> "Lan":
        return self

    def __exit__(self, *_: object) -> None:
        for host in list(self._pids):
            self.off(host)
        _ip("netns", "del", self._name)
        shutil.rmtree(self.folder)

    def join(self, host: int) -> None:
        """A host comes up, new, with an empty home."""
        name, disk = f"{self._name}-{host}", self.disk(host)
        _ip("netns", "add", name)
        _ip("link", "add", "veth0", "netns", name, "type", "veth", "peer", "name", f"p{host}", "netns", self._name)
        self._switch("link", "set", f"p{host}", "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"{address(host)}/24", "dev", "veth0")
        for device in ("veth0", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        if self._rate is not None:
            for space, device in ((name, "veth0"), (self._name, f"p{host}")):
                shaped = ("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", self._rate, *BURST)
                _ip("netns", "exec", space, *shaped)
        for part in ("up", "work", "repo", "ray", "home/u/.ray"):
            (disk / part).mkdir(parents=True)
        Path("/tmp/ray").mkdir(exist_ok=True)
        spaces = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--propagation", "private")
        born = ("setsid", "unshare", *spaces, "bash", "-c", _BIRTH, str(host), str(disk), str(REPOSITORY))
        with (disk / "log").open("wb") as log:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self._born[host] = subprocess.Popen(("ip", "netns", "exec", name, *born), **quiet)
        until = time.monotonic() + READY_S
        while not (disk / "ready").exists():
            assert time.monotonic() < until, (disk / "log").read_text()
            time.sleep(0.05)
        while not (first := [pid for pid in _pids(name) if _is_first(pid)]):
            assert time.monotonic() < until, f"host {host} has no process 1"
        self._pids[host] = first[0]

    def disk(self, host: int) -> Path:
        """Where a host's disk is seen from here: `home/u` is its home, `repo` its checkout."""
        return self.folder / str(host)

    def command(self, host: int, command: str, **environment: str) -> Sequence[str]:
        """What runs a shell's command on a host, in its checkout."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        known = {"HOME": "/home/u", "LANG": "C.UTF-8", "TERM": "dumb", "PATH": path, "RAY_AUTH_MODE": "token"}
        known |= {"OMP_NUM_THREADS": "1", **environment}
        inside = ("nsenter", "-t", str(self._pids[host]), "-n", "-m", "-u", "-i", "-p", "--", "env", "-i")
        words = (*inside, *(f"{name}={value}" for name, value in known.items()))
        return (*words, "bash", "-c", f"cd {shlex.quote(str(REPOSITORY))}; {command}")

    def start(self, host: int, command: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command on a host; output and errors are its pipes."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(host, command, **environment), text=True, **pipes)

    def run(
        self, host: int, command: str, *, timeout_s: float = 120.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on a host to its end, whatever its status."""
        with self.start(host, command, **environment) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def ray(self, host: int, *options: str, **environment: str) -> None:
        """Starts Ray on a host: host 1 is the head, whose token the others have."""
        token = self.disk(1) / "home/u/.ray/auth_token"
        if host == 1:
            self._done(1, "ray get-auth-token --generate", **environment)
            where = (
                f"--head --node-ip-address={address(1)} --port={PORT} --include-dashboard=false --disable-usage-stats "
                f"--system-config='{SLOW_LINKS}'"
            )
        else:
            shutil.copy(token, self.disk(host) / "home/u/.ray")
            where = f"--address={address(1)}:{PORT}"
        self._done(host, f"ray start {where} {' '.join(options)}", **environment)

    def kill(self, host: int, pattern: str) -> None:
        """Kills a host's processes (SIGKILL) whose name is the pattern."""
        self._done(host, f"kill -9 $(pgrep -x {pattern})")

    def cut(self, host: int) -> None:
        """Pulls a host's cable."""
        self._switch("link", "set", f"p{host}", "down")

    def mend(self, host: int) -> None:
        """Puts it back."""
        self._switch("link", "set", f"p{host}", "up")

    def off(self, host: int) -> None:
        """Pulls the plug: no goodbye on the wire, and the disk is gone. The number may join again."""
        self.cut(host)
        os.kill(self._pids.pop(host), signal.SIGKILL)
        name = f"{self._name}-{host}"
        self._born.pop(host).wait()
        while _pids(name):
            time.sleep(0.05)
        _ip("netns", "del", name)
        with suppress(subprocess.CalledProcessError):  # it has gone with its peer
            self._switch("link", "del", f"p{host}")
        shutil.rmtree(self.disk(host))

    def bytes(self) -> dict[int, tuple[int, int]]:
        """Host -> bytes that it has sent, and that came to it."""
        command = ("ip", "-n", self._name, "-s", "-j", "link")
        links = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        counted = {link["ifname"]: link["stats64"] for link in links}
        return {i: (counted[f"p{i}"]["rx"]["bytes"], counted[f"p{i}"]["tx"]["bytes"]) for i in self._pids}

    def _done(self, host: int, command: str, **environment: str) -> None:
        done = self.run(host, command, **environment)
        assert done.returncode == 0, f"host {host}: {command}: {done.stdout}{done.stderr}"

    def _switch(self, *words: str) -> None:
        _ip("-n", self._name, *words)


def address(host: int) -> str:
    """A host's IP address."""
    return f"{NETWORK}.{host}"


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


def _pids(name: str) -> list[int]:
    """The processes of a network namespace."""
    found = subprocess.run(("ip", "netns", "pids", name), capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid in found.split()]


def _is_first(pid: int) -> bool:
    """Whether a process is process 1 of its namespace."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    return False
