"""One room a lesson: its live figure, the checks of its exercises, and the pictures that only it shows.

A room is called as its notebook is, without the number; ``<room>.words.toml`` beside it holds what it says.
"""

import importlib
import pkgutil

# Importing a room enters what it offers into the registry.
for room in pkgutil.iter_modules(__path__):
    importlib.import_module(f".{room.name}", __name__)
