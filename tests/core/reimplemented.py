"""Preprocessing written anew from ``preprocess.json`` alone, in plain Python without numpy: what a reader of it would write."""

import math
from statistics import NormalDist

DAY = 86_400_000_000
MISSING_DATE = -(2**63)


def tensors(document, rows, n):
    """``{"num": [[...], ...], "cat": ...}`` of the first ``n`` rows; ``rows``: columns of plain values by name."""
    inputs = {column["name"]: column for column in document["inputs"]}
    return {
        name: [[cell(column, inputs, rows, i) for column in tensor["columns"]] for i in range(n)]
        for name, tensor in document["tensors"].items()
    }


def cell(column, inputs, rows, i):
    if column["from"] is None:
        return run(column["steps"], 0.0, None)
    told = inputs[column["from"]]
    return run(column["steps"], rows[column["from"]][i], told)


def run(steps, x, told):
    for step in steps:
        x = STEPS[step["step"]](x, step, told)
    return x


def is_missing(x):
    return x != x


def code(x, step, told):
    if x in told["levels"]:
        return told["levels"].index(x) + 2
    return 1 if x == told["missing"] or x in told.get("also_missing", ()) else 0


def date_part(micros, step, told):
    """Days to dates by counting, era by era: nothing of the package's own calendar."""
    if micros == told["missing"]:
        return math.nan
    days, time = divmod(micros, DAY)
    part = step["part"]
    if part == "elapsed":
        return micros / DAY if abs(micros) < 2**53 else float(micros) / DAY
    if part in ("hour_sin", "hour_cos"):
        return wave(part, time * (2 * math.pi / DAY))
    if part == "hour":
        return float(time // (DAY // 24))
    if part == "minute":
        return float(time // 60_000_000 % 60)
    if part.startswith("weekday"):
        weekday = (days + 3) % 7
        return float(weekday) if part == "weekday" else wave(part, weekday * (2 * math.pi / 7))
    year, month, day = civil(days)
    if part.startswith("month_"):
        return wave(part, (month - 1) * (2 * math.pi / 12))
    if part.startswith("day_"):
        return wave(part, (day - 1) * (2 * math.pi / 31))
    return float({"year": year, "month": month, "day": day}[part])


def wave(part, angle):
    return math.sin(angle) if part.endswith("_sin") else math.cos(angle)


def is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def civil(days):
    """Year, month and day of a day counted from 1970-01-01."""
    eras, days = divmod(days, 146_097)
    year = 1970 + 400 * eras
    while days >= (length := 366 if is_leap(year) else 365):
        days -= length
        year += 1
    lengths = [31, 29 if is_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    month = 1
    for length in lengths:
        if days < length:
            break
        days -= length
        month += 1
    return year, month, days + 1


def quantile(x, step, told):
    knots, first, last, top = step["knots"], step["first"], step["last"], step["n_ranks"] - 1
    i = max(i for i, knot in enumerate(knots) if knot <= x)
    if x == knots[i]:
        rank = (first[i] + last[i]) / 2
    else:
        rank = last[i] + (first[i + 1] - last[i]) * ((x - knots[i]) / (knots[i + 1] - knots[i]))
    if step["ends"]:
        rank = 0 if x == knots[0] else top if x == knots[-1] else rank
    return NormalDist().inv_cdf(min(max(rank / top, 1e-7), 1 - 1e-7))


def power(x, step, told):
    side = step["negative" if x < 0 else "other"]
    base = step["shift"] + side["anchor"]
    change = (abs(x) - side["anchor"]) / base
    u = math.log1p(change) if change > -0.5 else math.log((step["shift"] + abs(x)) / base)
    u = -u if x < 0 else u
    return side["offset"] + side["factor"] * (math.expm1(side["rate"] * u) / side["rate"] if side["rate"] else u)


STEPS = {
    "code": code,
    "recode": lambda x, step, told: step["codes"][x],
    "mean": lambda x, step, told: step["means"][x],
    "between": lambda x, step, told: float(
        (step["low"] is None or x >= step["low"]) and (step["high"] is None or x < step["high"])
    ),
    "rank": lambda x, step, told: float(x - 2) if x >= 2 else math.nan,
    "equals": lambda x, step, told: float(x == step["code"]),
    "date_part": date_part,
    "is_missing": lambda x, step, told: float(is_missing(x)),
    "fill": lambda x, step, told: step["value"] if is_missing(x) else x,
    "clip": lambda x, step, told: min(max(x, step["low"]), step["high"]),
    "scale": lambda x, step, told: (x - step["center"]) / step["scale"],
    "bend": lambda x, step, told: x / math.sqrt(1 + (step["by"] * x) ** 2),
    "quantile": quantile,
    "power": power,
    "unscale": lambda x, step, told: x * step["scale"] + step["center"],
    "constant": lambda x, step, told: step["value"],
}
