"""The peak of a trial is its own: what an earlier one has left in the process does not count. What a process keeps."""

import subprocess
import sys

import pytest

HELD = """
def mb(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(kind))
"""
CODE = """
import numpy as np
from raysim.engine.client import forget_peak
from raysim.engine.heap import give_back, keep_memory
from raysim.simulation.executor import peak_bytes

keep_memory()
before = peak_bytes()
large = [np.ones(1 << 17) for _ in range(300)]  # 1 MiB each: from the heap, which is kept
first = peak_bytes() - before
del large
forget_peak()
kept = peak_bytes() - before
give_back()
forget_peak()
second = peak_bytes() - before
print(first >> 20, kept >> 20, second >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_an_earlier_trial_is_not_counted():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, kept, second = map(int, done.stdout.split())
    assert first > 250
    assert kept > 200  # without giving back, the earlier trial's memory would count
    assert second < 30


READ = """
from raysim.engine.heap import give_back
import torch

before = mb("RssFile")
give_back()
print(before, mb("RssFile"), int(torch.ones(3) @ torch.ones(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has")
def test_code_that_was_read_once_is_let_go_and_comes_back():
    done = subprocess.run([sys.executable, "-c", HELD + READ], capture_output=True, text=True, check=True)
    before, after, product = map(int, done.stdout.split())
    assert after < before / 2
    assert product == 3


AFTER = """
from types import SimpleNamespace
import numpy as np
from raysim.engine import client, heap
from raysim.engine.voices import Ear

class Trainer:
    def train(self, *_):
        made = [np.ones(1 << 17) for _ in range(300)]
        return SimpleNamespace(states={}, without_states=lambda: "done")

heap.keep_memory()
actor, unit = object.__new__(client.Client), SimpleNamespace(clients=(0,))
actor._ready, actor._ear = Trainer, Ear()
before = mb("RssAnon")
for client.LONG_S in (3600.0, 0.0):
    assert actor._train(None, [unit], {})[0].results == ["done"]
    print(mb("RssAnon") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has")
def test_only_long_calls_give_memory_back():
    done = subprocess.run([sys.executable, "-c", HELD + AFTER], capture_output=True, text=True, check=True)
    short, long = map(int, done.stdout.split())
    assert short > 200
    assert long < 50


THREADS = """
import sys
from threading import Barrier, Thread
from raysim.engine.heap import one_arena, trim

def work():
    made = [b"x" * (1 << 15) for _ in range(1600)]
    together.wait()

if sys.argv[1] == "one":
    one_arena()
together, large = Barrier(4), b"x" * (30 << 20)
del large  # from now on glibc keeps as much as that at an arena's top
before, threads = mb("RssAnon"), [Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
trim()
print(mb("RssAnon") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has")
@pytest.mark.parametrize(("arenas", "least", "most"), [("one", -10, 10), ("many", 100, 250)])
def test_what_threads_took_is_handed_back_where_all_have_it_from_one_place(arenas, least, most):
    done = subprocess.run([sys.executable, "-c", HELD + THREADS, arenas], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) <= most
