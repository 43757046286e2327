"""Calendar arithmetic on int64 microseconds since 1970-01-01 UTC, as ONNX nodes."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from onnxlearn.graph.builder import DOUBLE, INT64, GraphBuilder, Value
from onnxlearn.preprocess.config import DatePart
from onnxlearn.schema import MISSING_INT64

MICROS_PER_DAY = 86_400_000_000
DAYS_PER_ERA = 146_097  # 400 years of the Gregorian calendar
# Days from 0000-03-01 to 1970-01-01, and a thousand eras more: every int64 lies after that, so no number below is
# negative and ONNX's truncating Div is a floor.
SHIFT_ERAS = 1000
SHIFT_DAYS = 719_468 + SHIFT_ERAS * DAYS_PER_ERA


class CivilTime:
    """Year, month, day, weekday and time of the proleptic Gregorian calendar, exact for every int64.

    Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013), civil_from_days. Nodes are added when a part
    is first asked for. ``micros``: INT64 ``[N, D]``; every part is INT64 ``[N, D]``, a missing date reads 1970-01-01.
    """

    def __init__(self, g: GraphBuilder, micros: Value) -> None:
        self.g = g
        self.missing = g.op("Equal", micros, g.const(np.int64(MISSING_INT64)))
        self.micros = g.op("Where", self.missing, g.const(np.int64(0)), micros)

    def _int(self, op_type: str, a: Value, b: Value | int) -> Value:
        return self.g.op(op_type, a, self.g.const(np.int64(b)) if isinstance(b, int) else b)

    @cached_property
    def _day_and_time(self) -> tuple[Value, Value]:
        """Whole days since 1970 and the microseconds of the day."""
        days = self._int("Div", self.micros, MICROS_PER_DAY)
        rest = self._int("Sub", self.micros, self._int("Mul", days, MICROS_PER_DAY))
        # Div truncates towards zero: before 1970 the rest is negative and belongs to the day before.
        before = self._int("Less", rest, 0)
        days = self._int("Sub", days, self.g.op("Cast", before, to=INT64))
        return days, self.g.op("Where", before, self._int("Add", rest, MICROS_PER_DAY), rest)

    @cached_property
    def _year_and_day(self) -> tuple[Value, Value]:
        """Year that begins in March (shifted by the eras) and the day of it."""
        shifted = self._int("Add", self._day_and_time[0], SHIFT_DAYS)
        era = self._int("Div", shifted, DAYS_PER_ERA)
        day = self._int("Sub", shifted, self._int("Mul", era, DAYS_PER_ERA))
        leap = self._int("Sub", self._int("Div", day, 36_524), self._int("Div", day, 1_460))
        leap = self._int("Sub", leap, self._int("Div", day, 146_096))
        year = self._int("Div", self._int("Add", day, leap), 365)
        past = self._int("Sub", self._int("Mul", year, 365), self._int("Div", year, 100))
        past = self._int("Add", past, self._int("Div", year, 4))
        return self._int("Add", self._int("Mul", era, 400), year), self._int("Sub", day, past)

    @cached_property
    def _month_from_march(self) -> Value:
        day = self._year_and_day[1]
        return self._int("Div", self._int("Add", self._int("Mul", day, 5), 2), 153)

    @cached_property
    def month(self) -> Value:
        """1 to 12."""
        return self._int("Add", self._int("Mod", self._int("Add", self._month_from_march, 2), 12), 1)

    @cached_property
    def year(self) -> Value:
        """-290,308 to 294,247."""
        january = self.g.op("Cast", self._int("Less", self.month, 3), to=INT64)
        return self._int("Sub", self._int("Add", self._year_and_day[0], january), 400 * SHIFT_ERAS)

    @cached_property
    def day(self) -> Value:
        """1 to 31."""
        before = self._int("Div", self._int("Add", self._int("Mul", self._month_from_march, 153), 2), 5)
        return self._int("Add", self._int("Sub", self._year_and_day[1], before), 1)

    @cached_property
    def weekday(self) -> Value:
        """0 (Monday) to 6."""
        # 0000-03-01 was a Wednesday, and an era is a whole number of weeks.
        shifted = self._int("Add", self._day_and_time[0], SHIFT_DAYS + 2)
        return self._int("Mod", shifted, 7)

    @cached_property
    def hour(self) -> Value:
        """0 to 23."""
        return self._int("Div", self._day_and_time[1], MICROS_PER_DAY // 24)

    @cached_property
    def minute(self) -> Value:
        """0 to 59."""
        return self._int("Mod", self._int("Div", self._day_and_time[1], 60_000_000), 60)

    def part(self, name: DatePart) -> Value:
        """A part as DOUBLE ``[N, D]``; ``elapsed`` is in days since 1970, with the fraction."""
        if name == "elapsed":
            days = self.g.op("Cast", self.micros, to=DOUBLE)
            return self.g.op("Div", days, self.g.const(np.float64(MICROS_PER_DAY)))
        return self.g.op("Cast", getattr(self, name), to=DOUBLE)

    def phase(self, name: DatePart) -> Value:
        """A cyclic part as an angle, DOUBLE ``[N, D]``: zero in January, on the first, on Monday, at midnight."""
        count, start, period = {
            "month_cyclic": ("month", 1, 12),
            "day_cyclic": ("day", 1, 31),
            "weekday_cyclic": ("weekday", 0, 7),
            "hour_cyclic": ("", 0, MICROS_PER_DAY),
        }[name]
        value = getattr(self, count) if count else self._day_and_time[1]
        number = self.g.op("Cast", self._int("Sub", value, start), to=DOUBLE)
        return self.g.op("Mul", number, self.g.const(np.float64(2 * np.pi / period)))
