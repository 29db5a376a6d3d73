# ruff: noqa: T201
"""What authors' code prints in an actor is a line of the study."""

import shutil
import sys
from pathlib import Path

import pytest
from processes import outcome

from raysim.engine.voices import MOST_HEARD, MOST_TOLD, WIDTH, Ear, Voices
from raysim.report.events import Printed
from raysim.report.live.plain import lasting
from raysim.report.reading.results import Results

MATERIAL = Path(__file__).parent / "material"


def heard(*texts):
    ear, before = Ear(), sys.stdout
    with ear.listening():
        for text in texts:
            print(text)
    assert sys.stdout is before
    return ear.take()


def test_lines_are_counted_and_forgotten_once_they_are_taken():
    ear = Ear()
    with ear.listening():
        print("a\n\n  b  c")
        print("a")
        print("no end", end="")
    assert ear.take() == {"a": 2, "b c": 1, "no end": 1}
    assert ear.take() == {}


def test_a_process_keeps_few_lines_and_short_ones():
    assert list(heard(*range(1000))) == [str(i) for i in range(MOST_HEARD)]
    assert heard("x" * 10_000) == {"x" * WIDTH + " ...": 1}
    ear = Ear()
    for _ in range(1000):
        ear.write("y" * 1000)
    assert len(ear._open) == 2 * WIDTH
    assert len(ear.take()) == 1


def test_an_error_gives_standard_output_back():
    ear, before = Ear(), sys.stdout
    with pytest.raises(ZeroDivisionError), ear.listening():
        1 / len(print("so far") or "")
    assert sys.stdout is before
    assert ear.take() == {"so far": 1}


def told(voices, who="server", **said):
    return [(e.text, e.times) for e in voices.tell(who, said)]


def test_a_line_is_told_when_it_is_new_and_when_its_number_has_grown_tenfold():
    voices = Voices()
    assert told(voices, a=1, b=3) == [("a", 1), ("b", 3)]
    assert told(voices, who="client actor 2", a=7) == []
    assert told(voices, a=5) == [("a", 13)]
    assert told(voices, a=86) == []
    assert told(voices, a=1) == [("a", 100)]


def test_a_trial_tells_so_many_lines():
    voices = Voices()
    assert len(told(voices, **{f"l{i}": 1 for i in range(MOST_TOLD)})) == MOST_TOLD
    ((text, _),) = told(voices, new=1, newer=1)
    assert text == f"more than {MOST_TOLD} different lines; those that follow are not shown"
    assert told(voices, newest=1) == []
    assert told(voices, l0=9) == [("l0", 10)]


def test_the_line_on_a_screen():
    assert lasting(Results(), Printed("hm", "client actor 2")) == ["client actor 2: hm"]
    assert lasting(Results(), Printed("hm", "server", 1000)) == ["server: hm (1,000 times)"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_tells_what_is_printed_and_is_not_changed_by_it(marked):
    for name in ("ray_material.py", "loud.py", "small.yaml"):
        shutil.copy(MATERIAL / name, marked.folder)
    file, out = marked.folder / "small.yaml", marked.folder / "out"
    settings = ("federation.rounds=2", "placement.actors=2", "evaluation.metrics=[accuracy]")
    loud = ("method=loud:Loud", "federation.algorithm=loud:Told")
    words = [word for setting in (*settings, *loud) for word in ("--set", setting)]
    status, text, err = marked.run("run", file, "--out", out, *words)
    assert (status, err) == (0, "")
    lines = text.splitlines()
    said = [line.partition("  ")[2] for line in lines if line.startswith("[1/1] small seed=0  ") and ": " in line]
    assert "server: modules" in said
    assert sum(line.startswith("server: [bold]step[/bold]") for line in said) in (1, 2)
    assert any(line.startswith("client actor ") and ": predict" in line for line in said)
    assert len({line.partition(": ")[2].partition(" (")[0] for line in said if ": of client" in line}) >= 4
    assert sum(": one step" in line for line in said) <= 3
    quiet = [word for setting in settings for word in ("--set", setting)]
    assert marked.run("run", file, "--out", marked.folder / "quiet", *quiet, "--progress", "none")[0] == 0
    trained, plain = (outcome(marked.folder / name)[0]["small/seed=0"][0] for name in ("out", "quiet"))
    assert [r["test"] for r in trained] == [r["test"] for r in plain]
