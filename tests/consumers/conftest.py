"""Helpers are imported by their bare names: other packages install a folder called tests."""

import sys
from pathlib import Path

for folder in ("core", "contract", "consumers"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
