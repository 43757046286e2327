"""Names and texts of a model as a program writes them: identifiers, quoted text, comments.

A file's names may be any text, and may come from somebody who means harm: nothing here lets one end a string or a comment.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias

Style: TypeAlias = Literal["snake", "camel", "pascal"]

# Compilers end somewhere: C's at 63 letters that count, C#'s at 512.
_MAX_IDENTIFIER = 48
_MAX_LEVELS = 8
_MAX_LEVEL = 40


def identifiers(names: Iterable[str], style: Style, reserved: Collection[str], noun: str = "column") -> list[str]:
    """An identifier of ASCII letters, digits and underscores for each name, all different and none of those ``reserved``.

    >>> identifiers(["bill_length_mm", "größe", "1st class", "class", "東京"], "snake", {"class"})
    ['bill_length_mm', 'grosse', 'column_1st_class', 'class_', 'column_5']
    >>> identifiers(["bill_length_mm", "MonthlyCharges", "ID", "id"], "camel", set())
    ['billLengthMm', 'monthlyCharges', 'id', 'id_']
    """
    found: list[str] = []
    # What differs by capitals alone is confusing, and one file on some systems.
    taken = {word.casefold() for word in reserved}
    for number, name in enumerate(names, 1):
        word = _identifier(name, style, noun, number)
        while word.casefold() in taken:
            word += "_"
        taken.add(word.casefold())
        found.append(word)
    return found


def _identifier(name: str, style: Style, noun: str, number: int) -> str:
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = re.findall("[A-Za-z0-9]+", letters[:_MAX_IDENTIFIER])
    if not words:
        words = [noun, str(number)]
    elif words[0][0].isdigit():
        words = [noun, *words]
    if style == "snake":
        return "_".join(words)
    joined = "".join(word[0].upper() + (word[1:].lower() if word.isupper() else word[1:]) for word in words)
    return joined if style == "pascal" else joined[0].lower() + joined[1:]


def quote_json(text: str) -> str:
    r"""Text in double quotes with JSON's escapes, which JavaScript, Java and C# share; what cannot be seen is escaped too.

    >>> print(quote_json('naïve "🦜"' + chr(0x202E)))
    "naïve \"🦜\"\u202e"
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(character if character.isprintable() else _unit_escapes(character) for character in quoted)


def quote_ascii(text: str) -> str:
    r"""The same, for compilers that may read a file in another encoding than UTF-8.

    >>> print(quote_ascii("Köln"))
    "K\u00f6ln"
    """
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f")


def _unit_escapes(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def quote_c(text: str) -> str:
    r"""A string of C: bytes of UTF-8, octal where they are no plain ASCII, so that no compiler reads them otherwise.

    >>> print(quote_c('Köln "1"??/'))
    "K\303\266ln \"1\"\?\?/"
    """
    plain = {34: '\\"', 92: "\\\\", 10: "\\n", 13: "\\r", 9: "\\t", 63: "\\?"}
    return '"' + "".join(plain.get(b, chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode()) + '"'


def shown(text: str) -> str:
    r"""A text within a comment: quoted, on one line, nothing invisible.

    >>> print(shown("a" + chr(10) + "*/"))
    "a\n*/"
    """
    short = text if len(text) <= _MAX_LEVEL else text[: _MAX_LEVEL - 3] + "..."
    quoted = json.dumps(short, ensure_ascii=False)
    return "".join(character if character.isprintable() else f"<U+{ord(character):04X}>" for character in quoted)


def listed(values: Iterable[str | int | bool]) -> str:
    """The first of some levels, for a comment.

    >>> listed([1, 2]), listed("abcdefghijk")
    ('1, 2', '"a", "b", "c", "d", "e", "f", "g", "h" and 3 more')
    """
    texts = [shown(value) if isinstance(value, str) else str(value) for value in values]
    rest = f" and {len(texts) - _MAX_LEVELS} more" if len(texts) > _MAX_LEVELS else ""
    return ", ".join(texts[:_MAX_LEVELS]) + rest
