"""One module, its room, for each lesson: its live figure, its exercises' checks, its own pictures.

A room is called as its notebook is, without the number; ``<room>.words.toml`` beside it holds its texts.
"""

import importlib
import pkgutil

# Importing a room registers its figures and checks.
for room in pkgutil.iter_modules(__path__):
    importlib.import_module(f".{room.name}", __name__)
