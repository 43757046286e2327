"""What a frozen network makes of images, as nodes of our graph: its own, in our operator set, for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from onnxlearn.errors import ModelFileError, ParameterError, did_you_mean, listing
from onnxlearn.graph.builder import BASE_OPSET, GraphBuilder, Value
from onnxlearn.graph.outputs import drop_unused
from onnxlearn.images.extractor import Extractor
from onnxlearn.memo import Memo
from onnxlearn.named import reason
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.session import CHUNK_ROWS, start_session

Array = np.ndarray[Any, np.dtype[Any]]

# Rows that tell whether one row's features depend on the others, and the largest difference by rounding.
_TRIED_ROWS, _TOLERANCE = 3, 1e-4


@dataclass(frozen=True)
class Entry:
    """The input of a frozen network: its name, where its channels stand, and its sizes, 0 where any will do."""

    name: str
    channels: Literal["first", "last"]
    n_channels: int
    height: int
    width: int

    @property
    def settings(self) -> dict[str, int]:
        """The sizes that are fixed, as settings of images."""
        return {name: size for name, size in (("image_height", self.height), ("image_width", self.width)) if size}


@dataclass(frozen=True)
class Extraction:
    """Nodes that make features of images.

    ``graph``: operator set 18, one input ``[N, C, h, w]`` or ``[N, h, w, C]`` (``entry``), one output FLOAT
    ``[N, d_features]``, or of ``n_dims`` 4, which is averaged over its places. ``repeated``: a grey image enters as all three
    channels.
    """

    graph: onnx.GraphProto
    entry: Entry
    repeated: bool
    n_dims: int
    d_features: int


_KEPT: Memo[Extraction] = Memo(4)


def extraction(extractor: Extractor, output: str | None, n_channels: int, height: int, width: int) -> Extraction:
    """What takes images of this shape in. ``output``: the output to take, or a tensor inside; ``None``: the first output.

    It is tried: features have to be finite numbers, the same whatever stands in the other rows, and those of the file as it is.

    Raises: ParameterError saying what does not fit.
    """
    key = (extractor.digest, output, n_channels, height, width)
    return _KEPT.get(key, lambda: _Reader(extractor, output).read(n_channels, height, width))


def read_entry(extractor: Extractor) -> Entry:
    """The input of a frozen network. Raises: ParameterError where images are not what it takes."""
    return _Reader(extractor, None).entry


def settings_of(extractor: Extractor) -> dict[str, int]:
    """The settings of images that its input leaves no choice of, e.g. ``image_height``. Raises: ParameterError."""
    return read_entry(extractor).settings


def emit_features(g: GraphBuilder, pixels: Value, missing: Value, found: Extraction) -> Value:
    """From FLOAT ``[N, C, h, w]`` and BOOL ``[N]`` to FLOAT ``[N, d_features]``, 0 throughout where the image is missing."""
    one = g.const(np.array([1], np.int64))
    rows = g.op("Shape", pixels, start=0, end=1)
    # Without rows some operators fail in ONNX Runtime, or end the process: then they see one of zeros.
    n_more = g.op("Max", g.op("Sub", one, rows), g.const(np.array([0], np.int64)))
    zeros = g.op("ConstantOfShape", g.op("Concat", n_more, g.op("Shape", pixels, start=1), axis=0))
    x = g.op("Concat", pixels, zeros, axis=0)
    x = g.op("Concat", x, x, x, axis=1) if found.repeated else x
    x = g.op("Transpose", x, perm=[0, 2, 3, 1]) if found.entry.channels == "last" else x
    features = g.inlined(found.graph, {found.entry.name: x})
    if found.n_dims == 4:
        places = [2, 3] if found.entry.channels == "first" else [1, 2]
        features = g.op("ReduceMean", features, g.const(np.array(places, np.int64)), keepdims=0)
    features = g.op("Slice", features, g.const(np.array([0], np.int64)), rows, g.const(np.array([0], np.int64)))
    # Its width is known only to us: what follows shall see a number.
    features = g.op("Reshape", features, g.const(np.array([0, found.d_features], np.int64)))
    return g.op("Where", g.op("Unsqueeze", missing, one), g.const(np.float32(0)), features)


class _Reader:
    """A frozen network on its way into our graph."""

    def __init__(self, extractor: Extractor, output: str | None) -> None:
        self.name = f"image_extractor {extractor.source}"
        self.model = onnx.load_from_string(extractor.data)
        self.entry = self._find_entry()
        self.output = output or self.model.graph.output[0].name

    def read(self, n_channels: int, height: int, width: int) -> Extraction:
        self._require_images(n_channels, height, width)
        self._cut()
        row = (self.entry.n_channels or n_channels, height, width)
        self._set_sizes(row if self.entry.channels == "first" else (*row[1:], row[0]))
        original, n_dims, d_features = self._tried(self.model, 1)
        converted = self._converted()
        found, _, _ = self._tried(converted, _TRIED_ROWS)
        self._require_same(original, found)
        repeated = n_channels < row[0]
        return Extraction(converted.graph, self.entry, repeated, n_dims, d_features)

    def _find_entry(self) -> Entry:
        graph = self.model.graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise ParameterError(f"{self.name} has to take one input, images; it has {listing(each.name for each in inputs)}")
        kind = inputs[0].type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim]
        if kind.elem_type != TensorProto.FLOAT or len(dims) != 4:
            raise ParameterError(
                f"{self.name} has to take images as FLOAT [N, channels, height, width] or [N, height, width, channels]; its "
                f"input {inputs[0].name!r} is {TensorProto.DataType.Name(kind.elem_type)} {_shown(dims)}"
            )
        last = dims[3] in (1, 3) and dims[1] not in (1, 3)
        n_channels, height, width = (dims[3], *dims[1:3]) if last else dims[1:]
        return Entry(inputs[0].name, "last" if last else "first", n_channels, height, width)

    def _require_images(self, n_channels: int, height: int, width: int) -> None:
        own = self.entry
        if own.n_channels not in (0, n_channels, 3):
            way_out = "set image_grey=True" if own.n_channels == 1 else "choose another one"
            raise ParameterError(f"{self.name} takes images of {own.n_channels} channels, not of {n_channels}: {way_out}")
        for name, fixed, given in (("image_height", own.height, height), ("image_width", own.width, width)):
            if fixed not in (0, given):
                raise ParameterError(f"{self.name} takes images of {name}={fixed} alone, not {given}: leave {name} out")

    def _cut(self) -> None:
        """Leave what the one output depends on."""
        graph = self.model.graph
        made = [name for node in graph.node for name in node.output if name]
        if self.output not in made:
            outputs = [value.name for value in graph.output]
            raise ParameterError(
                f"{self.name} has no tensor {self.output!r} for image_extractor_output.{did_you_mean(self.output, made)} "
                f"Its outputs are {listing(outputs)}; those inside it are named by tools such as Netron"
            )
        del graph.output[:], graph.value_info[:]
        graph.output.append(helper.make_empty_tensor_value_info(self.output))
        drop_unused(self.model)
        if not any(self.entry.name in node.input for node in graph.node):
            raise ParameterError(f"{self.name}: its tensor {self.output!r} does not depend on the images")

    def _set_sizes(self, row: tuple[int, ...]) -> None:
        """Of the input: any number of rows, whatever the file says, and the sizes of the images."""
        graph = self.model.graph
        constants = {tensor.name for tensor in graph.initializer}
        kept = [value for value in graph.input if value.name in constants]
        del graph.input[:]
        graph.input.extend([helper.make_tensor_value_info(self.entry.name, TensorProto.FLOAT, ["N", *row]), *kept])
        used = {node.domain for node in graph.node} | {""}
        imports = [entry for entry in self.model.opset_import if entry.domain in used]
        del self.model.opset_import[:]
        self.model.opset_import.extend(imports)
        if foreign := sorted(used - {"", "ai.onnx"}):
            raise ParameterError(f"{self.name} has operators of {listing(foreign)}: only those of the standard itself will do")

    def _converted(self) -> onnx.ModelProto:
        """In the operator set of our files."""
        own = next(entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))
        if own == BASE_OPSET:
            return self.model
        try:
            return version_converter.convert_version(self.model, BASE_OPSET)
        except Exception as error:
            raise ParameterError(
                f"{self.name} has operator set {own} and cannot be converted to {BASE_OPSET}: {reason(error)}; export it with "
                f"operator set {BASE_OPSET}"
            ) from error

    def _tried(self, model: onnx.ModelProto, n_rows: int) -> tuple[Array, int, int]:
        """Features of random rows, each of which is the same in every call, their dimensions and their width."""
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
        rows = np.random.default_rng(0).normal(size=(_TRIED_ROWS, *shape)).astype(np.float32)[:n_rows]
        try:
            session = start_session(model.SerializeToString(), [CPU_PROVIDER], 1, CHUNK_ROWS)
            (found,) = session.run(None, {self.entry.name: rows})
        except ModelFileError as error:
            raise ParameterError(f"{self.name}: {error}") from error
        except Exception as error:
            raise ParameterError(
                f"{self.name} fails on {n_rows} images {_shown(shape)}: {reason(error)}; export it for any number of rows, and "
                "give image_height and image_width as it was made for"
            ) from error
        if found.dtype != np.float32 or found.ndim not in (2, 4) or len(found) != n_rows:
            raise ParameterError(
                f"{self.name}: features are FLOAT [N, d], or [N, d, h, w] of which the mean over all places is taken; "
                f"{self.output!r} is {found.dtype} {list(found.shape)} for {n_rows} images: name another one by "
                "image_extractor_output"
            )
        if not np.isfinite(found).all():
            raise ParameterError(f"{self.name} gives features that are not finite for images of random numbers")
        return found, found.ndim, found.shape[3 if found.ndim == 4 and self.entry.channels == "last" else 1]

    def _require_same(self, original: Array, found: Array) -> None:
        scale = max(1.0, float(np.abs(original).max(initial=0)))
        if not np.abs(found[:1] - original).max(initial=0) <= _TOLERANCE * scale:
            raise ParameterError(
                f"{self.name}: features of an image are others beside other images, or in operator set {BASE_OPSET}: export it "
                f"in evaluation mode, for any number of rows and with operator set {BASE_OPSET}"
            )


def _shown(dims: Any) -> str:
    return f"[{', '.join(str(size) if size else '?' for size in dims)}]"
