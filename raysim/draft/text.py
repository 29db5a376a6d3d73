"""A scenario's text: what is chosen, and as comments what else may be said."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from raysim import registry
from raysim.catalogue import Option, options
from raysim.data.dataset import Kind, Outcome
from raysim.draft.facts import Facts, Plain, Task
from raysim.editor import LINE
from raysim.method import Method
from raysim.models.encoders import encoder_name
from raysim.scenario.errors import one_line
from raysim.scenario.source import inline

MANY = 100
"""From so many clients on a tenth of them takes part in a round."""
COLUMN, WIDTH = 38, 118
METRIC: Mapping[Outcome, str] = {"single_label": "uar", "multi_label": "macro_auc", "regression": "mae"}
"""What tells the best round."""
REAL_METRICS = ("mae", "r2", "pearson")


@dataclass(frozen=True)
class Wish:
    """What is said of a scenario besides its data and methods.

    Attributes:
        rates: of missing modalities; several become a grid.
        seeds: how many.
        rounds: likewise.
        task: of data of one's own; None: as its labels are.
    """

    rates: Sequence[float] = (0.5,)
    seeds: int = 1
    rounds: int = 20
    task: Task | None = None


@dataclass(frozen=True)
class Chosen:
    """A method with what must be said of it, and the generator in that, if any."""

    name: str
    found: type[Method]
    section: Plain
    generator: str


def text_of(facts: Facts, chosen: Sequence[Chosen], name: str, schema: str, wish: Wish) -> str:
    """The scenario `name` on a dataset, with one method or a grid of them; `schema`: where editors find it."""
    return "\n".join(_lines(facts, chosen, name, schema, wish)) + "\n"


def _lines(facts: Facts, chosen: Sequence[Chosen], name: str, schema: str, wish: Wish) -> Iterator[str]:
    dataset, modalities = str(facts.dataset["name"]), facts.modalities
    yield f"{LINE}{schema}"
    yield "# Settings behind # are what is so if nothing is said: remove the '# ' before one to change it."
    yield f"name: {name}"
    yield f"description: {inline(f'Experiments on {facts.title}.')}"
    yield from _noted(f"seeds: {inline([*range(1, wish.seeds + 1)])}", "Three or more tell differences from chance.")
    yield from _section("dataset", facts.dataset, registry.find("dataset", dataset).Options)
    if not facts.prepared:
        yield f"  # The data is not prepared here: raysim data info {dataset} says how to get it."
    yield from (f"  # Look at the data: {one_line(text)}." for text in facts.remarks)
    if modalities:
        yield from _noted(f"# modalities: {inline(list(modalities))}", "Those that take part.")
    yield from _noted(f"partition: {inline(dict(facts.partition))}", "Who has which samples: raysim info partition.")
    if any(each.found.server_trains or each.found.has("share") for each in chosen):
        yield from _noted("public: 0.1", "The share of samples that the server keeps: this method needs some.")
    yield from _missing(modalities, wish.rates)
    if len(chosen) == 1:
        (one,) = chosen
        yield from _section("method", one.section, one.found.Options, one.generator)
    yield from _model(modalities)
    yield from _federation(facts, wish.rounds)
    yield from _evaluation(facts, chosen)
    yield from _grid(chosen, wish.rates, alone=len(modalities) == 1)
    yield "# What else there is, see: raysim info scenario | federation | evaluation | missing, and raysim list methods"


def _grid(chosen: Sequence[Chosen], rates: Sequence[float], *, alone: bool) -> Iterator[str]:
    """What is compared, and as comments what could be."""
    lines = [] if len(rates) == 1 else [f"  missing.rate: {inline(list(rates))}"]
    if len(chosen) > 1:
        lines += ["  method:", *(f"    - {inline(_short(each.section))}" for each in chosen)]
    if lines:
        yield from _noted("grid:", "Every combination, times the seeds. Options of one: raysim info method NAME.")
        yield from lines
        return
    yield "# To compare, every combination, times the seeds:"
    yield "# grid:"
    yield f"#   {'federation.optimizer.lr: [0.0003, 0.001, 0.003]' if alone else 'missing.rate: [0.3, 0.5, 0.7]'}"
    other = "zero_fill" if chosen[0].name != "zero_fill" else "modality_dropout"
    yield f"#   method: [{other}, {inline(_short(chosen[0].section))}]"


def _short(section: Plain) -> Any:
    return section["name"] if len(section) == 1 else dict(section)


def _missing(modalities: Mapping[str, Kind | None], rates: Sequence[float]) -> Iterator[str]:
    if len(modalities) == 1:
        yield "# There is but one modality, so nothing can be missing."
        return
    yield "missing:"
    yield from _noted(
        "  name: per_client", "Each client lacks each modality by a draw of its own: raysim info missing."
    )
    by_modality = f"; by modality: {inline(dict.fromkeys(modalities, 0.5))}" if modalities else ""
    if len(rates) == 1:
        yield from _noted(f"  rate: {inline(rates[0])}", f"The probability{by_modality}.")
    yield from _noted("  # empty: keep_one", "Who would lose everything keeps one; or drop.")


def _model(modalities: Mapping[str, Kind | None]) -> Iterator[str]:
    yield "model:"
    yield from _noted("  dim: 64", "Width of every encoder's output.")
    yield from _noted("  # fusion: concat", "Or attention.")
    known = {m: encoder_name(kind, None) for m, kind in modalities.items() if kind is not None}
    if known:
        yield from _noted("  # encoders:", "By modality: raysim list encoders.")
        for m, encoder in known.items():
            yield from _noted(f"  #   {inline(m)}: {encoder}", f"It is {_article(str(modalities[m]))}.")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" if noun != "tokens" else "text as tokens"


def _federation(facts: Facts, rounds: int) -> Iterator[str]:
    yield "federation:"
    yield f"  rounds: {rounds}"
    if (facts.clients or 0) >= MANY:
        yield from _noted("  clients_per_round: 0.1", f"Of {facts.clients} clients; a number, a share or all.")
    else:
        yield from _noted("  # clients_per_round: all", "A number, a share or all.")
    yield from _noted("  local_epochs: 2", "Passes over a client's samples in a round.")
    yield "  batch_size: 16"
    yield from _noted("  optimizer: {name: adam, lr: 0.001}", "Or sgd, adamw.")
    yield from _noted("  # algorithm: fedavg", "raysim list algorithms.")


def _evaluation(facts: Facts, chosen: Sequence[Chosen]) -> Iterator[str]:
    yield "evaluation:"
    yield from _noted("  every_rounds: 2", "The last round is always evaluated.")
    if not all(each.found.has("losses") for each in chosen):
        if facts.outcome == "regression":
            yield from _noted(f"  metrics: {inline(list(REAL_METRICS))}", "raysim list metrics.")
        yield from _noted(f"  metric: {METRIC[facts.outcome]}", "It tells the best round by the validation samples.")
    if len(facts.modalities) != 1:
        yield from _noted("  missing: same", "Test samples lack modalities, too; none: they have all.")


def _section(key: str, said: Plain, model: type[BaseModel], generator: str = "") -> Iterator[str]:
    """A component with what is said, then all else that it takes as comments."""
    yield f"{key}:"
    described = {option.name: option for option in options(model)}
    for name, value in said.items():
        if generator and name != "name" and value == generator:
            yield from _noted(f"  {name}:", described[name].description)
            yield f"    name: {value}"
            inner: tuple[Option, ...] = options(registry.find("generator", generator).Options)
            yield from (line for option in inner for line in _commented(option, "    "))
        else:
            yield from _noted(f"  {name}: {inline(value)}", described[name].description if name in described else "")
    yield from (line for name, o in described.items() if name not in said for line in _commented(o, "  "))


def _commented(option: Option, indent: str) -> Iterator[str]:
    yield from _noted(f"{indent}# {option.name}: {inline(option.default)}", option.description)


def _noted(line: str, note: str) -> Iterator[str]:
    """A line and what is said of it, in a column of its own, on as many lines as that takes."""
    if not note:
        yield line
        return
    at = max(COLUMN, len(line) + 2)
    first, *rest = textwrap.wrap(note, max(WIDTH - at, 40), break_long_words=False, break_on_hyphens=False)
    yield f"{line:<{at}}# {first}"
    yield from (f"{'':<{at}}# {more}" for more in rest)
