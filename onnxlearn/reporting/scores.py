"""Tables of scores, times and ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxlearn.card import number
from onnxlearn.errors import DataError
from onnxlearn.experiments.record import Record
from onnxlearn.experiments.results import Results
from onnxlearn.reporting.parts import Part, best
from onnxlearn.reporting.tables import Cell, Column, Table, numbers, numeric, text
from onnxlearn.statistics import friedman, means, ranks

MEGABYTE = 1e6


def summary(part: Part) -> Table:
    """A line for each learner of a section: the value of each measure over the iterations and its corrected standard error."""
    lines = part.result.aggregate(*part.measures).to_dict("records")
    columns = [[float(line[name]) for line in lines] for name in part.measures]
    errors = [_errors(part, name) for name in part.measures]
    tops = [best(values, part.result.find_measure(name)) for name, values in zip(part.measures, columns, strict=True)]
    rows = []
    for i, line in enumerate(lines):
        cells = [
            numbers(values[i], error.get(str(line["learner"]), math.nan), best=top[i])
            for values, error, top in zip(columns, errors, tops, strict=True)
        ]
        rows.append([text(line["learner"]), *cells, numbers(int(line["n"])), numbers(int(line["n_failed"]))])
    heads = [Column(name="learner"), *(heading(part.result, name) for name in part.measures)]
    caption = "Mean over the iterations ± its corrected standard error (Nadeau and Bengio 2003); the best in bold"
    return Table(caption=caption, columns=[*heads, numeric("iterations"), numeric("failed")], rows=rows)


def _errors(part: Part, measure: str) -> dict[str, float]:
    """By learner the standard error of the mean; nothing of what is no mean of the iterations' values."""
    found = part.result.find_measure(measure)
    if found is not None and found.average != "macro":
        return {}
    return {mean.learner: mean.se for mean in means(part.scores(measure)).means}


def heading(result: Results, measure: str) -> Column:
    """The heading of a measure's column, with its summary, range and better end."""
    found = result.find_measure(measure)
    if found is None:
        return numeric(measure, "a measure of one's own")
    return numeric(measure, f"{found.summary}; {found.better} is better, range {found.range}")


def costs(part: Part) -> Table:
    """A line for each learner: mean seconds and bytes of the iterations that have them."""
    columns = [Column(name="learner"), numeric("fit, seconds"), numeric("predict, seconds"), numeric("file, MB")]
    rows = [
        [text(learner), *(_mean(records, name) for name in ("seconds_train", "seconds_predict")), _megabytes(records)]
        for learner, records in _by_learner(part.records).items()
    ]
    caption = "Mean time to fit (export included), time to predict the test rows, and size of the file"
    return Table(caption=caption, columns=columns, rows=rows)


def _mean(records: Sequence[Record], name: str, unit: float = 1.0) -> Cell:
    values = [value for record in records if (value := getattr(record, name)) is not None]
    return numbers(math.fsum(values) / len(values) / unit if values else None)


def _megabytes(records: Sequence[Record]) -> Cell:
    return _mean(records, "n_bytes", MEGABYTE)


def iterations(part: Part) -> Table:
    """A line for each iteration, as it is stored."""
    columns = [Column(name="learner"), numeric("iteration"), numeric("training rows"), numeric("test rows")]
    columns += [heading(part.result, name) for name in part.measures]
    columns += [numeric("fit, seconds"), numeric("predict, seconds"), numeric("file, bytes"), Column(name="status")]
    rows = [
        [
            text(record.learner), numbers(record.iteration), numbers(record.n_train), numbers(record.n_test),
            *(numbers(record.scores.get(name)) for name in part.measures),
            numbers(record.seconds_train), numbers(record.seconds_predict), numbers(record.n_bytes),
            text(f"{record.status}, fallback" if record.fallback else record.status),
        ]
        for record in part.records
    ]  # fmt: skip
    return Table(caption="Every iteration as it is stored", columns=columns, rows=rows)


def matrix(part: Part, measure: str) -> Table:
    """Values of one measure: a line for each task, a column for each learner."""
    learners = list(_by_learner(part.records))
    table = part.result.aggregate(measure)
    found: dict[tuple[str, str], float] = {
        (str(line["task"]), str(line["learner"])): float(line[measure]) for line in table.to_dict("records")
    }
    rows = []
    for task in [task for task in dict.fromkeys(table["task"]) if part.has(task, measure)]:
        values = [found.get((task, learner), math.nan) for learner in learners]
        tops = best(values, part.result.find_measure(measure))
        rows.append([text(task), *(numbers(value, best=top) for value, top in zip(values, tops, strict=True))])
    head = heading(part.result, measure)
    caption = f"{measure} by task: {head.meaning}. The best in bold"
    return Table(caption=caption, columns=[Column(name="task"), *(numeric(learner) for learner in learners)], rows=rows)


def ranking(part: Part, measure: str) -> tuple[Table | None, str]:
    """Mean ranks of the learners, and in words whether they differ; no table, and why, where scores are missing."""
    scores = part.scores(measure)
    try:
        found = ranks(scores)
    except DataError as error:
        return None, f"No ranks by {measure}: {error}"
    columns = [Column(name="learner"), numeric("mean rank"), numeric("best on tasks")]
    rows = [[text(row["learner"]), numbers(row["mean_rank"]), numbers(row["n_best"])] for row in found.rows()]
    table = Table(caption=f"Ranks by {measure} over {len(found.tasks)} tasks, 1 is the best", columns=columns, rows=rows)
    try:
        test = friedman(scores)
    except DataError as error:
        return table, f"No test of whether they differ: {error}"
    if math.isinf(test.f_statistic):
        return table, f"All tasks rank the learners alike; by chance they would with p = {number(test.f_p_value)}."
    return table, (
        f"Friedman's test, Iman and Davenport's statistic: F({test.f_df[0]}, {test.f_df[1]}) = {number(test.f_statistic)}, "
        f"p = {number(test.f_p_value)}."
    )


def _by_learner(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.learner, []).append(record)
    return found
