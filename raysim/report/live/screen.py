"""The screen of a study under way: the study, a line for each live trial, and as many in full as fit."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from raysim.report.live.plain import prefix, round_figures
from raysim.report.live.state import State, TrialState
from raysim.report.reading.generation import heading
from raysim.report.text import bar, duration, label, number, size, sparkline

SIDE_BY_SIDE = 110
"""From this width on, clients stand beside the metrics, and the lines of live trials say what they are."""
LOW = 8
"""Below this height the machine is left out."""
ROOMY = 28
"""From this height on, the trial's plan is shown, and blank lines part the sections."""
MANY = 50
"""From this many clients on a summary takes the place of their table."""
ALERTS = 3
"""How many failures and how many warnings stay on the screen, where it is high enough; all are in the lines above."""
PANEL = 11
"""So many lines are worth another trial in full."""
DOING = 4
"""So many lines what goes on may take."""
_GAP = 2


def render(state: State, now: float, width: int, height: int) -> RenderableType:
    """At most `height` lines of at most `width` cells.

    Args:
        state: what is known.
        now: the time by the clock that `state` was folded with.
        width: of the screen, in cells.
        height: of the screen, in lines.
    """
    alerts = _alerts(state, min(ALERTS, max((height - 2) // 6, 1)))[: max(height - 2, 0)]
    head = list(_study(state, now, width, max(height // 3, 1)))[: height - len(alerts)]
    foot = [*_machine(state, width), *alerts] if height >= LOW else alerts
    room = height - len(head) - len(foot)
    shown = list(state.live.values()) or ([state.last] if state.last else [])
    shown = shown[: max(room // PANEL, 1)]
    parts: list[RenderableType] = [*head]
    for i, trial in enumerate(shown):
        panel, lines = _panel(state, trial, width, room // (len(shown) - i), roomy=height >= ROOMY)
        parts += panel
        room -= lines
    return Group(*(_cut(part) for part in (*parts, *foot)))


def _panel(state: State, trial: TrialState, width: int, room: int, *, roomy: bool) -> tuple[list[RenderableType], int]:
    """A trial in full, and the lines that it takes, at most `room`."""
    head = _trial(state, trial, plan=roomy)[:room]
    gap = [Text()] if roomy else []
    left = max(room - len(head) - 2 * len(gap), 0)
    if width < SIDE_BY_SIDE:
        metrics = _metrics(trial, width, left)
        clients = _clients(trial, left - len(gap) - len(metrics))
        parts = [line for part in (head, metrics, clients) if part for line in (*part, *gap)]
        return [*parts], len(parts)
    half = (width - 2 * _GAP) // 2
    metrics, clients = _metrics(trial, half, left), _clients(trial, left)
    if not metrics and not clients:
        return [*head, *gap], len(head) + len(gap)
    body = Grid.grid(padding=(0, 2 * _GAP, 0, 0))
    body.add_column(width=half)
    body.add_column(width=half)
    body.add_row(_stacked(metrics), _stacked(clients))
    return [*head, *gap, body, *gap], len(head) + 2 * len(gap) + max(len(metrics), len(clients))


def _study(state: State, now: float, width: int, most: int) -> Iterator[Text]:
    """How far the study is; before its first trial, what goes on."""
    if state.results.trials:
        yield from _progress(state, now, width, most)
    if state.doing:
        since = f" ({duration(now - state.doing_since)})" if now > state.doing_since else ""
        for line in textwrap.wrap(f"{state.doing}{since}", width, break_on_hyphens=False)[:DOING]:  # a command is whole
            yield Text(line, "bold yellow" if state.live else "bold")


def _progress(state: State, now: float, width: int, most: int) -> Iterator[Text]:
    """The study's line, and below it at most `most` lines for the trials under way."""
    live = list(state.live.values()) or ([state.last] if state.last else [])
    shown = live if len(live) <= most else live[: max(most - 1, 1)]
    several = state.slots > 1
    names = ["study", *(f"[{state.results.position(t.info)}]" if several else "trial" for t in shown)]
    failed = f", {len(state.results.failures)} failed" if state.results.failures else ""
    counts = [f"{state.trials_ended}/{len(state.results.trials)} trials{failed}"]
    counts += [f"{t.done}/{t.info.rounds} rounds" for t in shown]
    times = [f"{duration(now - state.began)}{_left(state.left_s(now))}"]
    times += [("" if t.round_s is None else f"{duration(t.round_s)} a round") + _left(t.left_s(now)) for t in shown]
    scores = ["", *(_score(t) if several else "" for t in shown)]
    about = ["", *(_about(t) if several and width >= SIDE_BY_SIDE else "" for t in shown)]
    first, second, third, fourth = (max(map(len, column)) for column in (names, counts, times, scores))
    free = width - first - second - third - (fourth + _GAP if fourth else 0) - 3 * _GAP
    cells = min(max(free, 4), 20 if several else 40)
    shares = [state.share, *(t.share for t in shown)]
    for name, share, *rest in zip(names, shares, counts, times, scores, about, strict=True):
        text = f"  {rest[0]:<{second}}  {rest[1]:<{third}}  {rest[2]:<{fourth}}  {rest[3]}".rstrip()
        yield Text.assemble(f"{name:<{first}}  ", (bar(share, cells), "cyan"), text)
    if len(shown) < len(live) and most > 1:
        yield Text(f"and {len(live) - len(shown)} more", "dim")


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {duration(seconds)} left"


def _score(trial: TrialState) -> str:
    """The last validation figure of the metric that decides."""
    value = trial.scores.get("validation", {}).get(trial.info.metric)
    return "" if value is None else f"{trial.info.metric} {number(value)}"


def _about(trial: TrialState) -> str:
    return f"{label(trial.info.grid)} seed={trial.info.seed}".strip()


def _trial(state: State, trial: TrialState, *, plan: bool) -> list[Text]:
    lines = [Text(prefix(state.results, trial.info), "bold")]
    if plan:
        lines.append(Text(f"{trial.start.line}{_checkpoint(trial)}", "dim"))
    if trial.round:
        back, cohort = len(trial.back), len(trial.cohort)
        doing = f"{back} of {cohort} clients done" if back < cohort else "all clients done, aggregating and evaluating"
        lines.append(Text(f"round {trial.round}, phase {trial.phase}: {doing if trial.running else 'finished'}"))
    if trial.record:
        figures = "  ".join([*round_figures(trial.info, trial.record), *_made(trial)])
        lines.append(Text(f"last round ({trial.record['round']}): {figures}"))
    return lines


def _made(trial: TrialState) -> list[str]:
    """What generation came to, where that was measured in an earlier round than the last."""
    if trial.made is None or trial.made[0] == trial.record["round"]:
        return []
    round_, name, value = trial.made
    return [f"{heading(name)} {number(value)} (round {round_})"]


def _checkpoint(trial: TrialState) -> str:
    if (last := trial.checkpoint) is None:
        return ""
    return f"; checkpoint of round {last.round} ({size(last.bytes)} in {duration(last.seconds)})"


def _metrics(trial: TrialState, width: int, room: int) -> list[Text]:
    """A line a metric: its last values and how it went on the validation split."""
    if not trial.scores or room < 2:
        return []
    names = trial.info.metrics[: room - 1]
    widest = max(len("metric"), *map(len, names))
    columns = [s.replace("test_unmasked", "unmasked") for s in trial.scores]
    lines = [Text("  ".join([f"{'metric':<{widest}}", *(f"{c:>10}" for c in columns)]), "dim")]
    cells = min(width - widest - 12 * len(columns) - _GAP, 60)
    for name in names:
        values = [f"{number(s.get(name)):>10}" for s in trial.scores.values()]
        curve = sparkline(trial.history.get(name, []), cells)
        lines.append(Text.assemble("  ".join([f"{name:<{widest}}", *values, ""]), (curve, "green")))
    return lines


def _clients(trial: TrialState, room: int) -> list[Text]:
    """A line a client of the cohort as far as there is room, or a summary where they are many."""
    if not trial.cohort or room < 2:
        return []
    if len(trial.cohort) >= MANY:
        return _summary(trial)
    if room < 3:  # a head, and how many more there are, say nothing
        return []
    lines = [Text("client  state    samples    loss  seconds", "dim")]
    shown = trial.cohort if len(trial.cohort) <= room - 1 else trial.cohort[: room - 2]
    for client in shown:
        done, report = client in trial.back, trial.seen(client)
        figures = (
            ""
            if report is None
            else f"{report.samples:>7}  {number(report.loss, 3):>6}  {number(report.seconds, 2):>7}"
        )
        state_of = ("done   ", "green") if done else ("pending", "yellow")
        # figures of an earlier round stay until the new ones come, in grey
        lines.append(Text.assemble(f"{client:>6}  ", state_of, "  ", (figures, "" if done else "dim")))
    if len(shown) < len(trial.cohort):
        lines.append(Text(f"and {len(trial.cohort) - len(shown)} more", "dim"))
    return lines


def _summary(trial: TrialState) -> list[Text]:
    reports = [r for c in trial.cohort if c in trial.back and (r := trial.seen(c)) is not None]
    if not reports:
        return [Text(f"{len(trial.cohort)} clients, none done yet", "dim")]
    losses, seconds = [r.loss for r in reports], [r.seconds for r in reports]
    slowest = max(reports, key=lambda r: r.seconds)
    return [
        Text(f"{len(reports)} of {len(trial.cohort)} clients done, {sum(r.samples for r in reports):,} samples"),
        Text(f"loss {number(sum(losses) / len(losses))}, from {number(min(losses))} to {number(max(losses))}"),
        Text(
            f"{sum(seconds) / len(seconds):.2f} s a client; slowest: client {slowest.client}, {slowest.seconds:.2f} s"
        ),
    ]


def _machine(state: State, width: int) -> list[Text]:
    """The machine in a line: bars where a share is known."""
    now = state.resources
    if now is None:
        return [Text(state.results.hardware, "dim")]
    cells = 10 if width >= SIDE_BY_SIDE else 5
    parts: list[Text] = []
    for name, used, all_ in (
        ("cpu", now.cpu, 1.0),
        ("gpu", now.gpu, 1.0),
        ("memory", now.memory_bytes, now.memory_capacity_bytes),
        ("store", now.object_store_bytes, now.object_store_capacity_bytes),
    ):
        if used is not None:
            share = used / all_ if all_ else None
            gauge = "" if share is None else f"{bar(share, cells)} "
            figure = f"{used:.0%}" if all_ == 1.0 else size(used)
            parts.append(
                Text.assemble(f"{name} ", (gauge, "red" if share is not None and share > 0.95 else "cyan"), figure)
            )
    return [Text("   ").join(parts)]


def _alerts(state: State, most: int) -> list[Text]:
    """The last failures and warnings, at most so many of each; how many came before is said in the first one's line."""
    failures = [(f"[{state.results.position(trial)}] ", f"FAILED: {error}") for trial, error in state.results.failures]
    warnings = [
        (f"[{state.results.position(w.trial)}] " if w.trial and state.slots > 1 else "", w.text) for w in state.warnings
    ]
    lines: list[Text] = []
    for found, sign, style in ((failures, "x", "red"), (warnings, "!", "yellow")):
        before = len(found) - most
        for i, (of, text) in enumerate(found[-most:]):
            more = f"(and {before} before) " if before > 0 and i == 0 else ""
            lines.append(Text(f"{sign} {more}{of}{text}", style))
    return lines


def _stacked(lines: Sequence[Text]) -> Group:
    return Group(*map(_cut, lines))


def _cut(part: RenderableType) -> RenderableType:
    """A line stays one line however narrow the screen is."""
    if isinstance(part, Text):
        part.no_wrap, part.overflow = True, "ellipsis"
    return part
