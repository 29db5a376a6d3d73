"""The scenarios that come with raysim, by name: the path in their folder without its ending (`fin/table3_cost`)."""

from pathlib import Path

from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.messages import near

HOME = Path(__file__).resolve().parents[2] / "scenarios"
"""Beside the package, in the repository as in an installation."""


def shipped() -> dict[str, Path]:
    """Name -> file, those of the folder itself first."""
    found = sorted(HOME.rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return {_name(path.relative_to(HOME)): path for path in found}


def located(file: Path) -> Path:
    """The file that is meant: itself where it is there, else the shipped scenario of that name.

    What looks like a file's path and no name is returned as it is: reading it tells what is wrong.

    Raises:
        ScenarioError: there is neither.
    """
    named = shipped()
    if file.is_dir() or not file.exists():
        file = named.get(file.as_posix(), file)
    if file.exists():
        return file
    hint = near(_name(file).removeprefix(f"{HOME.name}/"), list(named))
    if not hint.startswith("did you mean"):
        if file.suffix in (".yaml", ".yml"):
            return file
        hint = "check the path, or see: raysim list scenarios"
    raise ScenarioError(Place(str(file)), "", f"there is no such file or shipped scenario; {hint}")


def _name(path: Path) -> str:
    return path.with_suffix("").as_posix()
