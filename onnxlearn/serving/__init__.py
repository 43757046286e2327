"""``onnxlearn serve``: models behind HTTP and gRPC, on the parts of MLServer.

The parts that know no server (rows, batches, sources, the OpenAPI document) stand beside those that do (``runtime``, ``app``,
``rpc``, ``worker``), which only the processes that serve import.
"""

from onnxlearn.serving.settings import ServeSettings
from onnxlearn.serving.supervise import serve

__all__ = ["ServeSettings", "serve"]
