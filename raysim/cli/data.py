"""The command line's `raysim data`: list, info, prepare, check, partition. A user's mistake leaves as `DataError`."""

import importlib.util
import inspect
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raysim import registry
from raysim.cli.completion import datasets
from raysim.cli.start import add_here, writable
from raysim.data.cache import cache_folder
from raysim.data.dataset import DataError
from raysim.data.extractor import Extractor
from raysim.data.manifest import MANIFEST, damaged, manifest
from raysim.data.prepare import Prepared, prepare
from raysim.data.prepare import Progress as Told
from raysim.data.published import as_csv
from raysim.data.recipe import Recipe
from raysim.data.summary import summary
from raysim.disk import write
from raysim.engine.environment import ADDRESS_HELP, NoCluster, use_own_cluster
from raysim.engine.knock import meant
from raysim.scenario.errors import ScenarioError, one_line, shown
from raysim.scenario.messages import explain
from raysim.scenario.section import Component
from raysim.scenario.source import inline, parse

app = typer.Typer(rich_markup_mode=None)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset that `raysim data list` shows.", autocompletion=datasets)
]
Cache = Annotated[
    Path | None,
    typer.Option(
        parser=writable, metavar="DIR", help="The prepared folder; $RAYSIM_CACHE/NAME or ~/.cache/raysim/NAME."
    ),
]
SKIPPED_SHOWN = 5


@app.callback()
def start() -> None:
    """Prepare the papers' datasets, and partitions that were published."""
    add_here()


@app.command(name="list")
def show() -> int:
    """List the datasets, and which are prepared."""
    entries = [e for e in registry.listed("dataset") if issubclass(registry.find("dataset", e.name), Recipe)]
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        state = "prepared" if _prepared(entry.name) else ""
        typer.echo(f"{entry.name:<{width}}  {state:<8}  {entry.summary}")
    return 0


@app.command()
def info(name: Name, cache: Cache = None) -> int:
    """Show where a dataset comes from, what it consists of, and what was prepared of it."""
    recipe = _recipe(name)
    rows = [("from", recipe.about.home), ("terms", recipe.about.terms)]
    rows += [("" if i else "--root", line) for i, line in enumerate(recipe.about.layout)]
    rows += [(modality, "; or ".join(inline(f) for f in features)) for modality, features in recipe.features.items()]
    settings = recipe.Settings().model_dump(mode="json")
    rows += [("--set", f"{k}={inline(settings[k])}  {f.description}") for k, f in recipe.Settings.model_fields.items()]
    width = max(len(key) for key, _ in rows)
    typer.echo(f"{_doc(recipe)}\n")
    typer.echo("\n".join(f"{key:<{width}}  {text}".rstrip() for key, text in rows) + "\n")
    folder = cache or cache_folder(recipe.title())
    if (folder / MANIFEST).is_file():
        typer.echo(f"prepared in {folder}: {manifest(folder)['samples']:,} samples\n\n{summary(folder)}")
    else:
        typer.echo(f"not prepared in {folder}")
    return 0


@app.command(name="prepare")
def make(
    name: Name,
    root: Annotated[Path, typer.Option(metavar="DIR", help="The official files; `raysim data info NAME` lists them.")],
    cache: Cache = None,
    features: Annotated[
        list[str] | None, typer.Option("--features", metavar="KEY=NAME", help="Another extractor for a modality; YAML.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one of the dataset's own settings.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; if not given one a core, or a GPU.")] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help=ADDRESS_HELP)] = None,
) -> int:
    """Extract a dataset's features from its official files; goes on where it was stopped."""
    recipe = _recipe(name)
    settings = _valid(recipe.Settings, _pairs("--set", overrides), "--set ")
    wishes: dict[str, Any] = {m: choices[0] for m, choices in recipe.features.items()}
    for modality, wish in _pairs("--features", features).items():
        if modality not in wishes:
            raise DataError(f"--features {modality}: {name} has no such modality; there are: {', '.join(wishes)}")
        wishes[modality] = wish
    extractors = {modality: extractor(modality, wish) for modality, wish in wishes.items()}
    folder = cache or cache_folder(recipe.title())
    try:
        address, warning = meant(address)
    except NoCluster as error:
        raise DataError(str(error)) from error
    if warning:
        typer.echo(f"warning: {warning}")
    if address is None:
        use_own_cluster()
    from raysim.engine.mapping import OnRay

    try:
        with _bar() as told, OnRay(workers, address) as on_ray:
            done = prepare(recipe, root, folder, settings=settings, extractors=extractors, mapper=on_ray, progress=told)
    except NoCluster as error:
        raise DataError(str(error)) from error
    except OSError as error:
        where = error.filename or folder
        typer.echo(
            one_line(f"raysim: {where}: {error.strerror or error}; mend that and run the command again"), err=True
        )
        return 1
    if on_ray.blind:
        typer.echo(
            one_line(f"left out, since they do not see {root} as this machine does: {', '.join(on_ray.blind.values())}")
        )
    _report(done, name, folder, usual=cache is None)
    return 0


@app.command()
def check(name: Name, cache: Cache = None) -> int:
    """Compare a prepared dataset's files with their checksums."""
    folder = cache or cache_folder(_recipe(name).title())
    files, wrong = manifest(folder)["files"], damaged(folder)
    for line in wrong:
        typer.echo(one_line(f"{line}; remove {folder} and run: raysim data prepare {name}"), err=True)
    if not wrong:
        size = sum(f["bytes"] for f in files.values())
        typer.echo(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, all as they were written")
    return 2 if wrong else 0


@app.command()
def partition(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON: each client's list of ids, as FedMultimodal has.")
    ],
    ids: Annotated[Path, typer.Option(metavar="TXT", help="A line for each training sample, in their order: its id.")],
    out: Annotated[Path, typer.Option(parser=writable, metavar="CSV", help="Where the partition goes.")],
) -> int:
    """Turn a published split into a CSV for `partition: {name: file}`."""
    try:
        known = ids.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise DataError(f"{ids} cannot be read: {reason}") from error
    text = as_csv(file, known)
    write(out, text.encode())
    lines = text.count("\n") - 1
    left = f"; {len(known) - lines:,} of the training samples are nobody's" if lines < len(known) else ""
    typer.echo(one_line(f"{out}: {lines:,} samples{left}"))
    return 0


def _prepared(name: str) -> bool:
    """Whether a dataset is in its usual folder; nothing is where nobody has a home."""
    try:
        return (cache_folder(name) / MANIFEST).is_file()
    except DataError:
        return False


def _recipe(name: str) -> type[Recipe]:
    try:
        found = registry.find("dataset", name)
    except registry.UnknownNameError as error:
        raise DataError(str(error)) from error
    if not issubclass(found, Recipe):
        raise DataError(f"dataset '{name}' needs no preparation; scenarios use it as it is")
    return found


def _doc(recipe: type[Recipe]) -> str:
    return inspect.cleandoc(inspect.getmodule(recipe).__doc__ or "")


def _pairs(option: str, texts: Sequence[str] | None) -> dict[str, Any]:
    """KEY=VALUE, values in YAML."""
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise DataError(f"{option} {text}: must be KEY=VALUE")
        try:
            found[key] = parse(value, f"{option} {text}", numbered=False).plain()
        except ScenarioError as error:
            raise DataError(str(error)) from error
    return found


def _valid(model: type[BaseModel], values: Mapping[str, Any], where: str) -> Any:
    try:
        return registry.validated(model, values)
    except ValidationError as error:
        key, message = explain(error, model.model_json_schema(), dict(values))
        raise DataError(f"{where}{key}: {message}") from error


def extractor(modality: str, wish: Any) -> Extractor:
    """An extractor from its name, or a mapping with its name and options."""
    where = f"--features {modality}"
    try:
        named = Component.model_validate({"name": wish} if isinstance(wish, str) else wish)
    except ValidationError as error:
        raise DataError(f"{where}: must be a name or {{name: NAME, ...}}, is {shown(wish)}") from error
    try:
        kind: type[Extractor] = registry.find("feature", named.name)
    except registry.UnknownNameError as error:
        raise DataError(f"{where}: {error}") from error
    for package, extra in kind.requires.items():
        if importlib.util.find_spec(package) is None:
            raise DataError(f"{where}: '{named.name}' needs the package {package}; pip install 'raysim[{extra}]'")
    return kind(_valid(kind.Options, named.options, f"{where}."))


@contextmanager
def _bar() -> Generator[Told]:
    """A bar for each modality, on standard error; nothing before the first is told."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, Any] = {}
    progress = Progress(*columns, console=Console(stderr=True))

    def told(modality: str, done: int, total: int) -> None:
        progress.start()
        if modality not in bars:
            bars[modality] = progress.add_task(modality, total=total)
        progress.update(bars[modality], completed=done)

    try:
        yield told
    finally:
        if bars:
            progress.stop()


def _report(done: Prepared, name: str, folder: Path, *, usual: bool) -> None:
    for line in done.skipped[:SKIPPED_SHOWN]:
        typer.echo(one_line(f"skipped {line}"))
    if len(done.skipped) > SKIPPED_SHOWN:
        typer.echo(f"skipped {len(done.skipped)} files in all; {folder / MANIFEST} names them")
    typer.echo(
        f"{'prepared' if done.fresh else 'was prepared'}: {done.samples:,} samples in {folder}\n\n{summary(folder)}"
    )
    use = name if usual else f"{{name: {name}, cache: {folder}}}"
    typer.echo(f"\nuse it in a scenario: dataset: {use}")
