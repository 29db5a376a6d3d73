"""What there is to run studies with, and what to do about what is not: each finding a line, each remedy a line.

What takes long or may crash (torch, Ray) is asked in processes of its own, for so many seconds at most. Nothing is
imported here that may be missing.
"""

import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from raysim import registry
from raysim.data.cache import CACHE, cache_folder
from raysim.data.dataset import DataError
from raysim.data.manifest import MANIFEST
from raysim.data.recipe import Recipe
from raysim.engine.environment import MAX_TEMP_PATH
from raysim.report.text import size
from raysim.scenario.errors import one_line
from raysim.version import VERSION

State = Literal["ok", "absent", "gap", "bad"]
"""`absent`: only some studies need it; `gap`: it is not as it should be; `bad`: no study can run."""
EXTRAS = {
    "vision": "networks of torchvision; features of pictures",
    "audio": "features of sound",
    "text": "networks and tokenizers of transformers; features of text",
    "lora": "adapters (lora) in networks of transformers",
    "fid": "the Inception network of the FID",
    "tensorboard": "the tracker tensorboard",
    "mlflow": "the tracker mlflow",
    "wandb": "the tracker wandb",
    "trackio": "the tracker trackio",
    "s3": "results at s3:// URLs",
    "gcs": "results at gs:// URLs",
    "cluster": "ray job submit, Ray's dashboard and ray up",
}
"""What the package's extras are for, but for those of its developers."""
DEVELOPERS = ("test", "dev")
TORCH_S, RAY_S = 60.0, 60.0
LEAST_SHM = 2e9
LEAST_SPACE = 2e9
FULL = 0.95
"""Ray writes no objects to a disk that is fuller."""
COLUMNS = 80
GLYPHS = "█▁░±─…"
_TORCH = """
import json, torch
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda or torch.version.hip, "gpus": gpus}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic, name: what.
        state: how it is.
        says: what is there.
        remedy: what to do about it; empty where there is nothing to do.
    """

    topic: str
    name: str
    state: State
    says: str
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """All, each as soon as it is known."""
    yield from _python()
    yield from _packages()
    yield from _torch()
    yield from _extras()
    yield from _folders()
    yield from _ray()
    yield from _datasets()
    yield from _screen()


def possible(found: list[Finding]) -> bool:
    """Whether a study can run."""
    return all(finding.state != "bad" for finding in found)


def as_json(found: list[Finding]) -> str:
    """All findings as data."""
    return json.dumps({"possible": possible(found), "findings": [asdict(finding) for finding in found]}, indent=1)


def _python() -> Iterator[Finding]:
    yield Finding("python", platform.python_version(), "ok", f"{sys.executable} on {platform.platform()}")
    yield Finding("raysim", VERSION, "ok", str(Path(__file__).parent))


def _packages() -> Iterator[Finding]:
    """What raysim cannot do without."""
    for requirement in _requirements():
        if requirement.marker is None:
            found = _version(requirement.name)
            fits = found is not None and requirement.specifier.contains(found, prereleases=True)
            remedy = "" if fits else f"pip install '{requirement.name}{requirement.specifier}'"
            says = "fits" if fits else f"raysim needs {requirement.specifier}"
            yield Finding("package", requirement.name, "ok" if fits else "bad", f"{found or 'absent'}; {says}", remedy)


def _requirements() -> list[Requirement]:
    return [Requirement(text) for text in requires("raysim") or ()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extras() -> Iterator[Finding]:
    """What is there for some uses alone."""
    wanted: dict[str, list[str]] = {}
    for requirement in _requirements():
        for extra in EXTRAS:
            if requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
                wanted.setdefault(extra, []).append(requirement.name)
    for extra, use in EXTRAS.items():
        absent = [name for name in wanted.get(extra, ()) if name != "raysim" and _version(name) is None]
        if extra not in wanted:
            yield Finding("extra", extra, "gap", f"unknown to this installation; {use}", "install raysim anew")
        elif absent:
            remedy = f"if you want that: pip install 'raysim[{extra}]'"
            yield Finding("extra", extra, "absent", f"lacks {', '.join(absent)}; {use}", remedy)
        else:
            yield Finding("extra", extra, "ok", use)


def _torch() -> Iterator[Finding]:
    found = _asked([sys.executable, "-c", _TORCH], TORCH_S)
    if "error" in found:
        yield Finding(
            "torch", "import", "bad", found["error"], "install torch anew: pip install --force-reinstall torch"
        )
        return
    build = f"for GPUs ({found['cuda']})" if found["cuda"] else "for CPUs"
    yield Finding("torch", found["version"], "ok", f"the build {build}")
    gpus: list[str] = found["gpus"]
    here = Path("/proc/driver/nvidia").exists()
    if gpus:
        yield Finding("torch", "gpu", "ok", ", ".join(gpus))
    elif here and not found["cuda"]:
        remedy = "install the build of torch for your CUDA: https://pytorch.org/get-started/locally"
        yield Finding("torch", "gpu", "gap", "there is one, which this build cannot use", remedy)
    elif here:
        remedy = (
            "compare the driver's version (nvidia-smi) with the CUDA version of torch, and see CUDA_VISIBLE_DEVICES"
        )
        yield Finding("torch", "gpu", "gap", "there is one, which torch does not see", remedy)
    else:
        yield Finding("torch", "gpu", "ok", "none; networks are trained on the CPU")


def _ray() -> Iterator[Finding]:
    found = _asked([sys.executable, "-m", "raysim.engine.look"], RAY_S)
    if "error" in found:
        remedy = (
            "see the lines on folders; in a container allow more processes and memory; raysim run --address HOST:PORT"
        )
        yield Finding("ray", "start", "bad", found["error"], f"{remedy} uses a cluster that runs already")
        return
    memory = "" if found["memory_bytes"] is None else f", {size(found['memory_bytes'])} of memory"
    yield Finding("ray", "sees", "ok", f"{found['cpus']:g} CPUs, {found['gpus']:g} GPUs{memory}")


def _asked(command: list[str], limit_s: float) -> dict[str, Any]:
    """What a process prints as JSON, or an `error` in one line; it and what it started end in time."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return {"error": f"no answer within {limit_s:g} s"}
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        told = [line for line in err.splitlines() if line.strip()] or [f"it ended with status {process.returncode}"]
        return {"error": one_line(told[-1][:300])}
    return json.loads(lines[-1])


def _folders() -> Iterator[Finding]:
    shared = Path("/dev/shm")
    if shared.is_dir():
        total = shutil.disk_usage(shared).total
        small = total < LEAST_SHM
        remedy = (
            "in a container: docker run --shm-size=4g; else Ray keeps objects in files, which is slow" if small else ""
        )
        yield Finding("folder", "/dev/shm", "gap" if small else "ok", f"{size(total)} for Ray's objects", remedy)
    temporary = Path(tempfile.gettempdir())
    long = len(str(temporary)) > MAX_TEMP_PATH
    if long:
        says = f"{temporary} is longer than {MAX_TEMP_PATH} letters; Ray's sockets go to /tmp"
        yield Finding("folder", "TMPDIR", "gap", says, "set TMPDIR to a short path if /tmp is small")
    used = Path("/tmp") if long else temporary
    yield _space("temporary", used, "free some of it, or set TMPDIR to a short path on another disk")
    yield _space("current", Path.cwd(), "free some of it, or run studies with --out on another disk")


def _space(name: str, folder: Path, remedy: str) -> Finding:
    if not os.access(folder, os.W_OK):
        return Finding("folder", name, "bad", f"{folder} cannot be written to", remedy.partition(" or ")[2])
    usage = shutil.disk_usage(folder)
    says = f"{folder}: {size(usage.free)} free of {size(usage.total)}"
    tight = usage.free < LEAST_SPACE or usage.used / max(usage.used + usage.free, 1) > FULL
    return Finding("folder", name, "gap" if tight else "ok", says, remedy if tight else "")


def _datasets() -> Iterator[Finding]:
    """Those that have to be prepared; the others are always there."""
    for entry in registry.listed("dataset"):
        try:
            kind = registry.find("dataset", entry.name)
            if not issubclass(kind, Recipe):
                continue
            folder = cache_folder(entry.name)
        except (DataError, registry.UnknownNameError) as error:
            yield Finding("dataset", entry.name, "gap", str(error), f"set {CACHE} to a folder")
        else:
            there = (folder / MANIFEST).is_file()
            says = f"prepared in {folder}" if there else f"not prepared in {folder}"
            remedy = "" if there else f"if you want it: raysim data info {entry.name}"
            yield Finding("dataset", entry.name, "ok" if there else "absent", says, remedy)


def _screen() -> Iterator[Finding]:
    encoding = sys.stdout.encoding or "ascii"
    try:
        GLYPHS.encode(encoding)
        yield Finding("screen", "locale", "ok", f"{encoding}, which has bars and lines")
    except UnicodeEncodeError:
        yield Finding("screen", "locale", "gap", f"{encoding} lacks bars and lines", "export LC_ALL=C.UTF-8")
    yield _terminal(os.environ, tty=sys.stdout.isatty(), columns=shutil.get_terminal_size().columns)
    font = _font()
    state: State = "gap" if font is None else "ok"
    remedy = "pip install --force-reinstall matplotlib" if font is None else ""
    yield Finding(
        "screen", "font", state, "matplotlib's own is absent" if font is None else f"{font.stem}, of pictures", remedy
    )


def _terminal(environment: Mapping[str, str], *, tty: bool, columns: int) -> Finding:
    term = environment.get("TERM", "")
    if not tty:
        return Finding("screen", "terminal", "ok", "none here; raysim run then prints plain lines")
    if term in ("", "dumb"):
        return Finding("screen", "terminal", "gap", f"TERM is '{term}': plain lines", "export TERM=xterm-256color")
    if columns < COLUMNS:
        remedy = f"make the window {COLUMNS} columns wide, or run with --progress plain"
        return Finding("screen", "terminal", "gap", f"{columns} columns", remedy)
    colours = "without colours (NO_COLOR)" if environment.get("NO_COLOR") else "with colours"
    return Finding("screen", "terminal", "ok", f"{term}, {columns} columns, {colours}")


def _font() -> Path | None:
    spec = importlib.util.find_spec("matplotlib")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    files = [Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf") for folder in folders]
    return next((file for file in files if file.is_file()), None)
