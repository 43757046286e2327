"""What the inference benchmark found: as table, plain values and plot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxlearn.inference.start import Start
from onnxlearn.plots.canvas import COLOURS, MARKERS, axes, drawn
from onnxlearn.statistics.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Calls of one engine on batches of one size.

    ``engine``: ``onnxruntime``, the file, or ``torch``, its network alone. ``provider``: what really ran it. ``precision``:
    of most weights. ``n_threads``: those that had something to do. ``p50_ms``, ``p90_ms``, ``p99_ms``: percentiles of the
    time of a call, ``None`` where ``n_calls`` are too few for one to lie beyond. ``rows_per_s``: median of the rounds.
    """

    engine: str
    file: str
    provider: str
    precision: str
    batch_size: int
    n_threads: int
    n_calls: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    rows_per_s: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Bench(Result):
    """What :func:`onnxlearn.bench` gives.

    ``about``: versions, platform and cores that may be used; ``files``: learner, precision and bytes of each; ``timings``;
    ``starts``: fresh processes; ``notes``: what was compared with what, or could not be.
    """

    about: Mapping[str, Any]
    files: tuple[Mapping[str, Any], ...]
    timings: tuple[Timing, ...]
    starts: tuple[Start, ...]
    notes: tuple[str, ...]

    def headline(self) -> str:
        """What it was measured on."""
        versions = ", ".join(f"{name} {text}" for name, text in self.about["versions"].items())
        return f"{versions}; {self.about['platform']}, {self.about['cores']} cores"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each timing."""
        return [dataclasses.asdict(timing) for timing in self.timings]

    def starts_frame(self) -> pd.DataFrame:
        """The fresh processes as a data frame."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(start) for start in self.starts])

    def plot(self, ax: Axes | None = None) -> Axes:
        """The median time of a call over the size of the batch, a line up to the 90th percentile where it is known.

        Raises: MissingExtraError.
        """
        series = self._series()
        ax = axes(ax, width=7.2, height=3.6 + 0.18 * len(series))
        for i, (name, timings) in enumerate(series.items()):
            sizes = [timing.batch_size for timing in timings]
            middle = [timing.p50_ms for timing in timings]
            above = [0.0 if timing.p90_ms is None else timing.p90_ms - timing.p50_ms for timing in timings]
            dashed = "--" if timings[0].engine == "torch" else "-"
            ax.errorbar(
                sizes, middle, yerr=[[0.0] * len(above), above], label=drawn(name, 90), color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[(i + i // len(COLOURS)) % len(MARKERS)], linestyle=dashed, markersize=5, capsize=2.5,
            )  # fmt: skip
        ax.set_xscale("log")
        ax.set_yscale("log")
        sizes = sorted({timing.batch_size for timing in self.timings})
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_xlabel("rows a call")
        ax.set_ylabel("ms a call\n(median; line: 90th percentile)")
        # Above the plot: the lines may go anywhere in it.
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize="small")
        return ax

    def _series(self) -> dict[str, list[Timing]]:
        """The timings that one line connects, by its name."""
        several = len(self.files) > 1
        series: dict[str, list[Timing]] = {}
        for timing in sorted(self.timings, key=lambda timing: timing.batch_size):
            threads = f"{timing.n_threads} thread{'s' if timing.n_threads > 1 else ''}"
            engine = f"{timing.engine}{', network alone' if timing.engine == 'torch' else ''}"
            name = f"{f'{timing.file}: ' if several else ''}{engine}, {timing.provider}, {timing.precision}, {threads}"
            series.setdefault(name, []).append(timing)
        return dict(sorted(series.items()))
