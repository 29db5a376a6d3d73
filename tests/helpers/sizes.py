"""Small options of the methods for tests, and what a method cannot do without."""

SMALL = {
    "cacmrn": {"width": 8},
    "feature_imputation": {"layers": 1, "heads": 2, "hidden": 8},
    "fedmmr": {"noise": 4, "generator": [8], "discriminator": [8]},
    "generate": {"generator": {"name": "mopoe", "latent": 4, "hidden": 8, "channels": [4], "width": 2}},
    "mmfedmc": {"modalities": 3, "clients": 1.0},
    "mvae_mapping": {"latent": 4, "hidden": 8, "map_hidden": 8, "channels": [4]},
    "vae_fill": {"generator": {"name": "mopoe", "latent": 4, "hidden": 8, "channels": [4]}},
    "train_on_generated": {
        "pretrain_rounds": 1, "generator": {"name": "mopoe", "latent": 4, "hidden": 8, "channels": [4]},
    },
    "report_generation": {
        "dim": 8, "hidden": 8, "heads": 2, "layers": 1, "slots": 2, "report_rounds": 1, "report_epochs": 1,
        "trunk": {"name": "cnn", "channels": [4]},
    },
}  # fmt: skip
SECTIONS = {"car_mfl": {"public": 9}}
"""Method -> sections that its scenario must have."""
NEEDED = {"report_generation": ("tokens", "image")}
"""Kinds that a method cannot do without."""
FITS = {"report_generation": "pictures", "train_on_generated": "vectors"}
"""The data that suits a method that not all data suits."""


def shrunk(method):
    """A method's options in a scenario, with small sizes and few rounds; a generator stays what it is."""
    small = _sooner(method) | SMALL.get(method["name"], {})
    if method["name"] in ("generate", "vae_fill", "train_on_generated"):
        small["generator"] = _shrunk(method["generator"])
    return small


def _shrunk(generator):
    if "backbone" in generator:
        return _sooner(generator) | {"backbone": _shrunk(generator["backbone"]), "map_hidden": 8}
    few = {"samples": min(generator["samples"], 2)} if "samples" in generator else {}
    return generator | {"latent": 4, "hidden": 8, "channels": [4], "width": 4} | few


def _sooner(options):
    return options | ({"pretrain_rounds": min(options["pretrain_rounds"], 1)} if "pretrain_rounds" in options else {})
