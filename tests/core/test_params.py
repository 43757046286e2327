"""Parameters as dataclass fields: lists, those without a default, values of any type."""

# Messages read best one a line.

from dataclasses import dataclass
from typing import Any

import pytest

from onnxlearn.errors import ParameterError
from onnxlearn.params import REQUIRED, build_configs, list_params, param, parse_text, to_json


@dataclass(frozen=True, kw_only=True)
class Config:
    widths: list[int] = param([8], "widths")
    anything: Any = param(None, "anything")
    several: tuple[int | str, ...] = param((), "several")
    some: list[Any] = param([], "some")
    needed: int = param(REQUIRED, "needed")


def test_defaults():
    defaults = {found.name: found.default for found in list_params([Config])}
    assert defaults == {"widths": [8], "anything": None, "several": (), "some": [], "needed": REQUIRED}
    assert [found.type for found in list_params([Config])] == ["list of int", "Any", "list of int | str", "list of Any", "int"]
    (config,) = build_configs([Config], {}, owner="it")
    assert config.widths == [8]
    assert repr(config.needed) == "<required>"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("widths", "4, 5", (4, 5)),
        ("widths", "4,x", "4,x"),
        ("anything", "4", 4),
        ("anything", "4.5", 4.5),
        ("anything", "true", True),
        ("anything", "None", None),
        ("anything", "gelu", "gelu"),
        ("several", "4,x", (4, "x")),
        ("some", "4,x,false", (4, "x", False)),
        ("needed", "4", 4),
    ],
)
def test_text_is_read_by_type(name, text, value):
    found = parse_text([Config], name, text)
    assert (found, type(found)) == (value, type(value))


def test_none_is_no_text_where_it_can_be_given():
    """Though every text could be read as one."""

    @dataclass(frozen=True, kw_only=True)
    class Named:
        name: str | None = param("a", "name (None: another's)")

    assert [parse_text([Named], "name", text) for text in ("None", "4", "b")] == [None, "4", "b"]


def test_lists_become_what_the_type_says():
    (config,) = build_configs([Config], {"widths": (4, 5), "several": [4, "x"]}, owner="it")
    assert (config.widths, config.several) == ([4, 5], (4, "x"))
    with pytest.raises(ParameterError, match=r"it: widths has to be list of int, not \[4, 0\.5\]"):
        build_configs([Config], {"widths": [4, 0.5]}, owner="it")


def test_json_of_values():
    values = [None, True, 1, 1.5, float("inf"), "x", (1, [2]), {"a": (3,)}, dict, REQUIRED]
    assert to_json(values) == [None, True, 1, 1.5, "inf", "x", [1, [2]], {"a": [3]}, "builtins:dict", None]
    with pytest.raises(
        ParameterError, match=r"a parameter has to be a value that a model's metadata can name, .* a object is none"
    ):
        to_json({"a": [object()]})


@dataclass(frozen=True, kw_only=True)
class Ranged:
    share: float | None = param(None, "a share", low=0, low_open=True, high=1, high_open=True)
    scored: str | None = param(None, "a measure", choices={"acc": 1}, refused={"auc": "it has none"})


def test_an_end_that_is_not_in_the_range_is_told_and_refused():
    assert [found.range for found in list_params([Ranged])] == ["> 0, < 1", ""]
    for value in (0.0, 1, 1.0, 2.0):
        with pytest.raises(ParameterError, match=rf"it: share has to be float \| None > 0, < 1, not {value} \(a share\)"):
            build_configs([Ranged], {"share": value}, owner="it")
    assert build_configs([Ranged], {"share": 0.999}, owner="it")[0].share == 0.999


def test_a_value_that_cannot_be_is_refused_with_the_reason():
    with pytest.raises(ParameterError, match=r"^it: scored='auc' cannot be: it has none; it has to be acc \| None$"):
        build_configs([Ranged], {"scored": "auc"}, owner="it")
    with pytest.raises(ParameterError, match=r"it: scored has to be acc \| None, not 'f1' \(a measure\)"):
        build_configs([Ranged], {"scored": "f1"}, owner="it")
