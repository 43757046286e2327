"""MLServer's runtime for models: the Open Inference Protocol over HTTP and gRPC. Loaded by MLServer itself.

``onnxlearn export MODEL --to kserve`` writes a folder for it, whose ``model-settings.json`` names this class.
Interface: https://mlserver.readthedocs.io/en/stable/user-guide/custom.html (version 1.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlserver import MLModel
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, ResponseOutput
from mlserver.utils import get_model_uri

from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.model import Model, load
from onnxlearn.wire.feeds import Feeds, values_feeds
from onnxlearn.wire.tensors import DATATYPES, Tensor, TensorReader, array_tensor

MODEL_FILE = "model.onnx"
_OPTIONS = ("provider", "n_threads")
# MLServer's content types of values that are what they say; others, as base64, stand for something else.
_PLAIN = (None, "np", "str")


class OnnxlearnModel(MLModel):
    """A model file in MLServer.

    ``parameters.uri`` in its settings names the file, or the folder of a ``model.onnx``; ``parameters.extra`` may hold
    ``provider`` and ``n_threads`` of :func:`onnxlearn.load`. A request that the model cannot take is answered with 400
    and the column, row and value.
    """

    _model: Model
    _reader: TensorReader

    async def load(self) -> bool:
        """Open the file and tell MLServer what goes in and comes out."""
        uri = await get_model_uri(self._settings, wellknown_filenames=[MODEL_FILE])
        self._model = load(uri, **_options(self._settings.parameters.extra or {}))
        self._reader = TensorReader(self._model.schema)
        self.inputs = [
            MetadataTensor(name=column.name, datatype=DATATYPES[column.onnx_type], shape=[-1, 1])
            for column in self._model.schema.features
        ]
        self.outputs = [
            MetadataTensor(name=tensor.name, datatype=tensor.datatype, shape=[-1, *tensor.shape[1:]])
            for tensor in self._run(_no_rows(self._model), self._model.outputs)
        ]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request; which outputs it wants, or all."""
        feeds, wanted = self.read(payload)
        return self.answer(payload, self._run(feeds, wanted))

    def read(self, payload: InferenceRequest) -> tuple[Feeds, list[str]]:
        """A request's feeds and the outputs that it wants. Raises: InferenceError."""
        try:
            return self._reader.feeds([_tensor(given) for given in payload.inputs]), self._wanted(payload)
        except DataError as error:
            # MLServer logs what it refuses with a traceback: of its own alone.
            raise InferenceError(str(error)) from None

    def answer(self, payload: InferenceRequest, tensors: Iterable[Tensor]) -> InferenceResponse:
        """The response that holds these outputs."""
        outputs = [
            ResponseOutput(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape), data=_content(tensor))
            for tensor in tensors
        ]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)

    def _run(self, feeds: Mapping[str, Any], names: Any) -> list[Tensor]:
        outputs = self._model.predict_feeds(dict(feeds), list(names))
        return [array_tensor(name, array) for name, array in outputs.items()]

    def _wanted(self, payload: InferenceRequest) -> list[str]:
        names = [output.name for output in payload.outputs or ()] or list(self._model.outputs)
        unknown = [name for name in names if name not in self._model.outputs]
        if unknown:
            raise DataError(f"the model has no output {unknown[0]!r}; it has {listing(self._model.outputs)}")
        return list(dict.fromkeys(names))


def _options(extra: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in extra if name not in _OPTIONS]
    if unknown:
        raise ParameterError(f"parameters.extra of model-settings.json has no {unknown[0]!r}; it has {listing(_OPTIONS)}")
    return dict(extra)


def _tensor(given: Any) -> Tensor:
    content = given.parameters and given.parameters.content_type
    if content not in _PLAIN:
        raise DataError(
            f"column {given.name!r}: values of the content type {content!r} are not decoded here; send them as they are, "
            "without a content type"
        )
    # From gRPC the datatype comes as text.
    datatype = str(getattr(given.datatype, "value", given.datatype))
    return Tensor(name=given.name, datatype=datatype, shape=given.shape, values=_values(given.data))


def _values(data: Any) -> Any:
    values = getattr(data, "root", data)
    return values if isinstance(values, list | tuple) else [values]


def _content(tensor: Tensor) -> list[Any]:
    """Values as MLServer has them: text is bytes, which its JSON decodes and the messages of gRPC want."""
    values = list(tensor.values)
    return [value.encode() for value in values] if tensor.datatype == "BYTES" else values


def _no_rows(model: Model) -> dict[str, Any]:
    return values_feeds({column.name: [] for column in model.schema.features}, model.schema)
