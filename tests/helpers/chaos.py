"""Kills processes of studies at random until they have finished in spite of that, and compares what came out.

As a command: `python tests/helpers/chaos.py --kills 100 [--seed N] [SCENARIO]`.
"""

import argparse
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from processes import Marked, outcome

SCENARIO = Path(__file__).parents[1] / "engine" / "material" / "chaos.yaml"
KINDS = ("Client", "Server", "driver")
MOST_A_STUDY = 12
LONGEST_S = 6.0
"""Between kills, or an eighth of what a study takes where that is longer: on a busy machine actors start late."""
LIMIT_S = 1800
"""No study of the default scenario takes longer, however much of it is done again."""


class Chaos:
    """Studies of one scenario that are disturbed.

    Attributes:
        kills: what was killed, how often.
    """

    def __init__(self, scenario, seed):
        self.scenario, self.random, self.kills = scenario.resolve(), random.Random(seed), Counter()
        self.marked, self.longest_s = Marked(), LONGEST_S

    def start(self, out, *options):
        with (self.marked.folder / "log").open("ab") as log:
            return self.marked.start(
                "run", self.scenario, "--out", out, "--progress", "plain", *options, stdout=log, stderr=log
            )

    def undisturbed(self):
        """What comes out without a kill."""
        out, began = self.marked.folder / "undisturbed", time.monotonic()
        assert self.start(out).wait(LIMIT_S) == 0, self.log()
        self.longest_s = max(LONGEST_S, (time.monotonic() - began) / 8)
        return outcome(out)

    def disturbed(self, number, most):
        """What comes out with at most so many kills; started again whenever the driver was killed."""
        out = self.marked.folder / f"out{number}"
        shutil.rmtree(self.marked.folder / "cache", ignore_errors=True)  # judges learn once more
        driver, end = self.start(out), time.monotonic() + LIMIT_S
        while driver.poll() is None:
            assert time.monotonic() < end, self.log()
            pause = time.monotonic() + self.random.uniform(0.2, self.longest_s)
            while driver.poll() is None and time.monotonic() < pause:
                time.sleep(0.02)
            kind = self.random.choice(KINDS)
            begun = most > 0 and driver.poll() is None and (out / "study.json").exists()
            victims = ([driver.pid] if kind == "driver" else self.marked.actors(kind)) if begun else []
            if victims:
                with suppress(ProcessLookupError):
                    os.kill(self.random.choice(victims), signal.SIGKILL)
                    self.kills[kind] += 1
                    most -= 1
                if kind == "driver":
                    driver.wait()
                    driver = self.start(out, "--resume")
        assert driver.returncode == 0, self.log()
        return outcome(out)

    def log(self):
        """The end of what the studies have printed."""
        return (self.marked.folder / "log").read_text(errors="replace")[-5000:]


def run(kills, seed, scenario=SCENARIO, tell=lambda text: None):
    """Kills that many processes and asserts that it changes nothing; returns the number of studies and the kills."""
    chaos = Chaos(scenario, seed)
    try:
        expected, studies = chaos.undisturbed(), 0
        while (left := kills - chaos.kills.total()) > 0:
            studies += 1
            same = chaos.disturbed(studies, min(left, MOST_A_STUDY)) == expected
            tell(f"study {studies}: {dict(chaos.kills)} killed so far, {'same bits' if same else 'DIFFERENT'}")
            assert same, f"seed {seed}, study {studies}: another outcome"
        return studies, chaos.kills
    finally:
        chaos.marked.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scenario", nargs="?", type=Path, default=SCENARIO)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    studies, kills = run(given.kills, given.seed, given.scenario, lambda text: print(text, flush=True))  # noqa: T201
    print(f"{kills.total()} kills ({dict(kills)}) in {studies} studies, and all came out as without")  # noqa: T201


if __name__ == "__main__":
    main()
