"""Lines of keys: every key that Python's parser finds has one, and it is the one where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.files.toml import TomlSyntaxError, parse_toml

# Every value says the line that its key stands in.
DOCUMENT = """\
# a "comment" with = and [brackets]
seed = 2
"quoted key" = 3 # and = a comment
'liter.al' = [ 4, 4 ]   #
a.b . "c.d".e = 5
text = \"\"\"
seed = 99
[no.table]
"quotes" ""\\\""" and five \"\"\"\"\"
when = { date = 1979-05-27T07:32:00.5Z, day = 1979-05-27, float = -1.5e+3, nested = { deep = [ 10, { x = 10 } ] } }
literal = '''
x = 1
'''''
list = [
  # a comment, with a comma
  16, "a ] b",

  [ 18, 18 ], # [ 3 ]
  { name = "x",  value = [
    20 ] },
]
[tables . inner]   # header
key = 23
[[rows]]
name = 25
[rows.sub]
x = 27
[[rows.more]]
y = 29
[[rows]]
name = 31
[[rows.more]]
y = 33
[[rows.more]]
y = 35
[tables]
late = 37
"emp\\u0074y" = ""
last = 39"""

LINES = {
    ("seed",): 2, ("quoted key",): 3, ("liter.al",): 4, ("liter.al", 1): 4, ("a",): 5, ("a", "b", "c.d", "e"): 5, ("text",): 6,
    ("when",): 10, ("when", "nested", "deep", 1, "x"): 10, ("literal",): 11, ("list",): 14, ("list", 0): 16, ("list", 1): 16,
    ("list", 2): 18, ("list", 2, 1): 18, ("list", 3): 19, ("list", 3, "value"): 19, ("list", 3, "value", 0): 20,
    ("tables",): 22, ("tables", "inner"): 22, ("tables", "inner", "key"): 23, ("rows",): 24, ("rows", 0): 24,
    ("rows", 0, "name"): 25, ("rows", 0, "sub"): 26, ("rows", 0, "sub", "x"): 27, ("rows", 0, "more"): 28,
    ("rows", 0, "more", 0, "y"): 29, ("rows", 1): 30, ("rows", 1, "name"): 31, ("rows", 1, "more", 0): 32,
    ("rows", 1, "more", 1, "y"): 35, ("tables", "late"): 37, ("tables", "empty"): 38, ("tables", "last"): 39, (): 1,
}  # fmt: skip


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from paths(item, (*path, name))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_key_and_item_has_its_line(newline) -> None:
    document, lines = parse_toml(DOCUMENT.replace("\n", newline))
    assert document == tomllib.loads(DOCUMENT)
    assert set(lines) == set(paths(document))
    assert {path: lines[path] for path in LINES} == LINES


def dumped(value: Any, blank: str) -> str:
    """A value on one line or, in lists, on several."""
    if isinstance(value, list):
        return "[" + f",{blank}".join(dumped(item, blank) for item in value) + f"{blank}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key_text(key)} = {dumped(item, ' ')}" for key, item in value.items()) + " }"
    return key_text(value) if isinstance(value, str) else str(value)


def key_text(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(['"""', "'", "#", "[x]", "a = 1", "\n"])
VALUES = st.recursive(
    st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=6), st.sampled_from([" ", "\n", " # ]\n"]))
def test_drawn_documents_keep_their_keys_and_lines(document, blank) -> None:
    texts = [f"{key_text(key)} = {dumped(value, blank)}\n" for key, value in document.items()]
    parsed, lines = parse_toml("".join(texts))
    assert parsed == document
    assert set(lines) == set(paths(document))
    line = 1
    for key, text in zip(document, texts, strict=True):
        assert lines[key,] == line
        line += text.count("\n")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1\nb = \n", 2, "Invalid value, at column 5"),
        ("a = 1\n[b\n", 2, ""),
        ("a = 1\n\na = 2\n", 3, "Cannot overwrite a value, at column 6"),
        ("[t]\n[u]\n[t]\n", 3, "Cannot declare ('t',) twice, at column 3"),
        ('x = """\nno end\n\n', 2, "Unterminated string, at the end"),
        ("x = [1,\n 2\n", 2, "Unclosed array, at the end"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text, line, message) -> None:
    with pytest.raises(TomlSyntaxError) as caught:
        parse_toml(text)
    assert caught.value.line == line
    assert message in str(caught.value)
