"""What GPUs hold, by their names."""

import re

_GIGABYTES = {
    "K80": 12, "P4": 8, "P100": 16, "T4": 15, "V100": 16, "A10": 24, "A10G": 24, "A30": 24, "A40": 48, "A100": 40,
    "L4": 24, "L40": 48, "L40S": 48, "H100": 80, "H200": 141, "B200": 180, "MI210": 64, "MI250X": 64, "MI300X": 192,
}  # fmt: skip
"""Of models, in their smallest form; a card that a system sees as two counts as two."""
MOST_GIGABYTES = 512
"""A larger number at a name's end is part of the model's."""
_SIZE = re.compile(r"(\d{1,3})G(?:I?B)?")


def memory_of(name: str) -> float | None:
    """Bytes of a GPU; None where its name does not say.

    A size in the name counts before the model's.

    Args:
        name: as Ray's labels, torch or people call it.

    Example:
        >>> memory_of("A100"), memory_of("A100-80"), memory_of("NVIDIA A100-SXM4-80GB"), memory_of("one of ours")
        (40000000000.0, 80000000000.0, 80000000000.0, None)
    """
    words = re.split(r"[^A-Z0-9]+", name.upper())
    sizes = [int(found[1]) for word in reversed(words) if (found := _SIZE.fullmatch(word))]  # 1g.10gb has 10
    if len(words) > 1 and words[-1].isdigit() and int(words[-1]) <= MOST_GIGABYTES:
        sizes.append(int(words[-1]))
    sizes += [_GIGABYTES[word] for word in words if word in _GIGABYTES]
    return sizes[0] * 1e9 if sizes else None
