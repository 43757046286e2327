"""The Open Inference Protocol over gRPC: MLServer's messages and converters, with errors that are the client's told as such."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from mlserver.errors import MLServerError
from mlserver.grpc import dataplane_pb2 as messages
from mlserver.grpc.converters import (
    ModelInferRequestConverter,
    ModelInferResponseConverter,
    ModelMetadataResponseConverter,
)
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.servicers import InferenceServicer
from mlserver.handlers import DataPlane
from mlserver.types import InferenceRequest

from onnxlearn.serving.process.metrics import count
from onnxlearn.serving.process.runtime import Models, ServerError
from onnxlearn.serving.settings import ServeSettings

_LOG = logging.getLogger("onnxlearn.serving")
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.UNAVAILABLE,
}
_TYPES = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES")


async def start_rpc(settings: ServeSettings, models: Models, plane: DataPlane) -> Any:
    """A started server on the settings' gRPC port, which the processes share."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 1),
        ]
    )
    add_GRPCInferenceServiceServicer_to_server(Servicer(settings, models, plane), server)
    server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
    await server.start()
    return server


def _answered(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A method whose errors become a status: what the client did wrong, or a fault of ours, of which the log tells more."""

    async def answer(self: Servicer, request: Any, context: Any) -> Any:
        started = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            return await method(self, request, context)
        except MLServerError as error:
            code = _STATUS.get(error.status_code, grpc.StatusCode.INTERNAL)
            await context.abort(code, str(error))
        except Exception:  # noqa: BLE001 - told as a fault of ours
            code = grpc.StatusCode.INTERNAL
            _LOG.exception("a gRPC request failed")
            await context.abort(code, "a fault of the server, whose log tells more")
        finally:
            count(f"grpc_{method.__name__}", code.name, time.perf_counter() - started)

    return answer


class Servicer(InferenceServicer):
    """The protocol's service."""

    def __init__(self, settings: ServeSettings, models: Models, plane: DataPlane) -> None:
        super().__init__(plane, models)
        self._models = models
        self._control = settings.control

    @_answered
    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's names
        """Whether a model is loaded."""
        model = await self._models.found(request.name, request.version)
        return messages.ModelReadyResponse(ready=model.ready)

    @_answered
    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """What goes into a model and comes out."""
        model = await self._models.get(request.name, request.version)
        return ModelMetadataResponseConverter.from_types(await model.metadata())

    @_answered
    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Predictions."""
        served = await self._models.get(request.model_name, request.model_version)
        response = await served.predict(_payload(request))
        # As it was asked: whoever sends raw bytes gets them.
        return ModelInferResponseConverter.from_types(response, use_raw=bool(request.raw_input_contents))

    @_answered
    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Load a model."""
        require_control(self._control)
        await self._models.load(request.model_name)
        return messages.RepositoryModelLoadResponse()

    @_answered
    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Unload a model."""
        require_control(self._control)
        await self._models.unload(request.model_name)
        return messages.RepositoryModelUnloadResponse()

    async def ModelStreamInfer(self, requests_stream: Any, context: Any) -> Any:  # noqa: N802
        """Not offered: a table's rows go in one request."""
        del requests_stream
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there are no streams; send the rows in one ModelInfer request")
        yield


def require_control(control: bool) -> None:  # noqa: FBT001 - the setting of that name
    """Raise ServerError (403) unless requests may load and unload models."""
    if not control:
        raise ServerError("this server does not load and unload models by request; start it with --control", 403)


def _payload(request: Any) -> InferenceRequest:
    """MLServer's form of a request. Raises: ServerError (400) for bytes that are not the tensors that the request tells."""
    for tensor in request.inputs:
        if tensor.datatype not in _TYPES:
            raise ServerError(f"input {tensor.name!r}: there is no datatype {tensor.datatype!r}", 400)
    n_raw = len(request.raw_input_contents)
    if n_raw and n_raw != len(request.inputs):
        raise ServerError(f"raw_input_contents has {n_raw} entries for {len(request.inputs)} inputs; give one each", 400)
    try:
        return ModelInferRequestConverter.to_types(request)
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        raise ServerError(f"the contents of an input are not what its datatype and shape tell: {error}", 400) from error
