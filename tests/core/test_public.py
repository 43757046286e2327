"""The public surface: lazy, sorted, and not in the way of its own submodules."""

import subprocess
import sys

import pytest

import onnxlearn


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_every_name_resolves_and_all_is_sorted():
    # As ruff sorts: names in capitals first.
    assert onnxlearn.__all__ == sorted(onnxlearn.__all__, key=lambda name: (not name.isupper(), name))
    assert set(onnxlearn.__all__) | {"__version__"} == set(dir(onnxlearn))
    for name in onnxlearn.__all__:
        assert getattr(onnxlearn, name) is not None


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'onnxlearn' has no attribute 'lern'"):
        _ = onnxlearn.lern


def test_importing_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "torch", "sklearn", "onnxruntime", "onnx", "pyarrow", "typer", "rich", "importlib.metadata")
    loaded = run("import onnxlearn, sys; print(*sorted(sys.modules))").split()
    assert not set(heavy) & set(loaded)


def test_loading_and_measures_need_neither_torch_nor_pandas():
    code = (
        "import sys\n"
        "for name in ('pandas', 'torch', 'sklearn', 'onnx', 'pyarrow', 'typer', 'rich'): sys.modules[name] = None\n"
        "import onnxlearn as ol\n"
        "print(ol.load.__name__, ol.Model.__name__, ol.Prediction.__name__, ol.Task.__name__, ol.measures.get('auc').name)\n"
        "print(ol.Nested(ol.CV(), ol.Holdout(0.8)))"
    )
    assert run(code).splitlines() == [
        "load Model Prediction Task auc",
        "Nested(outer=CV(folds=5), inner=Holdout(ratio=0.8))",
    ]


@pytest.mark.parametrize(
    "first", ["import onnxlearn.learner", "from onnxlearn.learner import Learner", "import onnxlearn.model"]
)
def test_the_function_learner_is_not_shadowed_by_the_module(first):
    assert run(f"{first}; import onnxlearn; print(onnxlearn.learner.__name__, onnxlearn.Learner.__name__)") == "learner Learner"


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert onnxlearn.__version__ == version("onnxlearn")
