"""The documents tell the truth: examples run and print what they show, references are what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load_generator()

# Training rounds differently on another processor: what is shown may differ there by
# this much (relatively where above 1), if it is no count.
SHOWN_WITHIN = 0.03
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def differences(shown: str, now: str) -> list[str]:
    """Lines that differ in their words, in whole numbers, or in more than the last digits of decimals."""
    before, after = shown.splitlines(), now.splitlines()
    found = [
        f"{number}: shown {old!r}, now {new!r}"
        for number, (old, new) in enumerate(zip(before, after, strict=False), 1)
        # Columns of a table move with their widest number.
        if NUMBER.sub("#", old).split() != NUMBER.sub("#", new).split()
        or not all(map(near, NUMBER.findall(old), NUMBER.findall(new)))
    ]
    return found + ([f"{len(before)} lines shown, now {len(after)}"] if len(before) != len(after) else [])


def near(old: str, new: str) -> bool:
    return old == new or ("." in old + new and abs(float(old) - float(new)) <= SHOWN_WITHIN * max(1, abs(float(old))))


def test_a_difference_is_noticed() -> None:
    assert differences("acc  0.98\n", "acc 1\n") == []
    assert differences("acc 0.98", "acc 0.88") == ["1: shown 'acc 0.98', now 'acc 0.88'"]
    assert differences("344 rows", "343 rows") == ["1: shown '344 rows', now '343 rows'"]
    assert differences("a", "a\nb") == ["1 lines shown, now 2"]


@pytest.mark.parametrize("path", generate.executed_documents(), ids=lambda path: path.name)
def test_examples_print_what_is_shown(path: Path) -> None:
    document = path.read_text(encoding="utf-8")
    assert differences(document, generate.executed(document)) == []


def test_an_output_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no text block"):
        generate.executed("```python\nprint(1)\n```\n")


def test_outputs_are_put_in_their_place() -> None:
    document = "```python\nx = 2\nprint(x)\n```\n\n```text\n7\n```\n\n```console\n$ echo one\nold\n$ echo two >&2\n```\n"
    expected = "```python\nx = 2\nprint(x)\n```\n\n```text\n2\n```\n\n```console\n$ echo one\none\n$ echo two >&2\ntwo\n```\n"
    assert generate.executed(document) == expected


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cli/README.md", "cli_reference"),
        ("models/README.md", "learner_table"),
        ("docs/measures.md", "measure_table"),
        ("docs/layers.md", "layer_table"),
    ],
)
def test_generated_pages_are_current(name: str, make: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == getattr(generate, make)(), "run python docs/generate.py"


def test_every_command_has_its_page() -> None:
    from onnxlearn_cli.app import app

    assert tuple(app.commands) == generate.COMMANDS


def test_first_screen_of_the_readme() -> None:
    document = (ROOT / "README.md").read_text(encoding="utf-8")
    first = next(block for block in generate.blocks(document) if block.language == "python")
    assert len([line for line in first.text.splitlines() if line.strip()]) <= 12
    console = next(block for block in generate.blocks(document) if block.language == "console")
    assert console.text.count("$ onnxlearn") == 3


def test_two_commands_do_all_the_set_up() -> None:
    """``.ci/run`` takes both out of the README and runs them word for word."""
    found = [
        block.text for block in generate.blocks((ROOT / "README.md").read_text(encoding="utf-8")) if block.language == "bash"
    ]
    assert len(found) == 2
    assert "pip install '.[all]' &&" in found[0]
    assert found[1].endswith("pip install -e '.[dev]' && .venv/bin/python -m pytest -n auto\n")


def test_links_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)} links to {link}"
