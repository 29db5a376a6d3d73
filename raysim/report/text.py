"""Small pieces of text that the terminal and the files share: numbers, durations, bars, sparklines."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans(dict(zip(_SPARKS + "░·…─", "__--==##.|.-", strict=True)))  # one for one: widths stay


def encodable(text: str, encoding: str | None) -> str:
    """The text with what the encoding lacks replaced by look-alikes or `?`, at the same width."""
    encoding = encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.translate(_ASCII)
        if "±" not in "±".encode(encoding, "replace").decode(encoding):
            plain = plain.replace(" ± ", " +-")
        return plain.encode(encoding, "replace").decode(encoding)
    return text


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals; `n/a` where undefined."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:z.{digits}f}"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """`45 ms`, `3.2 s`, `4 min 05 s` or `2 h 07 min`."""
    if 0 < seconds < 0.0995:
        return f"{max(round(1000 * seconds), 1)} ms"
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes as people read them: `512 B`, `35.6 kB`, `2.1 GB` (powers of 1,000)."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def label(grid: Mapping[str, str]) -> str:
    """A grid point in one line: `method=fin missing.rate=0.3`."""
    return " ".join(f"{key}={value}" for key, value in grid.items())


def bar(fraction: float, width: int) -> str:
    """A filled bar of `width` cells; fractions outside 0 to 1 are cut."""
    full = round(min(max(fraction, 0.0), 1.0) * width)
    return "█" * full + "░" * (width - full)


def sparkline(values: Sequence[float], width: int) -> str:
    """At most `width` blocks from the lowest to the highest value; the mean where several share a block."""
    known = [v for v in values if math.isfinite(v)]
    if not known or width < 1:
        return ""
    cells = min(width, len(known))
    edges = [i * len(known) // cells for i in range(cells + 1)]
    means = [sum(known[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(_SPARKS[min(int((m - low) / span * 8), 7) if span else 3] for m in means)
