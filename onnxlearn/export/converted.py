"""A model whose network has numbers of another type: what any such target does."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.card import number
from onnxlearn.errors import ParameterError, ParityError
from onnxlearn.export.target import Target
from onnxlearn.params import param, to_json

if TYPE_CHECKING:
    import onnx

    from onnxlearn.export.cost import Cost
    from onnxlearn.inspection.rows import Rows
    from onnxlearn.measures import Measure
    from onnxlearn.model import Model

_DEFAULTS = {"classification": ("acc", "logloss"), "regression": ("rmse",)}
# Options that change no bit of the file.
_UNRECORDED = ("data", "images", "calibration", "seconds", "force")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is converted: the model, its whole graph and its network, and the rows of ``data`` where there are any."""

    model: Model
    graph: onnx.ModelProto
    network: onnx.ModelProto
    rows: Rows | None

    def joined(self, network: onnx.ModelProto) -> onnx.ModelProto:
        """The whole graph with another network in the place of its own, checked."""
        from onnxlearn.graph.check import check_names, check_onnx
        from onnxlearn.graph.network import with_network

        joined = with_network(self.graph, network)
        check_onnx(joined.SerializeToString())
        check_names(joined)
        return joined

    def opened(self, network: onnx.ModelProto) -> Model:
        """The model with another network, to be measured."""
        from onnxlearn.graph.metadata import embed
        from onnxlearn.model import Model

        return Model(embed(self.joined(network), self.model.metadata), provider="cpu", trust=True)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """``network``: the converted one. ``elsewhere``: one that shows on a processor what it computes on other hardware.

    ``told``: lines for the user.
    """

    network: onnx.ModelProto
    elsewhere: onnx.ModelProto | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Converted(Target):
    """A target that converts the network alone: preprocessing, and what stands behind the network, stay as they are.

    It is refused where a measure gets worse than the tolerance allows.
    """

    name: ClassVar[str]
    takes_images: ClassVar[bool] = True

    data: Any = param(None, "rows with the truth, which show what it costs: a file, or in Python any table")
    images: Mapping[str, Any] | None = param(None, "how images of data are read, such as {'folder': 'photos'}")
    measures: tuple[str, ...] = param((), "what must not get worse than tolerance allows; empty: acc and logloss, or rmse")
    tolerance: float = param(
        0.01, "how much worse: measures of classes in their own unit, of numbers as a share of their value", low=0
    )
    force: bool = param(default=False, meaning="write it also where they get worse, or without data")
    keep: tuple[str, ...] = param((), "operators and nodes that stay in FLOAT: LayerNormalization, net/Gemm_7, net/Gemm_*")
    seconds: float = param(0.5, "time spent on the speed of each file and batch size; 0: none", low=0)

    @abstractmethod
    def convert(self, subject: Subject) -> Conversion:
        """Convert the network."""

    def write(self, model: Model, out: Path) -> list[str]:
        """Convert, measure what that costs, and refuse what costs too much."""
        from onnxlearn.export.cost import cost_of
        from onnxlearn.graph.metadata import embed_tested

        subject, measures = self._subject(model)
        before, rows = subject.model, subject.rows
        conversion = self.convert(subject)
        after = subject.opened(conversion.network)
        self._require_smaller(before.to_bytes(), after.to_bytes())
        cost = cost_of(before, after, rows, seconds=self.seconds)
        self._require_harmless(cost, measures)
        extractor = subject.model.metadata["learner"].get("params", {}).get("image_extractor")
        beside = ["as it was: the network of image_extractor, which stands before"] if extractor else []
        lines = [*conversion.told, *beside, *cost.lines([measure.name for measure in measures])]
        if conversion.elsewhere is not None:
            other = cost_of(before, subject.opened(conversion.elsewhere), rows)
            self._require_harmless(other, measures, " where each result is rounded, as on a GPU")
            lines += _told_elsewhere(other, measures)
        document = _with_cost(self._document(before.metadata), cost, before)
        data = embed_tested(subject.joined(conversion.network), document)
        self._require_smaller(before.to_bytes(), data)
        out.write_bytes(data)
        return lines

    def _subject(self, model: Model) -> tuple[Subject, tuple[Measure, ...]]:
        import onnx

        from onnxlearn.graph.network import network_of
        from onnxlearn.model import Model

        opened = Model(model.to_bytes(), provider="cpu", trust=True)
        measures = self._measures(opened)
        graph = onnx.load_from_string(opened.to_bytes())
        return Subject(model=opened, graph=graph, network=network_of(graph), rows=self._rows(opened)), measures

    def _measures(self, model: Model) -> tuple[Measure, ...]:
        from onnxlearn.measures.registry import resolve
        from onnxlearn.wire.form import Form

        if "conversion" in model.metadata:
            done = model.metadata["conversion"]["to"]
            raise ParameterError(f"the network of this file is in {done} already: convert the file that it was made of")
        if Form.of(model.metadata) != Form():
            raise ParameterError(
                f"the inputs of this file were changed for another runtime: write {self.name} of the file that it was made of, "
                "and change the inputs of that one"
            )
        if self.data is None and not self.force:
            raise ParameterError(
                f"{self.name} changes what the model predicts, and data says how much: give data=, rows with the truth, or "
                "force=true to write it unmeasured"
            )
        return resolve(self.measures or _DEFAULTS[model.schema.target.type], model.schema.target)

    def _rows(self, model: Model) -> Rows | None:
        from onnxlearn.inspection.rows import read_rows

        if self.data is None:
            return None
        rows = read_rows(model, self.data, images=self.images)
        rows.require_truth()
        return rows

    def _document(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata of the converted file. Scores and proof were those of the file before: they go."""
        options = {field.name: to_json(getattr(self, field.name)) for field in fields(self) if field.name not in _UNRECORDED}
        conversion = {"to": self.name, "options": options, "of": metadata.get("sha256")}
        training = {key: value for key, value in metadata["training"].items() if key != "scores"}
        return {**metadata, "parity": {}, "training": training, "conversion": conversion}

    def _require_smaller(self, before: bytes, after: bytes) -> None:
        if len(after) >= len(before):
            raise ParameterError(
                f"{self.name} gains nothing here: the file would have {len(after)} bytes instead of {len(before)}, for its "
                f"network has no large matrix in FLOAT{' but those that keep= leaves' if self.keep else ''}; deploy it as it is"
            )

    def _require_harmless(self, cost: Cost, measures: Sequence[Measure], where: str = "") -> None:
        """Raise ``ParityError`` for outputs that are not finite; ``ParameterError`` where a measure gets too much worse."""
        wrong = [name for name, value in {**cost.moved_extreme, **cost.moved}.items() if not math.isfinite(value)]
        if wrong:
            raise ParityError(f"{self.name} gives {wrong[0]} that is not finite{where}: report it, and keep the file as it is")
        for text in () if self.force else _harm(cost, measures, self.tolerance):
            raise ParameterError(
                f"{self.name} makes {text}{where}, more than tolerance={self.tolerance:g}: keep= leaves operators in FLOAT, "
                "a larger tolerance= or force=true takes it"
            )


def _harm(cost: Cost, measures: Sequence[Measure], tolerance: float) -> Iterator[str]:
    from onnxlearn.export.cost import worse_by

    scores = {score.measure: score for score in cost.scores}
    for measure in measures:
        score = scores.get(measure.name)
        if score is None or math.isnan(score.before):
            raise ParameterError(f"measure {measure.name!r} has no value on these rows: choose others with measures=")
        worse = worse_by(measure, score.before, score.after)
        if not worse <= tolerance:
            yield f"{measure.name} {number(score.after)} instead of {number(score.before)}, worse by {number(worse)}"


def _with_cost(document: Mapping[str, Any], cost: Cost, model: Model) -> dict[str, Any]:
    """The document with what was measured by running the file."""
    from onnxlearn.measures.registry import default_measures

    told = {"n_rows": cost.n_rows, "moved": _plain(cost.moved), "moved_extreme": _plain(cost.moved_extreme)}
    told["measures"] = {score.measure: [_number(score.before), _number(score.after)] for score in cost.scores}
    usual = {measure.name for measure in default_measures(model.schema.target)}
    scores = {score.measure: _number(score.after) for score in cost.scores if score.measure in usual}
    training = {**document["training"], **({"scores": {"conversion": scores}} if scores else {})}
    return {**document, "training": training, "conversion": {**document["conversion"], **told}}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _told_elsewhere(cost: Cost, measures: Sequence[Measure]) -> list[str]:
    """How far measures move where hardware rounds every result."""
    names = [measure.name for measure in measures]
    texts = [f"{score.measure} {score.change:+.2g}" for score in cost.scores if score.measure in names]
    return [f"where each result is rounded, as on a GPU: {', '.join(texts)}"] if texts else []
