"""Digests of code: equal for the same code and values, others for others."""

import functools
import importlib
import subprocess
import sys

import numpy as np
import pytest

from onnxlearn.code_digest import code_digest


def scaled(factor, inner=None):
    def function(x, *, shift=0):
        return factor * x + shift if inner is None else inner(x)

    return function


class Base:
    """A class."""

    def __init__(self, width=1):
        self.width = width

    def __call__(self, x):
        return x * self.width


class Derived(Base):
    """One that stands on it."""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scaled(2), scaled(3)),
        (scaled("2"), scaled(2)),
        (scaled(np.array([[0.0, 1.0]])), scaled(np.array([[0.0, 2.0]]))),
        (scaled([1, {2}]), scaled([1, {3}])),
        (scaled({"a": 1}), scaled({"a": 2})),
        (scaled(1, scaled(2)), scaled(1, scaled(3))),
        (lambda x: x, lambda x: x + 1),
        (Base, Derived),
        (Base(1), Base(2)),
        (functools.partial(scaled, 1), functools.partial(scaled, 2)),
        (functools.partial(scaled, inner=scaled(1)), functools.partial(scaled, inner=scaled(2))),
        (Base(1).__call__, Base(2).__call__),
        (eval("lambda x: x + 1"), eval("lambda x: x + 2")),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert code_digest(one) != code_digest(other)
    assert code_digest(one) == code_digest(one)


def test_what_is_made_anew_has_the_same_digest():
    assert code_digest(scaled(2, scaled(np.ones(3)))) == code_digest(scaled(2, scaled(np.ones(3))))
    assert code_digest(Base(3)) == code_digest(Base(3))


def test_what_holds_itself_ends():
    holder = Base([])
    holder.width.append(holder)
    assert len(code_digest(holder)) == 64


def test_another_process_finds_the_same_and_an_edit_changes_it(tmp_path, monkeypatch):
    file = tmp_path / "own_code_of_test.py"
    file.write_text("class Net:\n    names = {'a', 'b', 'c'}\n    def __init__(self): self.names = {'a', 'b', 'c'}\n")
    call = "import own_code_of_test as o; from onnxlearn.code_digest import code_digest as d; print(d(o.Net), d(o.Net()))"
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("own_code_of_test")
    ours = [code_digest(module.Net), code_digest(module.Net())]
    environment = {"PYTHONPATH": ":".join([*sys.path, str(tmp_path)])}
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", call],
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ours
    file.write_text("class Net:\n    names = {'a', 'b', 'c'}\n    def __init__(self): self.names = {'a', 'b'}  # fewer\n")
    assert code_digest(importlib.reload(module).Net) != ours[0]
