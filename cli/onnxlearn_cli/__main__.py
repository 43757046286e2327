"""``python -m onnxlearn_cli`` is the command ``onnxlearn``."""

from __future__ import annotations

import sys

from onnxlearn_cli import main

if __name__ == "__main__":
    sys.exit(main())
