"""The peak of a trial is its own: what an earlier one has left in the process does not count."""

import subprocess
import sys

import pytest

CODE = """
import numpy as np
from raysim.engine.client import forget_peak, keep_memory
from raysim.engine.heap import give_back
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
