"""How much memory a run of raysim takes in all: the sum of proportional set sizes over its processes.

As a command it watches one: `python tests/helpers/memory.py run scenarios/quickstart.yaml --out FOLDER`.
"""

import re
import shutil
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from processes import Marked

KINDS = ("Pss_Anon", "Pss_File", "Pss_Shmem")
"""Private, mapped files (the system may drop those pages and read them again), and shared memory."""
MB = 2**20
EVERY_S = 1.0


def pss(pid):
    """Kind -> bytes of one process: what it shares with n others counts as an n-th."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    return Counter({kind: table[kind] for kind in KINDS})


def role(command):
    """A short name of a process by its command line."""
    if command.startswith("ray::"):
        return command.split()[0].split(".")[0]
    known = ("gcs_server", "raylet", "dashboard/agent", "runtime_env/agent", "default_worker", "setup_worker")
    return next((name for name in known if name in command), "driver")


def taken(marked):
    """Role -> kind -> bytes of all processes of a run, by now."""
    found = {}
    for pid, command in marked.processes().items():
        with suppress(OSError, IndexError):  # ended just now
            found[role(command)] = found.get(role(command), Counter()) + pss(pid)
    return found


def total(roles):
    """Bytes of all kinds and roles together."""
    return sum(sum(kinds.values()) for kinds in roles.values())


class Watch:
    """Looks at a run's memory again and again, from a thread, until it is closed.

    Attributes:
        curve: (seconds, newest line of the run, role -> kind -> bytes) each time.
    """

    def __init__(self, marked):
        self.marked, self.curve, self.line = marked, [], ""
        self._over, self._began = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._over.wait(EVERY_S):
            self.curve.append((time.monotonic() - self._began, self.line, taken(self.marked)))

    def close(self):
        self._over.set()
        self._thread.join()

    def most(self):
        """(seconds, line, roles) when it was most."""
        return max(self.curve, key=lambda at: total(at[2]))


def main():
    marked = Marked()
    watch = Watch(marked)
    with marked.start(*sys.argv[1:]) as process:
        for line in process.stdout:
            watch.line = line.rstrip()
        sys.stderr.write(process.stderr.read())
    watch.close()
    lines = []
    for seconds, line, roles in watch.curve:
        said = re.search(r"round \d+/\d+", line)
        lines.append(f"{seconds:6.1f} s  {total(roles) / MB:7.0f} MB  {said.group() if said else ''}")
    lines.append("\nat most, MB:")
    for name, kinds in sorted(watch.most()[2].items()):
        lines.append(f"{name:20}" + "".join(f"{kind[4:]:>8}{kinds[kind] / MB:7.1f}" for kind in KINDS))
    sys.stdout.write("\n".join([*lines, ""]))
    shutil.rmtree(marked.folder, ignore_errors=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
