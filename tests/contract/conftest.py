"""Helpers are imported by their bare names: other packages install a folder called tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
for folder in ("benchmarks", "core", "contract"):
    sys.path.insert(0, str(TESTS / folder))
