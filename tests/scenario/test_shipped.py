from pathlib import Path

import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.shipped import HOME, located, shipped


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_names_are_paths_without_their_ending():
    names = shipped()
    assert names["quickstart"] == HOME / "quickstart.yaml"
    assert names["fin/table3_cost"] == HOME / "fin/table3_cost.yaml"
    assert len(names) == sum(1 for _ in HOME.rglob("*.yaml"))


def test_a_file_that_is_there_comes_before_a_name():
    assert located(Path("quickstart")) == HOME / "quickstart.yaml"
    Path("quickstart").write_text("name: mine\n")
    assert located(Path("quickstart")) == Path("quickstart")


def test_a_path_that_is_like_no_name_is_left_to_the_reader():
    assert located(Path("mine.yaml")) == Path("mine.yaml")


def test_a_folder_hides_no_name():
    Path("quickstart").mkdir()
    Path("fin").mkdir()
    assert located(Path("quickstart")) == HOME / "quickstart.yaml"
    assert located(Path("fin")) == Path("fin")  # reading it says that it is a folder


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("quickstrat", "did you mean 'quickstart'?"),
        ("scenarios/quickstart.yaml", "did you mean 'quickstart'?"),
        ("fin/table3_cots", "did you mean 'fin/table3_cost'?"),
        ("mine", "check the path, or see: raysim list scenarios"),
    ],
)
def test_neither_a_file_nor_a_name(file, hint):
    with pytest.raises(ScenarioError) as caught:
        located(Path(file))
    assert str(caught.value) == f"{file}: there is no such file or shipped scenario; {hint}"
