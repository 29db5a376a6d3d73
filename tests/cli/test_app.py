import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from raysim import __version__
from raysim.cli.app import main
from raysim.engine.session import NoCluster
from raysim.scenario.errors import Place, ScenarioError

BASE = """name: NAME
dataset: polydigits
partition: {name: iid, clients: 4}
method: zero_fill
federation: {rounds: 2}
"""


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    """Writes scenarios into a folder that is also the current one."""
    monkeypatch.chdir(tmp_path)

    def write(name, more=""):
        path = Path(f"{name}.yaml")
        path.write_text(BASE.replace("NAME", name) + more)
        return str(path)

    return write


@pytest.fixture
def calls(monkeypatch):
    """Stands for the engine: records what it is asked, and answers 1 as after a failed trial."""
    made = []

    def run_study(trials, *, out, address, sinks, again, wait_s, planner):
        made.append((trials, out, address, again))
        (out / "begun").mkdir(exist_ok=True)
        for sink in sinks:
            sink.close()
        return 1

    module = types.ModuleType("raysim.engine.study")
    module.run_study = run_study
    monkeypatch.setitem(sys.modules, "raysim.engine.study", module)
    return made


def test_run_hands_all_trials_to_the_engine_and_returns_its_status(scenario, calls, tmp_path):
    files = [scenario("a", "seeds: [1, 2]\n"), scenario("b")]
    assert main(["run", *files, "--out", "here", "--address", "h:1", "--progress", "none"]) == 1
    ((trials, out, address, again),) = calls
    assert [(t.scenario.name, t.name) for t in trials] == [("a", "seed=1"), ("a", "seed=2"), ("b", "seed=0")]
    assert (out, address) == (Path("here"), "h:1")
    assert again == "raysim run a.yaml b.yaml --address h:1 --progress none --out here --resume"


def test_run_chooses_a_folder_by_name_and_time(scenario, calls):
    main(["run", scenario("a"), "--progress", "none"])
    main(["run", scenario("a"), scenario("b"), "--progress", "none"])
    assert calls[0][1].parent == Path("results")
    assert calls[0][1].name.startswith("a-2")
    assert calls[1][1].name.startswith("study-2")


def test_run_never_writes_into_a_used_folder(scenario, calls, capfd):
    Path("used").mkdir()
    Path("used/x").write_text("mine")
    assert main(["run", scenario("a"), "--out", "used"]) == 2
    assert capfd.readouterr().err == "used: is not empty; choose another folder, e.g. --out used-2\n"
    assert calls == []
    Path("empty").mkdir()
    assert main(["run", scenario("a"), "--out", "empty", "--progress", "none"]) == 1


def test_run_says_why_it_cannot_write(scenario, calls, capfd):
    file = scenario("a")
    assert main(["run", file, "--out", f"{file}/deeper"]) == 2
    assert capfd.readouterr().err == (
        "a.yaml/deeper: cannot be written: Not a directory; choose another folder with --out\n"
    )


def test_resume_without_a_folder_takes_the_newest_of_that_name(scenario, calls, capfd):
    file = scenario("a")
    assert main(["run", file, "--resume"]) == 2
    assert capfd.readouterr().err == "results: has no study 'a' to go on with; name its folder with --out\n"
    for name in ("a-20260101-000000", "a-20260102-000000"):
        main(["run", file, "--out", f"results/{name}", "--progress", "none"])
    main(["run", file, "--resume", "--progress", "none"])
    assert calls[-1][1] == Path("results/a-20260102-000000")
    assert len(calls) == 3


def test_a_file_that_cannot_be_written_is_one_line(scenario, monkeypatch, capfd):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "out/a/seed=1/metrics.jsonl")

    monkeypatch.setattr("raysim.engine.study.run_study", full)
    assert main(["run", scenario("a"), "--out", "out", "--progress", "none"]) == 1
    assert capfd.readouterr().err == (
        "out/a/seed=1/metrics.jsonl: No space left on device; mend that and go on with: "
        "raysim run a.yaml --progress none --out out --resume\n"
    )


def test_run_refuses_two_scenarios_of_one_name(scenario, calls, capfd):
    first, second = scenario("a"), scenario("b")
    assert main(["run", first, second, "--set", "name=c"]) == 2
    assert capfd.readouterr().err == (
        "--set name=c: name: 'c' is also the name of a.yaml; give one another name\n"
    )  # fmt: skip
    assert main(["run", first, first]) == 2
    assert capfd.readouterr().err == "a.yaml:1: name: 'a' is also the name of a.yaml; give one another name\n"
    assert calls == []


def test_run_starts_nothing_when_one_file_is_wrong(scenario, calls, capfd):
    files = [scenario("a"), scenario("b", "modl: {}\n"), scenario("c", "seeds: 1\n")]
    assert main(["run", *files]) == 2
    assert [line.partition(": ")[0] for line in capfd.readouterr().err.splitlines()] == ["b.yaml:6", "c.yaml:6"]
    assert calls == []
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "error",
    [
        ScenarioError(Place("a.yaml", 2), "dataset", "has too few samples; use fewer clients"),
        NoCluster("h:1: no answer"),
    ],
)
def test_an_error_of_the_engine_is_one_line_too(scenario, monkeypatch, capfd, error):
    def run_study(trials, **_):
        raise error

    module = types.ModuleType("raysim.engine.study")
    module.run_study = run_study
    monkeypatch.setitem(sys.modules, "raysim.engine.study", module)
    assert main(["run", scenario("a"), "--progress", "none"]) == 2
    assert capfd.readouterr().err == f"{error}\n"


def test_validate_reports_every_file(scenario, capfd):
    files = [scenario("a", "grid: {federation.rounds: [1, 2]}\n"), scenario("b", "modl: {}\n"), scenario("c")]
    assert main(["validate", *files, "--set", "seeds=[1, 2]"]) == 2
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if line[0] != " "] == ["a.yaml: ok, 4 trials", "c.yaml: ok, 2 trials"]
    assert err == "b.yaml:6: modl: unknown key; did you mean 'model'?\n"


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "x", "--progress", "loud"], "'loud' is not one of 'auto', 'rich', 'plain', 'none'"),
        (["run", "x", "--sat", "a=1"], "No such option: --sat"),
        (["list"], "Missing argument 'WHAT'; see raysim list --help"),
        (["new"], "Missing option '--method'; see raysim new --help"),
        (["new", "--method", "zero_fill", "--rate", "2"], "; see raysim new --help"),
        (["predict", "a", "b"], "Missing option '--out'; see raysim predict --help"),
    ],
)
def test_wrong_usage_is_one_line(capfd, arguments, phrase):
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("raysim: ")
    assert err.endswith("; see raysim --help\n" if arguments == ["lst"] else f"; see raysim {arguments[0]} --help\n")
    assert err.count("\n") == 1
    assert phrase in err


def test_version_and_help(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"raysim {__version__}\n"
    assert main([]) == 0
    assert "Commands:\n  run       Run scenarios" in capfd.readouterr().out


def test_validate_imports_no_ray_and_help_no_torch(scenario):
    code = (
        "import sys; from raysim.cli.app import main\n"
        "assert main(['--help']) == 0 and not {'torch', 'ray'} & set(sys.modules)\n"
        f"assert main(['validate', {scenario('a')!r}]) == 0 and 'ray' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\na.yaml: ok, 1 trial\n  polydigits: samples: 3,234 train, " in done.stdout


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("method: mvae_mapping\n", "5: method: mvae_mapping fills at level 'input' and cannot make tokens: "
         "give 'words' as image or sequence or vector"),
        ("model: {encoders: {words: gru}}\n", "6: model.encoders: encoder 'gru' is for sequence, 'words' is tokens; "
         "use 'embedding_gru'"),
        ("model: {augment: {words: {flip: 0.5}}}\n", "6: model.augment: is for images, and 'words' is tokens; "
         "remove it"),
        ("model: {encoders: {sound: conv_gru}}\n", "6: model.encoders: 'conv_gru' halves the steps of 'sound' 3 times, "
         "so it needs 8 or more, not 7; write model.encoders.sound.channels with at most 2 numbers, or use 'gru'"),
        ("model: {dim: 32}\n", "6: model.encoders: 'cnn' halves the image 'picture' 2 times, so 4 x 3 pixels leave "
         "nothing; write model.encoders.picture.channels with at most 1 numbers, or images of at least 4 x 4, as "
         "(N, C, H, W)"),
    ],
    ids=["method", "encoder", "augment", "steps", "pixels"],
)  # fmt: skip
def test_what_does_not_suit_data_that_is_there_is_said_without_reading_it(scenario, capsys, monkeypatch, more, line):
    arrays = {
        "x.words": np.zeros((3, 2), np.int64), "x.v": np.zeros((3, 2)), "x.picture": np.zeros((3, 1, 4, 3)),
        "x.sound": np.zeros((3, 7, 2)), "y": np.arange(3), "split": np.arange(3),
    }  # fmt: skip
    np.savez("a.npz", **arrays)
    path = Path(scenario("a", more))
    text = path.read_text().replace("polydigits", "{name: arrays, path: a.npz}")
    path.write_text(text.replace("method: zero_fill\n", "", 1) if more.startswith("method") else text)
    if "dim" not in more:
        path.write_text(path.read_text() + "modalities: [words, v, sound]\n")
    assert main(["validate", "a.yaml"]) == 2
    assert capsys.readouterr().err == f"a.yaml:{line}\n"


def test_an_encoder_that_does_not_suit_is_said_before_anything_starts(scenario, capfd):
    assert main(["run", scenario("a", "model: {encoders: {m0: gru}}\n"), "--out", "out", "--progress", "none"]) == 2
    line = "a.yaml:6: model.encoders: encoder 'gru' is for sequence, 'm0' is image; use 'cnn'\n"
    assert capfd.readouterr().err == line
    assert not Path("out").exists()
    assert main(["validate", "a.yaml"]) == 2
    assert capfd.readouterr().err == line
