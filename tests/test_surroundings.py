"""Studies where things are not as they mostly are: terminals, locales, networks, folders, readers that go away."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import time
from contextlib import suppress

import numpy as np
import pytest
from processes import outcome
from studies import small_study

pytestmark = pytest.mark.ray

NOWHERE = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), NOWHERE)
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
STUDY = """name: small
description: naïve ±
dataset: {name: arrays, path: data.npz}
partition: {name: iid, clients: 4}
missing: {name: per_client, rate: 0.5}
method: zero_fill
federation: {rounds: 2}
placement: {actors: 1}
"""


@pytest.fixture
def study(marked):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    np.savez(
        marked.folder / "data.npz", y=y, split=np.repeat(["train", "validation", "test"], [80, 20, 20]),
        classes=np.array(["é", "猫", "ß"]),
        **{"x.声": rng.normal(size=(120, 6)) + y[:, None], "x.b": rng.random((120, 5))},
    )  # fmt: skip
    path = marked.folder / "s.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.mark.slow
def test_ascii_alone_dead_proxies_a_cluster_that_is_gone_and_long_folders_change_nothing(marked, study):
    long = marked.folder / ("l" * 90) / "with a blank"
    long.mkdir(parents=True)
    odd = {**ASCII, **PROXIES, "RAY_ADDRESS": "10.255.255.1:6379", "TMPDIR": str(long)}
    for words in (["run", study, "--out", "odd"], ["report", "odd", "--out", "odd.md"]):
        status, _, err = marked.run(*words, surroundings=odd)
        assert (status, err) == (0, ""), words
    assert list(long.glob("raysim-*")) == []
    status, _, err = marked.run("run", study, "--out", "usual")
    assert (status, err) == (0, "")
    assert outcome(marked.folder / "odd") == outcome(marked.folder / "usual")


@pytest.mark.slow
def test_a_reader_who_goes_after_the_first_line_ends_nothing(marked, study):
    process = marked.start("run", study, "--out", "out")
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=100) == 0
    assert outcome(marked.folder / "out")[0]


def test_a_reader_of_a_report_who_goes_is_no_error(marked):
    small_study(marked.folder / "out")
    reader = marked.start("report", "out")
    reader.stdout.close()
    with reader.stderr:
        assert reader.stderr.read() == ""
    reader.wait(timeout=100)


@pytest.mark.parametrize(
    ("size", "surroundings", "unwanted"),
    [
        ((0, 0), {"NO_COLOR": "1", "TERM": "xterm-256color"}, r"\x1b\[[0-9;]*3[0-9]m"),
        pytest.param((2, 10), {"TERM": "dumb"}, r"\x1b\[[0-9]*[A-K]", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_terminals_of_odd_sizes_without_colour_or_cursor(marked, study, size, surroundings, unwanted):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = marked.start("run", study, "--out", "out", surroundings=surroundings, text=False, **streams)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end has closed
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    text = shown.decode(errors="replace")
    assert process.wait(timeout=100) == 0, text
    assert "Traceback" not in text
    assert re.search(unwanted, text) is None
    assert outcome(marked.folder / "out")[0]


@pytest.mark.slow
@pytest.mark.parametrize(("then", "status", "said"), [("fail", 1, r"FAILED.*client"), ("retry", 0, r"warning.*client")])
def test_an_actor_that_hangs_is_told_and_its_work_done_again(marked, study, then, status, said):
    settings = ["placement={unit_timeout_s: 4.0, actors: 2}", "federation.rounds=300"]
    options = [word for s in settings for word in ("--set", s)]
    more = ["--set", f"federation.faults.on_timeout={then}"]
    with marked.start("run", study, "--out", "hung", *options, *more) as process:
        head = ""
        while "round 20/" not in head:
            head = process.stdout.readline()
            assert head, process.stderr.read()
        hung = marked.actors("Client")[0]
        os.kill(hung, signal.SIGSTOP)
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        with suppress(ProcessLookupError):
            os.kill(hung, signal.SIGCONT)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == status, text
    assert re.search(said, text)
    if status == 0:
        assert marked.run("run", study, "--out", "usual", *options, *more)[0] == 0
        assert outcome(marked.folder / "hung") == outcome(marked.folder / "usual")
