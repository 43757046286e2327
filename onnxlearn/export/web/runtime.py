"""onnxruntime-web, as npm installs or packs it: which of its files a page needs, and how it holds them."""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxlearn.errors import ParameterError

PACKAGE = "onnxruntime-web"
# The one build with ai.onnx.ml, text among it, that needs no threads and no WebGPU; its own loader is in it.
SCRIPT, BINARY = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
_INSTALL = f"npm install {PACKAGE}"
_MODULE_ENDS = re.compile(r"export\s*\{([^{}]*)\};?\s*(?://# sourceMappingURL=\S*\s*)?\Z")


@dataclass(frozen=True, kw_only=True)
class WebRuntime:
    """ONNX Runtime for browsers: ``script`` defines ``ort`` in a classic script, ``wasm`` is what it runs."""

    version: str
    script: str
    wasm: bytes


def find_runtime(given: str | None) -> WebRuntime:
    """The runtime in a folder of node_modules or a ``.tgz`` of ``npm pack``; ``None``: as Node.js finds it from here.

    Raises: ParameterError where it is not there, or of a version that a page cannot hold.
    """
    path = _installed() if given is None else Path(given)
    with _reader(path) as read:
        version = _version(read("package.json"), path)
        script = classic_script(read(SCRIPT).decode("utf-8"), path)
        return WebRuntime(version=version, script=script, wasm=read(BINARY))


def classic_script(module: str, path: Path) -> str:
    """A module as a script: a browser lets a page that was opened as a file start scripts beside it, and no modules.

    >>> print(classic_script("var a=1,u=import.meta.url;export{a as one,u as default};", Path("x")))
    var a=1,u=self.location.href;const ort={one:a,default:u};
    """
    ending = _MODULE_ENDS.search(module)
    if ending is None:
        raise ParameterError(f"{str(path)!r} is a {PACKAGE} whose {SCRIPT} has another form than ours knows: {_INSTALL}@1.30.0")
    exported = [name.split(" as ") for name in ending[1].split(",")]
    names = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in exported)
    return module[: ending.start()].replace("import.meta.url", "self.location.href") + f"const ort={{{names}}};"


def _installed() -> Path:
    """As Node.js looks for a package: in node_modules here, then in the folders above."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "node_modules" / PACKAGE).is_dir():
            return folder / "node_modules" / PACKAGE
    raise ParameterError(
        f"a page needs the files of {PACKAGE}, which are in no node_modules from here up: {_INSTALL}, or say where they lie "
        f"with runtime= (the folder node_modules/{PACKAGE}, or the .tgz of npm pack {PACKAGE})"
    )


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[Callable[[str], bytes]]:
    """A function that reads a file of the package."""
    if path.is_dir():
        yield lambda name: _file(path, name)
    elif path.is_file():
        try:
            with tarfile.open(path) as archive:
                yield lambda name: _member(archive, path, name)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ParameterError(
                f"runtime has to be a folder or a .tgz of npm, {str(path)!r} cannot be read ({error})"
            ) from None
    else:
        raise ParameterError(f"there is no runtime {str(path)!r}: {_INSTALL}, and give node_modules/{PACKAGE}")


def _file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise _incomplete(folder, name) from None


def _member(archive: tarfile.TarFile, path: Path, name: str) -> bytes:
    try:
        file = archive.extractfile(f"package/{name}")
    except KeyError:
        file = None
    if file is None:
        raise _incomplete(path, name)
    return file.read()


def _incomplete(path: Path, name: str) -> ParameterError:
    return ParameterError(
        f"runtime has to be the npm package {PACKAGE}, 1.20 or newer: {str(path)!r} has no {name}; {_INSTALL}"
    )


def _version(package: bytes, path: Path) -> str:
    try:
        told: Any = json.loads(package)
        name, version = told["name"], str(told["version"])
    except (ValueError, KeyError, TypeError):
        name = version = None
    if name != PACKAGE or version is None:
        raise ParameterError(f"runtime has to be the npm package {PACKAGE}, {str(path)!r} is {name or 'none'}: {_INSTALL}")
    return version
