"""Helpers of these tests are imported by their bare names: other packages install a folder called tests."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
