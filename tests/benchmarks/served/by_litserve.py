"""LitServe: ``PORT=... MODEL=... python by_litserve.py``. It reads annotations, so there are none."""

import os

import litserve
from by_onnxruntime import Runtime


class Penguins(litserve.LitAPI):
    """One model; it has no protocol of its own for tensors, so the body is the other servers'."""

    def setup(self, device):
        """Open the file, in the process that runs it."""
        self.runtime = Runtime()

    def decode_request(self, request):
        """Columns of a body."""
        return {one["name"]: one["data"] for one in request["inputs"]}

    def predict(self, x):
        """Run the model."""
        return self.runtime(x)

    def encode_response(self, output):
        """The answer's body."""
        return {"outputs": output}


if __name__ == "__main__":
    server = litserve.LitServer(Penguins(), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(os.environ["PORT"]), generate_client_file=False, num_api_servers=1, log_level="warning", access_log=False
    )
