"""Kills the Ray of a host at random times, in the middle of studies, and says how long the studies stood still.

As a command, as root on Linux: `python tests/cluster/kills.py --kills 20 [--cut [--mend S]] [--seed N]`. Dead hosts are
replaced.
"""

import argparse
import random
import re
import shlex
import sys
import threading
import time
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from lan import Lan, address
from processes import records

ALGORITHMS = ("fedavg", "scaffold")
SETTINGS = ("federation.clients_per_round=all", "federation.checkpoint.every_rounds=5", "model.dim=192",
            "model.head.hidden=384", "numerics.stack=1")  # fmt: skip
"""An answer has some megabytes, so that some kills fall into its travel."""
MANY = 100_000
HUNG_S = 200.0
WATCH = """
import time, ray
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
while True:
    print(",".join(n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]), flush=True)
    time.sleep(0.1)
"""


class Lines:
    """What a process prints, each line with its time."""

    def __init__(self, process):
        self.process, self.found = process, []
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        self.errors = []
        threading.Thread(target=self.errors.extend, args=(process.stderr,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self.found.append((time.monotonic(), line.rstrip()))

    def rounds(self, since=0.0):
        """When rounds were over."""
        return [at for at, line in list(self.found) if at > since and re.search(r"round \d+/", line)]


class Kills:
    """Studies on three hosts whose second or third is killed again and again."""

    def __init__(self, lan, seed, *, cut, mend_s, tell):
        self.lan, self.random, self.cut, self.mend_s, self.tell, self.took = (
            lan,
            random.Random(seed),
            cut,
            mend_s,
            tell,
            [],
        )
        for host in (1, 2, 3):
            lan.ray(host, "--num-cpus=1")
        self.nodes = Lines(lan.start(1, f"exec python -c {shlex.quote(WATCH)}"))
        self.until(lambda: self.nodes.found)

    def command(self, algorithm, rounds, out):
        settings = (*SETTINGS, f"federation.algorithm={algorithm}", f"federation.rounds={rounds}")
        options = " ".join(f"--set '{setting}'" for setting in settings)
        return f"exec raysim run tests/engine/material/small.yaml --progress plain --out ~/{out} {options}"

    def study(self, number, algorithm, kills):
        """A study with some kills, which is stopped after the last; whether it went well, and has the right records."""
        study = Lines(self.lan.start(1, f"{self.command(algorithm, MANY, f'out{number}')} --address auto"))
        for _ in range(kills):
            since = study.found[-1][0] if study.found else 0.0
            self.until(lambda since=since: len(study.rounds(since)) >= 3)
            if not self.kill(study, algorithm):
                study.process.kill()
                return False
        self.lan.run(1, f"raysim stop ~/out{number}")
        status, errors = study.process.wait(HUNG_S), "".join(study.errors)
        found = self.records(f"out{number}")
        done = self.lan.run(1, self.command(algorithm, len(found), f"alone{number}"), timeout_s=1800)
        same = found == self.records(f"alone{number}")
        self.tell(
            f"study {number}, {algorithm}: status {status}, {len(found)} rounds, {'same bits' if same else 'OTHER'}"
        )
        well = (status, done.returncode) == (130, 0) and same and "Traceback" not in errors
        if not well:
            self.tell(f"{errors[-3000:]}{done.stderr[-1000:]}")
        return well

    def records(self, out):
        return records(self.lan.disk(1) / f"home/u/{out}/small/seed=0")

    def kill(self, study, algorithm):
        """One kill, and what follows from it."""
        host = self.random.choice((2, 3))
        actor = "pgrep -f '^ray::Client.train'"
        self.until(lambda: not self.lan.run(host, actor).returncode or study.process.poll() is not None)
        rounds = study.rounds()
        if study.process.poll() is not None:
            return True
        time.sleep(self.random.uniform(0.0, 1.5 * (rounds[-1] - rounds[-3]) / 2))
        began, seen = time.monotonic(), len(study.found)
        if self.cut:
            self.lan.cut(host)
        else:
            self.lan.kill(host, "raylet")
        if self.mend_s:
            return self.mended(study, algorithm, host, seen)
        gone = self.until(lambda: address(host) not in self.nodes.found[-1][1].split(","))
        noticed = time.monotonic()
        well = gone and self.until(lambda: len(study.rounds(noticed)) > 1 or study.process.poll() is not None)
        now = time.monotonic()
        said = [line.partition("warning: ")[2] for _, line in study.found[seen:] if "warning" in line]
        self.took.append(now - noticed)
        times = f"noticed after {noticed - began:.1f} s, two rounds done {now - noticed:.1f} s later"
        self.tell(f"{algorithm}, host {host}: {times}{'' if well else ', HUNG'}; {' | '.join(said)}")
        self.lan.off(host)
        self.lan.join(host)
        self.lan.ray(host, "--num-cpus=1")
        return well

    def mended(self, study, algorithm, host, seen):
        """The link is put back, and nobody need have noticed."""
        time.sleep(self.mend_s)
        self.lan.mend(host)
        mended = time.monotonic()
        well = self.until(lambda: len(study.rounds(mended)) > 1 or study.process.poll() is not None)
        self.took.append(time.monotonic() - mended)
        said = [line.partition("warning: ")[2] for _, line in study.found[seen:] if "warning" in line]
        times = f"cut for {self.mend_s:g} s, two rounds done {self.took[-1]:.1f} s later{'' if well else ', HUNG'}"
        self.tell(f"{algorithm}, host {host}: {times}; {' | '.join(said)}")
        return well

    def until(self, true):
        """Waits; False where it took too long."""
        end = time.monotonic() + HUNG_S
        while not true():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kills-a-study", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cut", action="store_true", help="cut the link for ever instead")
    parser.add_argument("--mend", type=float, default=0.0, help="with --cut: seconds after which it is put back")
    parser.add_argument("--rate", default="100mbit")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    given = parser.parse_args()
    with Lan(3, given.rate) as lan:
        kills = Kills(lan, given.seed, cut=given.cut, mend_s=given.mend, tell=lambda text: print(text, flush=True))  # noqa: T201
        well = True
        for number, algorithm in enumerate(cycle(given.algorithms), 1):
            if (left := given.kills - len(kills.took)) <= 0:
                break
            well = kills.study(number, algorithm, min(left, given.kills_a_study)) and well
    print(f"{len(kills.took)} deaths, the longest stop {max(kills.took):.1f} s after that; all well: {well}")  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
