"""Steps of preprocessing in front of an ingress, for the columns that enter there alone.

A step holds for the columns that come to it; what no step says is as the learner's own settings say (``num_scaler`` and so
on). Steps stand in the order in which preprocessing does them: mutate, encode by the target, impute, bins and splines, scale,
polynomial, pca, select_best; the others anywhere before columns are mixed. A step is a node as any other: its settings have
addresses.

>>> from onnxlearn.networks import ingress, nn, prep
>>> numbers = prep.select(kinds="numeric") >> prep.impute("mean") >> prep.scale("quantile") >> ingress.num()
>>> net = numbers >> nn.linear(8) >> nn.head()
>>> net.settings["scale__method"]
'quantile'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from onnxlearn.errors import did_you_mean
from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layer import LAYERS
from onnxlearn.networks.layers import prep as steps
from onnxlearn.networks.nn import maker

Make = Callable[..., Graph]
Names: TypeAlias = str | Sequence[str]
_KINDS = sorted(kind for kind, layer in LAYERS.items() if issubclass(layer, steps.Prep))

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Raise AttributeError with the step that may be meant."""
        raise AttributeError(f"there is no step {name!r}.{did_you_mean(name, _KINDS)}")


def select(*columns: Names, kinds: Names = (), exclude: Names = (), id: str | None = None) -> Graph:
    """Some of the columns: those that fit one of the names or patterns, and are of one of the kinds.

    ``columns``: names, or patterns such as ``"lab_*"``, or lists of them; none: all columns. ``kinds``: numeric, categorical,
    ordered, boolean, datetime, text, image; none: all. ``exclude``: names or patterns of columns that are left out.

    >>> select("age", "lab_*", exclude="lab_id") >> select(kinds="numeric")
    Graph(select select_2)

    Raises: ParameterError where the graph meets a task of which no column fits a name or a pattern.
    """
    named = tuple(name for each in columns for name in _listed(each))
    return Graph.of(steps.Select(named, _listed(kinds), _listed(exclude)), id)  # type: ignore[arg-type]


mutate: Make = maker(steps.Mutate)
dates: Make = maker(steps.Dates)
encode: Make = maker(steps.Encode)
impute: Make = maker(steps.Impute)
bins: Make = maker(steps.Bins)
splines: Make = maker(steps.Splines)
scale: Make = maker(steps.Scale)
polynomial: Make = maker(steps.Polynomial)
pca: Make = maker(steps.Pca)
select_best: Make = maker(steps.SelectBest)
images: Make = maker(steps.Images)
texts: Make = maker(steps.Texts)


def _listed(names: Names) -> tuple[str, ...]:
    # What is neither is refused by the step.
    return tuple(names) if isinstance(names, list | tuple) else (cast("str", names),)
