"""``ol.report``: what came of a resampling, a benchmark or a search as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataTypeError, MissingExtraError, ParameterError
from onnxlearn.experiments.results import BenchmarkResult, Results
from onnxlearn.files.outputs import atomic_path
from onnxlearn.reporting import overview, scores, search
from onnxlearn.reporting.figures import Gallery, comparison_group, section_groups
from onnxlearn.reporting.parts import Part, comparisons, require_records, sections
from onnxlearn.reporting.sections import Section
from onnxlearn.tuning.result import Tuning
from onnxlearn.tuning.study import is_study

TEMPLATES = Path(__file__).parent / "templates"


def report(result: Results | Tuning | str | Path, path: str | Path, *, title: str | None = None) -> None:
    """Write a page about a result: what was compared, scores, ranks, plots, failures, times.

    ``result``: what :func:`onnxlearn.resample` or :func:`onnxlearn.benchmark` gave, or the folder that ``store`` named; or of
    :func:`onnxlearn.tune`: its page has the space, the best parameters, all trials and their plots. The page is one file that
    loads nothing, readable on paper and phones, light and dark. Every number on it has its full value in the element's
    ``value``; the same results give the same bytes.

    Plots of predictions need those: of a result without them the page says so. Big ones are thinned: curves to a few hundred
    points, clouds to a thousand, which their axis says.

    Raises: DataError where nothing is finished; DataTypeError; MissingExtraError; OutputError.

    >>> import onnxlearn as ol
    >>> result = ol.resample(ol.example_task("iris"), ol.learner("featureless"), ol.CV(3), "acc")
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "report.html")
    >>> ol.report(result, path)
    >>> path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    True
    """
    if isinstance(result, str | Path):
        result = opened(result)
    if not isinstance(result, Results | Tuning):
        raise DataTypeError(
            "a report is of what ol.resample, ol.benchmark or ol.tune gave, or of the folder that store named, not of "
            f"{type(result).__name__}"
        )
    if isinstance(result, Results):
        require_records(result)
    else:
        search.require_trials(result)
    with atomic_path(path) as temporary:
        temporary.write_text(render(result, title), encoding="utf-8")


def opened(*folders: str | Path) -> BenchmarkResult | Tuning:
    """What is in folders that ``store`` named: several ones of results are put together.

    Raises: DataError; ParameterError for a search beside others.
    """
    searches = [folder for folder in folders if is_study(folder)]
    if not searches:
        return BenchmarkResult.load(*folders)
    if len(folders) > 1:
        raise ParameterError(f"{str(searches[0])!r} is a search, whose page is its own: name it alone")
    return Tuning.load(searches[0])


def require_packages() -> None:
    """Raise ``MissingExtraError`` where a page cannot be made."""
    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of(error.name or "matplotlib", "report", "a report") from error


def render(result: Results | Tuning, title: str | None = None) -> str:
    """The page as text. Raises: MissingExtraError."""
    require_packages()
    import jinja2
    import matplotlib as mpl

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    # Drawings are those of the defaults, whatever the reader of this page has set for other drawings.
    with mpl.rc_context():
        mpl.rcdefaults()
        contents = search.contents(result) if isinstance(result, Tuning) else _contents(result)
    template = environment.get_template("search.html" if isinstance(result, Tuning) else "results.html")
    return template.render(
        {**contents, "title": title or contents["title"]}, script=script, style=style, script_hash=_hash(script)
    )


def _hash(script: str) -> str:
    """What the page's policy knows its only script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _contents(result: Results) -> dict[str, Any]:
    gallery = Gallery()
    failed = overview.failures(result)
    return {
        "title": overview.title(result),
        "n": len(result.records),
        "n_failed": len(failed.rows) if failed else 0,
        "n_missing": int(result.n_missing),
        "compared": overview.compared(result),
        "comparisons": [s for i, part in enumerate(comparisons(result)) for s in _comparison(part, i, gallery)],
        "sections": [_section(part, i, gallery) for i, part in enumerate(_watched(sections(result)))],
        "failures": failed,
    }


def _watched(parts: list[Part]) -> Iterable[Part]:
    """The parts, with a bar on stderr where that is a terminal: to draw a big benchmark takes a minute."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        return parts
    from rich.console import Console
    from rich.progress import track

    return track(parts, description="drawing", console=Console(stderr=True), transient=True)


def _comparison(part: Part, i: int, gallery: Gallery) -> list[Section]:
    """A section for each measure that learners are ranked by."""
    found: list[Section] = []
    for measure in part.ranked():
        table, words = scores.ranking(part, measure)
        groups = (comparison_group(part, measure, gallery),) if table is not None else ()
        found.append(
            Section(
                anchor=f"over-{i}-{len(found)}",
                title=f"{measure} over tasks" + (f", {part.title}" if part.title else ""),
                tables=(scores.matrix(part, measure), *([table] if table is not None else [])),
                groups=groups,
                notes=(words,),
            )
        )
    return found


def _section(part: Part, i: int, gallery: Gallery) -> Section:
    notes = dict.fromkeys(f"{record.learner}: {note}" for record in part.records for note in record.notes)
    return Section(
        anchor=f"task-{i}",
        title=part.title,
        tables=(scores.summary(part), scores.costs(part)),
        groups=tuple(section_groups(part, gallery)),
        notes=tuple(notes),
        later=(scores.iterations(part),),
    )
