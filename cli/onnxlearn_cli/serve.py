"""``onnxlearn serve``: models behind HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxlearn_cli.options import Provider
from onnxlearn_cli.talk import say


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model file, [NAME[:VERSION]=]FILE, or a folder of files or of versions (NAME/1/model.onnx).",
        ),
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port for HTTP; 0 takes a free one.")] = 8080,
    grpc_port: Annotated[int, typer.Option("--grpc-port", help="Port for gRPC; 0 takes a free one.")] = 8081,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; by default one a core, at most 4.")
    ] = None,
    provider: Provider = "auto",
    max_bytes: Annotated[int, typer.Option("--max-bytes", metavar="N", help="Largest body of a request.")] = 10 * 2**20,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", metavar="N", help="Most rows of several requests that are run together.")
    ] = 1000,
    batch_wait: Annotated[
        float,
        typer.Option("--batch-wait", metavar="SECONDS", help="Wait for other requests before a run; 0 takes what is there."),
    ] = 0.0,
    check_seconds: Annotated[
        float,
        typer.Option("--check-seconds", metavar="SECONDS", help="How often to look for changed files; 0 never does."),
    ] = 1.0,
    control: Annotated[bool, typer.Option("--control", help="Let requests load and unload models.")] = False,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", help="How long requests may take to end when it is stopped.")
    ] = 20.0,
) -> None:
    """Serve models over HTTP and gRPC.

    Rows as JSON at /models/NAME/predict, the Open Inference Protocol at /v2 and by gRPC, documentation at /docs, metrics at
    /metrics. Changed files are loaded; Ctrl-C or SIGTERM end it when the requests that have begun are answered.
    """
    from onnxlearn.serving import ServeSettings
    from onnxlearn.serving import serve as run

    settings = ServeSettings(
        sources=tuple(models), host=host, port=port, grpc_port=grpc_port, workers=workers, provider=provider,
        max_bytes=max_bytes, batch_rows=batch_rows, batch_wait=batch_wait, check_seconds=check_seconds, control=control,
        grace_seconds=grace,
    )  # fmt: skip
    run(settings, say=say)
