"""The ``onnxlearn`` command: each subcommand parses, makes one call into the library and prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on these arguments (those of the process by default) and return its exit code.

    0 done, 2 the user's mistake, 1 a fault of ours or typer missing, 130 after Ctrl-C.
    """
    try:
        from onnxlearn_cli.run import run
    except ModuleNotFoundError as error:
        # Only what the extra brings is translated: any other missing module is a fault that has to stay visible.
        if error.name != "typer":
            raise
        sys.stderr.write("onnxlearn: the command line needs the package typer: pip install 'onnxlearn[cli]'\n")
        return 1
    except KeyboardInterrupt:
        # Before there is anything that explains errors.
        sys.stderr.write("onnxlearn: interrupted; nothing was written\n")
        return 130
    return run(sys.argv[1:] if arguments is None else arguments)
