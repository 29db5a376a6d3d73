import sys

import pytest

from raysim import registry
from raysim.data.dataset import Source
from raysim.registry import UnknownNameError, find, listed

ONE = '"""Says what it is.\n\nMore.\n"""\nfrom raysim.data.dataset import Source\nclass One(Source):\n    pass\n'


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty package that stands for `raysim.datasets`."""
    name = f"shelf_{tmp_path.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.FOLDERS, "dataset", name)
    yield folder
    for module in [m for m in sys.modules if m.partition(".")[0] in (name, f"own_{tmp_path.name}")]:
        del sys.modules[module]


def test_a_file_in_the_folder_is_a_name(shelf):
    (shelf / "one.py").write_text(ONE)
    assert issubclass(find("dataset", "one"), Source)
    assert [(e.name, e.summary) for e in listed("dataset")] == [("one", "Says what it is.")]


def test_a_class_may_extend_another_component(shelf):
    (shelf / "one.py").write_text(ONE)
    (shelf / "two.py").write_text(f"from {shelf.name}.one import One\nclass Two(One):\n    pass\n")
    assert find("dataset", "two").__name__ == "Two"
    assert [e.name for e in listed("dataset")] == ["one", "two"]


def test_helpers_are_not_listed(shelf):
    (shelf / "helper.py").write_text("class Helper:\n    pass\n")
    (shelf / "_private.py").write_text(ONE)
    assert listed("dataset") == []


def test_the_real_folders_are_listed():
    assert {"fedavg", "scaffold", "fedopt"} <= {e.name for e in listed("algorithm")}
    assert "polydigits" in {e.name for e in listed("dataset")}
    assert [e.name for e in listed("generator")] == [
        "autoencoders", "diffusion", "gan", "mapping", "mmjsd", "mmvae", "mmvae_plus", "mmvm", "mopoe", "mvae",
        "mvtcae", "vae",
    ]  # fmt: skip


def test_an_unknown_name_suggests_the_nearest(shelf):
    (shelf / "one.py").write_text(ONE)
    with pytest.raises(UnknownNameError, match=r"^there is no dataset 'onee'; did you mean 'one'\?$"):
        find("dataset", "onee")
    with pytest.raises(UnknownNameError, match=r"'xyz'; there are: one; or package\.module:Class$"):
        find("dataset", "xyz")


def test_a_file_with_two_classes_is_refused(shelf):
    (shelf / "pair.py").write_text(f"{ONE}class Two(Source):\n    pass\n")
    with pytest.raises(UnknownNameError, match=r"pair must define one Source class, not 2; split the file$"):
        find("dataset", "pair")


def test_a_file_that_does_not_parse_is_listed_and_says_why_when_used(shelf):
    (shelf / "broken.py").write_text("def f(:\n")
    assert [(e.name, e.summary) for e in listed("dataset")] == [("broken", "does not parse")]
    with pytest.raises(SyntaxError):
        find("dataset", "broken")


def test_a_dotted_name_is_found_on_the_path(shelf):
    own = shelf.parent / f"own_{shelf.parent.name}.py"
    own.write_text(ONE)
    assert find("dataset", f"{own.stem}:One").__name__ == "One"
    with pytest.raises(UnknownNameError, match=r"has no dataset class 'Onn'; did you mean 'One'\?$"):
        find("dataset", f"{own.stem}:Onn")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:X", "there is no module 'no_such_module'; put it beside the scenario"),
        ("raysim.no_such:X", "there is no module 'raysim.no_such'"),
        ("json:JSONDecoder", "'JSONDecoder' in 'json' is no Source; write class JSONDecoder(Source)"),
        ("raysim.registry:Entry", "'Entry' in 'raysim.registry' is no Source; write class Entry(Source)"),
        (":X", "':X' is no name; write package.module:Class"),
        (".a:X", "'.a:X' is no name"),
        ("a:", "'a:' is no name"),
        ("../a:b", "'../a:b' is no name"),
    ],
)
def test_a_wrong_dotted_name_is_refused(name, message):
    with pytest.raises(UnknownNameError) as caught:
        find("dataset", name)
    assert str(caught.value).startswith(message)


def test_an_import_inside_the_module_that_fails_is_not_taken_for_an_unknown_name(shelf):
    own = shelf.parent / f"own_{shelf.parent.name}.py"
    own.write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        find("dataset", f"{own.stem}:One")


def test_a_file_without_such_a_class_is_named(shelf):
    (shelf / "bare.py").write_text("class Bare:\n    pass\n")
    with pytest.raises(UnknownNameError, match=r"bare.py has no class that extends Source; write class X\(Source\)$"):
        find("dataset", "bare")


@pytest.mark.parametrize("name", registry.ELSEWHERE["metric"])
def test_metrics_are_found_by_what_they_are_called_elsewhere(name):
    meant = registry.here("metric", name)
    assert meant in [entry.name for entry in listed("metric")]
    assert name not in [entry.name for entry in listed("metric")]
    with pytest.raises(UnknownNameError, match=f"there is no metric '{name}'; did you mean '{meant}'\\?"):
        find("metric", name)
