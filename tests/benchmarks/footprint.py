"""Size of an environment that only predicts.

python tests/benchmarks/footprint.py           installs '.[cpu,cli]' into a new environment and measures it
python tests/benchmarks/footprint.py --write   also into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from timing import write_section

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
# What every environment has, whatever is installed into it.
TOOLS = {"pip", "setuptools"}
MEASURE = """
import json, os
from importlib.metadata import distributions
sizes = {}
for found in distributions():
    paths = [found.locate_file(name) for name in found.files or []]
    sizes[found.name] = sum(os.path.getsize(path) for path in paths if os.path.exists(path))
print(json.dumps(sizes))
"""


def measure() -> dict[str, int]:
    """Bytes of the files of each installed distribution, compiled modules included."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", f"{ROOT}[cpu,cli]"], check=True)
        sizes = subprocess.run([python, "-c", MEASURE], check=True, capture_output=True, text=True).stdout
    return {name: size for name, size in json.loads(sizes).items() if name not in TOOLS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    sizes = sorted(measure().items(), key=lambda item: -item[1])
    rows = [(name, size) for name, size in sizes if size >= 5e5]
    rows += [("the rest", sum(size for _, size in sizes) - sum(size for _, size in rows))]
    rows += [("**together**", sum(size for _, size in sizes))]
    text = "\n".join(["| package | MB |", "| --- | --- |", *(f"| {name} | {size / 1e6:.1f} |" for name, size in rows)])
    print(text)
    if options.write:
        write_section(PAGE, "size", text)


if __name__ == "__main__":
    main()
