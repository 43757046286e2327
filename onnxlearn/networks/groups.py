"""Which columns go through which steps of preprocessing of a graph, and by which ingress they enter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from typing import Any

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.networks.graph import INPUT, SEPARATOR, Graph, Node
from onnxlearn.networks.layers.ingress import ColumnEntry, Entry
from onnxlearn.networks.layers.prep import MIXED, Prep, Select
from onnxlearn.preprocess.config import COLUMN_KINDS, Group, GroupsConfig, PreprocessConfig
from onnxlearn.preprocess.plan import make_plan
from onnxlearn.schema import Column, Schema


def grouped(graph: Graph, config: PreprocessConfig, schema: Schema) -> PreprocessConfig:
    """The settings with a group for every last step before an ingress, called as that; themselves where no step is.

    ``graph``: without nodes that hold graphs. Columns that an ingress reads without any step are the group without a name.

    Raises: ParameterError naming the node whose columns cannot be, DataError for a column that enters nowhere.
    """
    if not steps_of(graph):
        return config
    groups: dict[str, Group] = {}
    lefts: dict[str, list[Column]] = {}
    for name, entries in _entries(graph).items():
        chain = _chain(graph, name)
        settings = {key: value for step in chain for key, value in _step(step).asked.items()}
        left = lefts[name] = columns_at(graph, name, schema)
        columns = [column for column in left if _is_asked(column, entries)]
        reads = frozenset(entry.kind for entry in entries)
        try:
            own = dataclasses.replace(config, **settings)
            groups[name] = Group(features=tuple(column.name for column in columns), reads=reads, config=own)
        except ParameterError as error:
            raise ParameterError(f"node {name!r}: {_in_own_terms(str(error), chain, graph)}") from None
    groups = _flagged(groups, lefts, schema)
    entered: set[str] = set()
    for name, group in groups.items():
        chain = _chain(graph, name)
        try:
            own_entered = _entered(group, schema)
            _require_named(chain, {column.name for column in lefts[name]}, own_entered, schema)
            entered |= own_entered
        except ParameterError as error:
            raise ParameterError(f"node {name!r}: {_in_own_terms(str(error), chain, graph)}") from None
    _require_entered(entered, schema)
    return GroupsConfig(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config)}, by_name=groups)


def steps_of(graph: Graph) -> list[tuple[str, Node]]:
    """The steps of preprocessing of a graph, with their names."""
    return [(name, node) for name, node in graph.nodes if isinstance(node.layer, Prep)]


def require_effect(graph: Graph, given: Mapping[str, Any]) -> None:
    """Raise ParameterError for a setting of the learner that steps say for all columns, and so changes nothing.

    ``graph``: without nodes that hold graphs.
    """
    names = {id(node): name for name, node in graph.nodes}
    chains = [_chain(graph, name) for name in _entries(graph)]
    for setting, value in given.items():
        said = [[node for node in chain if setting in _step(node).asked] for chain in chains]
        if all(said):
            node = said[0][0]
            own = next(own for own, theirs in _step(node).sets.items() if theirs == setting)
            name = names[id(node)]
            raise ParameterError(
                f"{setting}={value!r} changes nothing, as steps of the graph say it for all columns: set {name}{SEPARATOR}{own}"
            )


def require_columns(graph: Graph) -> None:
    """Raise ParameterError naming a node that takes columns and gets a tensor, or the other way round."""
    names = {id(INPUT): "...", **{id(node): name for name, node in graph.nodes}}
    for name, node in graph.nodes:
        for each in node.inputs:
            if each.layer.gives_columns and not node.layer.begins:
                raise ParameterError(
                    f"node {name!r} needs a tensor, and {names[id(each)]!r} gives columns: put an ingress between them, such "
                    "as ingress.num()"
                )
            if node.layer.begins and not each.layer.gives_columns:
                raise ParameterError(f"node {name!r} takes columns, and {names[id(each)]!r} gives a tensor")
    if graph.gives_columns:
        raise ParameterError("the graph ends in columns: put an ingress behind them, then the network, and nn.head()")


def columns_at(graph: Graph, name: str, schema: Schema) -> list[Column]:
    """The columns that come out of a step; all columns for the empty name.

    Raises: ParameterError naming a step that no column fits.
    """
    columns = list(schema.features)
    names = {id(node): each for each, node in graph.nodes}
    for node in _chain(graph, name):
        if isinstance(node.layer, Select):
            try:
                columns = node.layer.chosen(columns)
            except ParameterError as error:
                raise ParameterError(f"node {names[id(node)]!r}: {error}") from None
    return columns


def group_of(node: Node, names: dict[int, str]) -> str:
    """The group that an ingress reads: the name of the step before it, empty where there is none."""
    return names[id(node.inputs[0])] if node.inputs else ""


def _entries(graph: Graph) -> dict[str, list[Entry]]:
    """What reads each group."""
    names = {id(node): name for name, node in graph.nodes}
    found: dict[str, list[Entry]] = {}
    for _, node in graph.nodes:
        if isinstance(node.layer, Entry):
            found.setdefault(group_of(node, names), []).append(node.layer)
    return found


def _chain(graph: Graph, name: str) -> list[Node]:
    """The steps up to one, from the first. Raises: ParameterError where they cannot stand so."""
    if not name:
        return []
    names = {id(node): each for each, node in graph.nodes}
    node = next(node for each, node in graph.nodes if each == name)
    chain = [node]
    while chain[0].inputs:
        chain.insert(0, chain[0].inputs[0])
    _require_order(chain, [names[id(each)] for each in chain])
    return chain


def _require_order(chain: Sequence[Node], names: Sequence[str]) -> None:
    """Preprocessing has one order, in which each step is once."""
    latest, before = 0, ""
    seen: dict[str, str] = {}
    for node, name in zip(chain, names, strict=True):
        step = _step(node)
        if step.kind in seen and not isinstance(step, Select):
            raise ParameterError(f"node {name!r} comes after {seen[step.kind]!r}, another {step.kind}: leave one of them out")
        seen[step.kind] = name
        stage = step.placed
        if (stage and stage < latest) or (not stage and latest >= MIXED):
            raise ParameterError(f"node {name!r} comes after {before!r}, and is done before it: put it before {before!r}")
        if stage:
            latest, before = stage, name


def _flagged(groups: dict[str, Group], lefts: Mapping[str, Sequence[Column]], schema: Schema) -> dict[str, Group]:
    """Groups that also tell which images and texts are missing, each by the first ingress of numbers that its column comes to.

    Raises: DataError where none does.
    """
    found = dict(groups)
    for column in schema.of_kind(*COLUMN_KINDS):
        takers = [group for group in found.values() if column.name in group.features]
        if not column.has_missing or not any(group.config.missing_indicator for group in takers):
            continue
        if any("num" in group.reads and group.config.missing_indicator for group in takers):
            continue
        reading = {name: group for name, group in found.items() if "num" in group.reads and group.config.missing_indicator}
        able = [name for name in reading if column in lefts[name]]
        if not able:
            raise DataError(
                f"no ingress.num() takes '{column.name}:missing', which tells where the {column.kind} is missing: select "
                f"{column.name!r} before one of them too, or set missing_indicator=False"
            )
        group = found[able[0]]
        features, flags = (*group.features, column.name), (*group.flags, column.name)
        reads_texts = any(schema.column(name).kind == "text" for name in group.features if name not in group.flags)
        # Of a text that is only told to be missing nothing else is needed.
        config = group.config if reads_texts else dataclasses.replace(group.config, **_LEAST)
        found[able[0]] = dataclasses.replace(group, features=features, flags=flags, config=config)
    return found


_LEAST: dict[str, Any] = {"text_form": "ids", "text_length": 1, "text_max_words": 1, "text_pairs": 0, "text_vectors": None}


def _step(node: Node) -> Prep:
    assert isinstance(node.layer, Prep), "columns come out of nothing else"
    return node.layer


def _entered(group: Group, schema: Schema) -> set[str]:
    """The columns of a group that something that is read is made of."""
    table = group.table(schema)
    if not table.features:
        return set()
    ingress = make_plan(table, group.config).ingress
    own = {tensor.column for tensor in ingress.columns}
    codes = set(ingress.cat_names)
    numbers = {column.name for column in table.features if column.name not in own | codes} | (codes & {*ingress.num_sources})
    return own | (codes if "cat" in group.reads else set()) | (numbers if "num" in group.reads else set())


def _require_named(chain: Sequence[Node], left: Set[str], entered: Set[str], schema: Schema) -> None:
    """Columns that a step calls by name have to enter behind it."""
    named = {name for node in chain if isinstance(node.layer, Select) for name in node.layer.columns} & left
    if lost := [column for column in schema.features if column.name in named - entered]:
        raise ParameterError(
            f"column {lost[0].name!r} is selected and does not enter: put {_way_in(lost[0])} behind it, or leave it out"
        )


def _way_in(column: Column) -> str:
    """By which ingress a column can enter."""
    if column.kind in COLUMN_KINDS:
        return f"ingress.{column.kind}()"
    is_coded = column.kind in ("categorical", "ordered")
    return 'ingress.cat(), or prep.encode("onehot") and ingress.num(),' if is_coded else "ingress.num()"


def _in_own_terms(message: str, chain: Sequence[Node], graph: Graph) -> str:
    """A message about settings of preprocessing, with the addresses of those that steps say."""
    names = {id(node): name for name, node in graph.nodes}
    for node in chain:
        for own, theirs in _step(node).sets.items():
            message = message.replace(f"{theirs}=", f"{names[id(node)]}{SEPARATOR}{own}=")
    return message


def _is_asked(column: Column, entries: Sequence[Entry]) -> bool:
    """Whether an ingress may take it: images and texts have one of their kind, which may name another column."""
    of_kind = [entry for entry in entries if isinstance(entry, ColumnEntry) and entry.kind == column.kind]
    return column.kind not in COLUMN_KINDS or any(entry.column in (None, column.name) for entry in of_kind)


def _require_entered(entered: Set[str], schema: Schema) -> None:
    if lost := [column for column in schema.features if column.name not in entered]:
        name, way = lost[0].name, _way_in(lost[0])
        raise DataError(f"the graph takes column {name!r} nowhere: add {way} for it, or give the task ignore=[{name!r}]")
