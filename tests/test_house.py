"""The house stands: imports point one way, torch is not needed where it is not promised, the wheel works on its own."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"onnxlearn": "onnxlearn", "onnxlearn_models": "models/onnxlearn_models", "onnxlearn_cli": "cli/onnxlearn_cli"}
SOURCES = sorted(path for folder in PACKAGES.values() for path in (ROOT / folder).rglob("*.py"))

# Imported by model servers alone, which pin other versions of much; tested where those are installed.
IN_SERVERS = re.compile(r"onnxlearn\.(hosts\.mlserver|serving\.process\..+)")

BLOCK_TORCH = "import sys; sys.modules['torch'] = None\n"


def python(code: str, *, cwd: Path = ROOT, path: list[Path] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process that finds our packages in these folders (the checkout's by default)."""
    folders = [str(folder) for folder in path or [ROOT, ROOT / "models", ROOT / "cli"]]
    start = f"import sys; sys.path[:0] = {folders!r}\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", start + code],
        cwd=cwd,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def succeeds(code: str) -> None:
    done = python(code)
    assert done.returncode == 0, done.stderr


# Imports


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def test_no_import_cycles(graph: grimp.ImportGraph) -> None:
    cyclic = {
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(imported, module)
    }
    assert cyclic == set()


def test_nothing_imports_a_package_root(graph: grimp.ImportGraph) -> None:
    imports = {(module, root) for root in PACKAGES for module in graph.find_modules_that_directly_import(root)}
    assert imports == {("onnxlearn_cli.__main__", "onnxlearn_cli")}


# The torch-free lane


def test_the_block_blocks() -> None:
    done = python(BLOCK_TORCH + "import torch")
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of torch halted" in done.stderr


def test_the_core_and_the_command_import_without_torch(graph: grimp.ImportGraph) -> None:
    names = sorted(name for name in graph.modules if not name.startswith("onnxlearn_models"))
    assert {"onnxlearn.schema", "onnxlearn.serving.worker", "onnxlearn_cli.run"} <= set(names)
    names = [name for name in names if not IN_SERVERS.fullmatch(name)]
    succeeds(BLOCK_TORCH + f"import importlib\nfor name in {names}:\n    importlib.import_module(name)")


def test_learners_are_listed_without_torch() -> None:
    succeeds(
        BLOCK_TORCH + "from onnxlearn.registry import learner_infos\nassert {'mlp', 'featureless'} <= set(learner_infos())"
    )


def test_a_network_without_torch_is_an_error_with_the_way_out() -> None:
    code = """
from onnxlearn.registry import learner
from onnxlearn.errors import MissingExtraError
try:
    learner("mlp")
except MissingExtraError as error:
    assert str(error) == "learner 'mlp' needs the package torch: pip install 'onnxlearn[train]'", error
else:
    raise SystemExit("no error")
"""
    succeeds(BLOCK_TORCH + code)


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ["torch", "pandas", "sklearn", "onnxruntime", "onnx", "pyarrow", "rich", "typer", "matplotlib", "jinja2"]
    succeeds(f"import onnxlearn\nfound = [name for name in {heavy} if name in sys.modules]\nassert not found, found")


def test_help_imports_nothing_heavy() -> None:
    code = """
import contextlib, io
from onnxlearn_cli import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["fit", "--help"]) == 0
"""
    heavy = ["torch", "pandas", "sklearn", "onnxruntime", "onnx", "pyarrow", "rich", "numpy"]
    succeeds(code + f"found = [name for name in {heavy} if name in sys.modules]\nassert not found, found")


def test_a_missing_typer_is_one_line() -> None:
    done = python("sys.modules['typer'] = None\nfrom onnxlearn_cli import main\nsys.exit(main(['--help']))")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "onnxlearn: the command line needs the package typer: pip install 'onnxlearn[cli]'\n"


def test_another_missing_module_stays_a_fault() -> None:
    done = python("sys.modules['onnxlearn.errors'] = None\nfrom onnxlearn_cli import main\nsys.exit(main(['--help']))")
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of onnxlearn.errors halted" in done.stderr


# The text


def test_files_are_short() -> None:
    longest = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in longest.items() if lines > 600} == {}


def tracked_texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    # A copy of the tree is no repository: there, everything that is no build output counts.
    names = listed.stdout.splitlines() if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    skipped = {".git", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
    suffixes = {".py", ".md", ".toml", ".js", ".json", ".yml", ".cfg", ""}
    paths = [ROOT / name for name in names if not skipped & set(Path(name).parts)]
    return [path for path in paths if path.is_file() and path.suffix in suffixes]


def test_no_local_paths_in_the_text() -> None:
    # Written apart so that this file does not find itself.
    local = re.compile("|".join(["/" + "work/", "/" + "root/", r"/" + r"home/\w", r"/" + r"Users/\w", "file:" + "///"]))
    found = [str(path.relative_to(ROOT)) for path in tracked_texts() if local.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
    found = [str(path.relative_to(ROOT)) for path in tracked_texts() if words.search(path.read_text(encoding="utf-8"))]
    assert found == []


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_three_packages_and_the_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    packed = {name for name in names if name.endswith(".py")}
    expected = {
        f"{name}/{path.relative_to(ROOT / folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert packed == expected
    templates = {f"onnxlearn/reporting/templates/page.{suffix}" for suffix in ("html", "css", "js")}
    clients = {path.relative_to(ROOT).as_posix() for path in (ROOT / "onnxlearn/export/clients/templates").rglob("*.jinja")}
    assert len(clients) > 15
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "onnxlearn/export/web/templates").iterdir()}
    assert len(pages) > 8
    assert {"onnxlearn/data/penguins.csv", *templates, *clients, *pages, *(f"{name}/py.typed" for name in PACKAGES)} <= set(
        names
    )


def test_the_wheel_works_outside_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = f"""
import onnxlearn, onnxlearn_models, onnxlearn_cli
for module in (onnxlearn, onnxlearn_models, onnxlearn_cli):
    assert module.__file__.startswith({str(site)!r}), module.__file__
from onnxlearn_cli import main
assert main(["fit", "example:penguins", "--target", "species", "--learner", "featureless", "--out", "m.onnx"]) == 0
sys.modules["torch"] = None
assert main(["predict", "m.onnx", "example:penguins", "--out", "predictions.csv"]) == 0
"""
    work = tmp_path / "elsewhere"
    work.mkdir()
    done = python(code, cwd=work, path=[site])
    assert done.returncode == 0, done.stderr
    assert len((work / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 345
    assert sorted(path.name for path in work.iterdir()) == ["m.onnx", "predictions.csv"]
