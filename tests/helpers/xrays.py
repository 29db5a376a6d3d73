"""What tests of chest X-ray datasets share: small pictures, and a preparation in this process."""

import layouts
from layouts import LENGTH, draw, write_csv

__all__ = ["draw", "prepared", "write_csv"]


def prepared(recipe, root, folder, **settings):
    known = {"image": {"name": "pixels", "size": 2, "color": "grey"}, "text": LENGTH}
    return layouts.prepared(recipe, root, folder, {m: known[m] for m in recipe.features}, **settings)
