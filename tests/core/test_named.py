"""Objects by ``package.module:name``, and errors of other people's code on one line."""

# Messages read best one a line.
# ruff: noqa: E501

import sys

import pytest

from onnxlearn.errors import OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.named import named_object, reason
from onnxlearn.registry import learner

FILES = {
    "ownnets/__init__.py": "",
    "ownnets/good.py": "import json\n\ndef make(schema): ...\n\nclass Net:\n    class Inner: ...\n\nWIDTH = 3\n",
    "ownnets/lacking.py": "import numpy\nimport nopackage.of_that_name\n",
    "ownnets/failing.py": "def half(x):\n    return x / 0\n\nhalf(1)\n",
    "ownnets/leaving.py": "import sys\nsys.exit('no arguments')\n",
    "ownnets/broken.py": "def half(x:\n",
    "ownnets/wordy.py": "raise ValueError('one' + chr(10) + 'two', " + "'x'" * 50 + ")\n",
    "ownnets/unfound.py": "import ownnets.nothing\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "ownnets").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("ownnets")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["make", "Net", "Net.Inner", "WIDTH"])
def test_objects_are_found(folder, name):
    found = named_object(f"ownnets.good:{name}")
    assert getattr(found, "__qualname__", name) == name


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("ownnet.good:Net", UnknownNameError, r"there is no module 'ownnet': it has to be installed, or in the folder .* Did you mean 'ownnets'\?$"),
        ("ownnets.god:Net", UnknownNameError, r"there is no module 'ownnets\.god': .*\. Did you mean 'ownnets\.good'\?$"),
        ("ownnets.good.more:Net", UnknownNameError, r"there is no module 'ownnets\.good\.more'"),
        ("ownnets.good:Nett", UnknownNameError, r"module 'ownnets\.good' has no 'Nett'; it has 'Net', 'make'\. Did you mean 'Net'\?"),
        ("ownnets.good:Net.Outer", UnknownNameError, r"module 'ownnets\.good' has no 'Net\.Outer'"),
        ("ownnets.lacking:Net", OnnxlearnError, r"module 'ownnets\.lacking' cannot be imported: ModuleNotFoundError: No module named 'nopackage' \(lacking\.py, line 2: import nopackage\.of_that_name\)$"),
        ("ownnets.unfound:Net", OnnxlearnError, r"No module named 'ownnets\.nothing' \(unfound\.py, line 1: import ownnets\.nothing\)$"),
        ("ownnets.failing:Net", OnnxlearnError, r"cannot be imported: ZeroDivisionError: division by zero \(failing\.py, line 2: return x / 0\)$"),
        ("ownnets.leaving:Net", OnnxlearnError, r"cannot be imported: SystemExit: no arguments \(leaving\.py, line 2: sys\.exit\('no arguments'\)\)$"),
        ("ownnets.broken:Net", OnnxlearnError, r"cannot be imported: SyntaxError: .* \(broken\.py, line 1\)$"),
        ("ownnets.wordy:Net", OnnxlearnError, r"ValueError: \('one\\ntwo', .*\(wordy\.py, line 1: raise ValueError\(.{60}\.\.\.\)$"),
        ("ownnets/good.py:Net", ParameterError, r"is called package\.module:name, not 'ownnets/good\.py:Net', here perhaps ownnets\.good:Net$"),
        ("ownnets.good.py:Net", ParameterError, r"not 'ownnets\.good\.py:Net', here perhaps ownnets\.good:Net$"),
        ("/etc/x.py:Net", ParameterError, r"not '/etc/x\.py:Net'$"),
        (":Net", ParameterError, "not ':Net'"),
        ("ownnets.good:", ParameterError, "not 'ownnets.good:'"),
        ("own nets:Net", ParameterError, "not 'own nets:Net'"),
        ("ownnets:a:b", ParameterError, "not 'ownnets:a:b'"),
    ],
)  # fmt: skip
def test_what_is_not_found(folder, text, kind, line):
    with pytest.raises(kind, match=line) as refused:
        named_object(text)
    assert type(refused.value) is kind
    assert "\n" not in str(refused.value)


def test_a_learner_needs_something_that_can_be_called(folder):
    with pytest.raises(ParameterError, match=r"an instance of a network; ownnets\.good:WIDTH is a value of type int"):
        learner("ownnets.good:WIDTH")


def test_an_error_without_text_or_place():
    assert reason(KeyError()) == "KeyError"
    assert reason(ValueError("\n  one\ntwo")) == "ValueError: one"
