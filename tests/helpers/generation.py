"""What trials measure of generation and the pictures they make, written by hand."""

import numpy as np


def figures(coherence, fid=None):
    """Of two modalities, `a` always better than `b`; the Fréchet distance is ten times what coherence lacks."""
    found = {
        "a>a": {"coherence": 1.0, "frechet": 0.0}, "b>b": {"coherence": 0.5, "frechet": 1.0},
        "a>b": {"coherence": coherence - 0.125, "frechet": 10 * (1 - coherence)},
        "b>a": {"coherence": coherence + 0.125, "frechet": 10 * (1 - coherence)},
        ">a": {"frechet": 2.0}, ">b": {"frechet": 4.0}, ">": {"coherence": 0.25}, "all": {"bound": -100.0},
    }  # fmt: skip
    if fid is not None:
        found["a>b"]["fid"] = found["b>a"]["fid"] = fid
    return found


def generated(coherence, round_=2, judges=(0.875, 0.9375), **more):
    """What a summary says."""
    said = {"round": round_, "figures": figures(coherence, **more), "judges": dict(zip("ab", judges, strict=True))}
    return {"generation": said}


def flat(colour, samples, height=4, width=4):
    """Pictures of one colour each; grey where it is one number."""
    colours = np.array(colour, np.uint8).reshape(1, 1, 1, -1)
    return np.broadcast_to(colours, (samples, height, width, colours.size)).copy()


def pictures(samples=3, **more):
    """`a` is red where it is real and dark where it was made; `b` is grey and one number a pixel."""
    arrays = {"real/a": flat((255, 0, 0), samples), "real/b": flat(128, samples)}
    for source in ("a", "b", "prior"):
        arrays |= {f"{source}/a": flat((60, 0, 0), samples), f"{source}/b": flat(30, samples)}
    return arrays | more
