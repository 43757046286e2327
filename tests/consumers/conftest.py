"""Helpers of these tests are imported by their bare names: other packages install a folder called tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
