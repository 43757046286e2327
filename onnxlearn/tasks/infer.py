"""From a data frame's column to a schema's: its kind, training type and levels, with notes on what was noticed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import DataError, DataTypeError, listing
from onnxlearn.images.feed import require_images
from onnxlearn.images.reading import is_missing as is_no_image
from onnxlearn.images.rules import USUAL_RULES, ImageRules
from onnxlearn.schema import KINDS, Column, Kind, Level
from onnxlearn.tasks.contents import Contents, is_whole, look
from onnxlearn.tasks.images import image_column
from onnxlearn.tasks.likely import READS_LIKE, ReadsLike
from onnxlearn.tasks.misfits import PARSERS, Misfits, declared_misfit, find_misfits
from onnxlearn.tasks.spellings import odd_spelling
from onnxlearn.tasks.texts import text_notes
from onnxlearn.wire import dates
from onnxlearn.wire.cells import LEADING_ZERO, NUMBER
from onnxlearn.wire.frames import datetime_values
from onnxlearn.wire.values import Place, describe, is_missing, row_place, values_array

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS_ID = 10
"""From so many rows on, text without a repetition and row numbers are taken for identifiers."""
MIN_ROWS_ID_WARNING = 50
"""From so many rows on, other columns that never or hardly ever repeat are warned of."""
ALMOST_ALL = 0.9
RARE_ROWS = 2
MIN_RARE_LEVELS = 10

# More than six digits of a second, and not all zeros.
_FINE_TEXT = re.compile(r"\.[0-9]{6}[0-9]*[1-9]")
_RECODED = {"bool": "booleans", "naive": "dates", "utc": "dates", "duration": "durations"}
_NUMBERS = frozenset({"float64", "float32", "int64", "decimal", "duration"})


@dataclass
class Inferred:
    """What a column turned out to be.

    ``is_id``: it names the rows and should not be trained on. ``reads_like``: a kind that its cells seem to be
    meant as, whatever it was taken for. ``warned``: what deserves more than a note.
    """

    column: Column
    notes: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    is_id: bool = False
    reads_like: ReadsLike | None = None


def infer_column(
    series: pd.Series[Any],
    name: str,
    *,
    kind: str | None = None,
    levels: Sequence[Level] | None = None,
    strict_bool: bool = False,
    where: Place = row_place,
    images: ImageRules = USUAL_RULES,
) -> Inferred:
    """Infer a feature column; ``kind`` and ``levels`` override what its values suggest. ``where`` names a row in messages.

    Raises ``DataTypeError`` for values that no kind can use, ``DataError`` for an override that they do not fit.
    """
    chosen = _checked_kind(name, kind) if kind is not None else None
    if chosen == "image":
        if levels is not None or strict_bool:
            raise DataError(f"column {name!r} is declared image and has neither levels nor strict_bool; leave them out there")
        require_images(series.array, name, where)
        return _infer_images(name, series, images)
    contents = look(series, name, where)
    if chosen is not None and chosen in PARSERS and contents.holds == "str":
        misfit = declared_misfit(name, chosen, series.astype(object).tolist(), where)
        if misfit is not None:
            raise DataTypeError(misfit)
    inferred = _infer(contents, chosen, levels, strict_bool=strict_bool)
    _notice(contents, inferred, told=kind is not None or levels is not None)
    if chosen == "text":
        inferred.notes += text_notes(name, series.astype(object).tolist(), where)
    if kind is None and levels is None and inferred.column.kind == "categorical":
        misfits = slips(contents, series)
        if misfits is not None:
            inferred.notes.append(misfits.note(name, where))
        elif (odd := spelling(contents)) is not None:
            inferred.notes.append(f"column {name!r}: {odd}")
        elif not inferred.is_id:
            inferred.notes += _level_notes(contents, inferred.column)
    return inferred


def _checked_kind(name: str, kind: str) -> Kind:
    for known in KINDS:
        if kind == known:
            return known
    raise DataError(f"column {name!r}: there is no kind {kind!r}; use one of {listing(KINDS)}")


def _infer_images(name: str, series: pd.Series[Any], images: ImageRules) -> Inferred:
    inferred = Inferred(image_column(name, series.array, images))
    if len(series) and all(is_no_image(cell) for cell in series.array):
        inferred.warned.append(f"column {name!r}: no row has an image")
    return inferred


def _infer(contents: Contents, kind: Kind | None, levels: Sequence[Level] | None, *, strict_bool: bool) -> Inferred:
    kind = kind or _own_kind(contents, levels)
    if levels is not None and kind not in ("categorical", "ordered"):
        raise DataError(f"column {contents.name!r} is {kind} and has no levels; declare it categorical or ordered as well")
    if strict_bool and kind != "boolean":
        raise DataError(f"column {contents.name!r} is {kind}, and strict_bool is for boolean columns only; leave it out there")
    if kind in ("categorical", "ordered"):
        return _categorical(contents, kind, levels)
    dtype = _BUILDERS[kind](contents)
    column = Column(
        name=contents.name, kind=kind, dtype=dtype, has_missing=contents.has_missing, strict_bool=strict_bool
    )  # fmt: skip
    if strict_bool and contents.has_missing:
        raise DataError(
            f"column {contents.name!r} is declared strict_bool and has missing values; fill them, or leave strict_bool out"
        )
    return Inferred(column)


def _own_kind(contents: Contents, levels: Sequence[Level] | None) -> Kind:
    if levels is not None:
        return "ordered" if contents.is_ordered else "categorical"
    if contents.categories is not None:
        return "ordered" if contents.is_ordered else "categorical"
    if contents.holds == "str":
        return "datetime" if _text_zones(contents) is not None else "categorical"
    if contents.holds in ("naive", "utc"):
        return "datetime"
    return "boolean" if contents.holds == "bool" else "numeric"


def _numeric_dtype(contents: Contents) -> str:
    if contents.holds == "nothing":
        return "float64"
    if contents.holds not in _NUMBERS:
        way_out = {"str": "convert it with pandas.to_numeric", "bool": "leave it boolean, or convert it with .astype(int)"}
        raise _unfit(contents, "numeric", way_out.get(contents.holds, "leave it datetime"))
    return contents.holds


def _boolean_dtype(contents: Contents) -> str:
    if contents.holds in ("int64", "float64", "float32"):
        others = contents.present[~contents.present.isin((0, 1))]
        if not len(others):
            return "int64"
        contents = replace(contents, present=others)
    if contents.holds not in ("bool", "nothing"):
        to_boolean = "write 0 and 1, or true and false, or leave it numeric"
        way_out = {
            "str": "convert it with .map({'true': True, 'false': False})",
            "naive": "leave it datetime",
            "utc": "leave it datetime",
        }
        raise _unfit(contents, "boolean", way_out.get(contents.holds, to_boolean))
    return "bool"


def _datetime_dtype(contents: Contents) -> str:
    if contents.holds == "str":
        zones = _text_zones(contents)
        if zones is None:
            raise _unfit(contents, "datetime", "write dates as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, or use pandas.to_datetime")
        if len(zones) > 1:
            raise DataTypeError(
                f"column {contents.name!r} mixes dates with and without a time zone; write all of them one way, "
                "or declare the column categorical or id"
            )
        return "utc" if zones == {True} else "naive"
    if contents.holds not in ("naive", "utc", "nothing"):
        way_out = {"bool": "leave it boolean", "duration": "leave it numeric"}
        raise _unfit(contents, "datetime", way_out.get(contents.holds, "convert it with pandas.to_datetime, naming the unit"))
    return "utc" if contents.holds == "utc" else "naive"


def _text_dtype(contents: Contents) -> str:
    if contents.holds not in ("str", "nothing"):
        raise _unfit(contents, "text", "in a data frame convert it with .astype(str)")
    return "str"


_BUILDERS = {"numeric": _numeric_dtype, "boolean": _boolean_dtype, "datetime": _datetime_dtype, "text": _text_dtype}


def _unfit(contents: Contents, kind: str, way_out: str) -> DataTypeError:
    example = describe(contents.present.iloc[0])
    return DataTypeError(f"column {contents.name!r} is declared {kind} and holds {example}; {way_out}")


def _text_zones(contents: Contents) -> set[bool] | None:
    """Which of zoned (True) and naive (False) the dates are; ``None`` unless every text is an ISO date."""
    zones: set[bool] = set()
    for text in contents.present.unique().tolist():
        parsed = dates.parse_iso(text)
        if parsed is None:
            return None
        zones.add(parsed[1])
    return zones or None


def _categorical(contents: Contents, kind: Kind, levels: Sequence[Level] | None) -> Inferred:
    inferred = Inferred(Column(name=contents.name, kind=kind, dtype="str"))
    dtype = _level_dtype(contents, levels, inferred.notes)
    occurring = _occurring(contents, dtype)
    if levels is not None:
        chosen = _declared_levels(contents.name, levels, occurring, dtype)
    elif contents.categories is not None:
        chosen = [int(level) if dtype == "int64" else str(level) for level in contents.categories]
    elif kind == "ordered" and dtype == "str":
        raise DataError(
            f"column {contents.name!r} is declared ordered, and text has no order of its own; "
            f"give levels={{{contents.name!r}: [lowest, ..., highest]}}, or an ordered pandas Categorical"
        )
    else:
        chosen = sorted(occurring)
    inferred.column = Column(
        name=contents.name, kind=kind, dtype=dtype, levels=tuple(chosen), has_missing=contents.has_missing
    )  # fmt: skip
    return inferred


def _level_dtype(contents: Contents, levels: Sequence[Level] | None, notes: list[str]) -> str:
    if contents.holds in ("str", "int64"):
        return contents.holds
    if contents.holds == "nothing":
        return "int64" if levels and all(isinstance(level, int) for level in levels) else "str"
    values = contents.present if contents.categories is None else contents.categories
    if contents.holds in ("float64", "float32") and is_whole(values):
        notes.append(f"column {contents.name!r}: whole numbers stored as floats; its levels are integers")
        return "int64"
    way_out = {
        "bool": "leave it boolean",
        "naive": "leave it datetime, or convert it with .astype(str)",
        "utc": "leave it datetime, or convert it with .astype(str)",
    }.get(contents.holds, "leave it numeric, or convert it with .astype(str)")
    if contents.categories is not None:
        way_out = "convert it with .astype(float) to train on numbers, with .astype(str) to train on categories"
    raise _unfit(contents, "categorical", way_out)


def _occurring(contents: Contents, dtype: str) -> list[Level]:
    column = Column(name=contents.name, kind="categorical", dtype=dtype)
    distinct = contents.present.unique()
    array = values_array(list(distinct.tolist()), column, lambda _: "")
    return list(dict.fromkeys(array[:, 0].tolist()))


def _declared_levels(name: str, levels: Sequence[Level], occurring: list[Level], dtype: str) -> list[Level]:
    column = Column(name=name, kind="categorical", dtype=dtype)
    if isinstance(levels, str):
        raise DataError(f"levels of column {name!r}: expected a list, got the text {levels!r}; write [{levels!r}]")
    declared: list[Level] = values_array(list(levels), column, lambda place: f"levels[{place}]")[:, 0].tolist()
    if not declared or any(is_missing(level) for level in levels):
        raise DataError(f"levels of column {name!r} must be non-empty values; a missing value is no level: leave it out")
    if len(set(declared)) < len(declared):
        twice = [level for level in dict.fromkeys(declared) if declared.count(level) > 1]
        raise DataError(f"levels of column {name!r} name {listing(twice)} twice; name each once")
    lacking = [level for level in occurring if level not in set(declared)]
    if lacking:
        raise DataError(f"column {name!r} holds {listing(lacking)}, not among the levels given for it; add them to levels=")
    return declared


def _notice(contents: Contents, inferred: Inferred, *, told: bool) -> None:
    column, present, notes = inferred.column, contents.present, inferred.notes
    name = column.name
    if contents.holds == "nothing":
        notes.append(f"column {name!r} has no values at all; it is kept as {column.kind} and says nothing")
        return
    if column.kind == "datetime" and contents.holds == "str" and not told:
        notes.append(f"column {name!r}: its text holds ISO dates, read as datetime; declare it categorical if they are names")
    if column.kind == "datetime" and _is_floored(present):
        notes.append(f"column {name!r}: dates are floored to the microsecond")
    n_distinct = int(present.nunique())
    if n_distinct == 1:
        notes.append(f"column {name!r} has one value only, {present.iloc[0]!s}; it says nothing")
    if told:
        return
    _notice_identifiers(contents, inferred, n_distinct)
    if contents.is_recoded:
        notes.append(f"column {name!r}: a Categorical of {_RECODED[contents.holds]}, taken as {column.kind}")


def _is_floored(present: pd.Series[Any]) -> bool:
    """Whether dates have digits beyond the microsecond."""
    values = datetime_values(present)
    if values is not None:
        converted = dates.array_microseconds(values)
        return converted is not None and converted[1]
    distinct = present.unique().tolist()
    return any(_FINE_TEXT.search(date) if isinstance(date, str) else getattr(date, "nanosecond", 0) for date in distinct)


def _notice_identifiers(contents: Contents, inferred: Inferred, n_distinct: int) -> None:
    n_values, column = len(contents.present), inferred.column
    if n_values < MIN_ROWS_ID or column.dtype not in ("str", "int64") or column.kind == "ordered":
        return
    is_text, never_repeats = column.dtype == "str", n_distinct == n_values
    if is_text and contents.categories is None:
        inferred.reads_like = next((kind for kind in READS_LIKE if kind.holds(contents.present.tolist())), None)
    if never_repeats and is_text:
        inferred.is_id = True
    elif never_repeats and column.kind == "numeric":
        inferred.is_id = int(contents.present.max()) - int(contents.present.min()) == n_values - 1
    if inferred.is_id:
        return
    if (kind := inferred.reads_like) is not None:
        inferred.warned.append(f"column {column.name!r}: {kind.what}, trained on as categories; {kind.suggest(column.name)}")
        return
    if n_values < MIN_ROWS_ID_WARNING:
        return
    if never_repeats or (is_text and n_distinct >= ALMOST_ALL * n_values):
        often = "never" if never_repeats else "hardly ever"
        what = (
            f"text that {often} repeats, trained on as categories"
            if is_text
            else "integers that never repeat, trained on as numbers"
        )
        inferred.warned.append(
            f"column {column.name!r}: {what}; if it names the rows, say id={column.name!r} (--id {column.name})"
        )


def slips(contents: Contents, series: pd.Series[Any]) -> Misfits | None:
    """The few cells but for which a column of text would be of another kind."""
    if contents.holds != "str" or contents.categories is not None:
        return None
    counts = {str(text): int(count) for text, count in contents.present.value_counts().items()}
    return find_misfits(series, counts)


def spelling(contents: Contents, *, target: bool = False) -> str | None:
    """What dates or numbers in a form that is not read as such a column of text seems to hold."""
    if contents.holds != "str" or contents.categories is not None:
        return None
    return odd_spelling(contents.present.unique().tolist(), target=target)


def _level_notes(contents: Contents, column: Column) -> list[str]:
    notes = []
    counts = contents.present.value_counts()
    n_rare = int(((counts > 0) & (counts <= RARE_ROWS)).sum())
    if n_rare >= MIN_RARE_LEVELS and 2 * n_rare >= len(counts):
        notes.append(
            f"column {column.name!r}: {n_rare} of {len(counts)} levels occur at most {RARE_ROWS} times; "
            "the rarest count as unseen (min_level_rows)"
        )
    texts = counts.index.tolist()
    if column.dtype == "str" and all(map(NUMBER.fullmatch, texts)):
        zeros = " with leading zeros" if any(map(LEADING_ZERO.fullmatch, texts)) else ""
        notes.append(f"column {column.name!r}: numbers{zeros} written as text, taken as categories")
    return notes
