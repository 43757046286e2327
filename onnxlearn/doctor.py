"""What is installed, what works and what is missing for what."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Any

from onnxlearn.errors import MissingExtraError
from onnxlearn.providers import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER, gpu_names, import_onnxruntime, provider_obstacle
from onnxlearn.registry import broken_learners
from onnxlearn.session import available_cores

# What each extra of the package brings and is for; pyproject.toml has the versions.
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cli": ("the command line", ("typer", "rich")),
    "files": ("Parquet, Feather and Arrow files", ("pyarrow",)),
    "images": ("reading images", ("pillow", "joblib")),
    "eval": ("resampling and comparing", ("scikit-learn",)),
    "plot": ("plots", ("matplotlib",)),
    "report": ("reports", ("matplotlib", "jinja2")),
    "export": ("exporting models", ("onnx", "jinja2")),
    "optim": ("schedule-free optimizers", ("schedulefree",)),
    "track": ("TensorBoard and MLflow", ("tensorboard", "mlflow-skinny", "sqlalchemy", "alembic")),
    "train": ("training", ("torch", "onnx", "onnxscript", "safetensors", "rich", "scikit-learn")),
}
CORE = ("onnxlearn", "numpy", "pandas")

# Answers by a web service: trying it would send something out.
UNTRIED_PROVIDERS = ("AzureExecutionProvider",)


def diagnose() -> dict[str, Any]:
    """The state of this installation as plain JSON values.

    ``gpus`` and ``gpu_names``: the NVIDIA ones. ``packages``: version or ``None`` by name. ``providers``: by name ``"works"``
    or why not. ``problems``: what to mend, with the command. ``missing``: by extra, what it is for and the command that
    installs it.
    """
    names = dict.fromkeys([*CORE, *runtime_wheels(), *(name for _, needed in EXTRAS.values() for name in needed)])
    packages = {name: _version(name) for name in names}
    providers, problems = _runtime_state()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": available_cores(),
        "gpus": len(gpu_names()),
        "gpu_names": gpu_names(),
        "packages": packages,
        "providers": providers,
        "problems": [*problems, *broken_learners().values()],
        "missing": {
            extra: {"for": purpose, "command": f"pip install 'onnxlearn[{extra}]'"}
            for extra, (purpose, needed) in EXTRAS.items()
            if any(packages[name] is None for name in needed)
        },
    }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report as lines of plain text."""
    lines = [
        f"python      {report['python']} on {report['platform']}, {report['cores']} cores, {_told_gpus(report['gpu_names'])}",
        *_aligned("packages", {name: text or "not installed" for name, text in report["packages"].items()}),
        *_aligned("providers", report["providers"]),
        *(f"missing     {entry['for']}: {entry['command']}" for entry in report["missing"].values()),
        *(f"problem     {problem}" for problem in report["problems"]),
    ]
    return lines if report["problems"] else [*lines, "no problems found"]


def runtime_wheels() -> list[str]:
    """Installed distributions that bring a module ``onnxruntime``."""
    names = {str(distribution.metadata["Name"]).lower().replace("_", "-") for distribution in distributions()}
    return sorted(
        name for name in names if name == "onnxruntime" or (name.startswith("onnxruntime-") and "extensions" not in name)
    )


def try_provider(name: str) -> str:
    """Run a tiny model with this execution provider: ``works``, or why it does not."""
    if name in UNTRIED_PROVIDERS:
        return "not tried: it calls a web service"
    if name in (CUDA_PROVIDER, TENSORRT_PROVIDER) and not gpu_names():
        return "does not work: there is no NVIDIA GPU or no driver"
    obstacle = provider_obstacle([name])
    return f"does not work: {obstacle}" if obstacle else "works"


def _runtime_state() -> tuple[dict[str, str], list[str]]:
    problems = []
    wheels = runtime_wheels()
    if len(wheels) > 1:
        problems.append(
            f"{' and '.join(wheels)} overwrite each other's files: pip uninstall -y {' '.join(wheels)} && "
            "pip install 'onnxlearn[cpu]' (or [gpu])"
        )
    try:
        names = import_onnxruntime().get_available_providers()
    except MissingExtraError as error:
        return {}, [*problems, str(error)]
    providers = {name: try_provider(name) for name in names}
    if providers.get(CPU_PROVIDER) != "works":
        problems.append("ONNX Runtime cannot run on the CPU: pip install --force-reinstall 'onnxlearn[cpu]'")
    return providers, [*problems, *_gpu_problem(providers)]


def _gpu_problem(providers: dict[str, str]) -> list[str]:
    """A GPU that nothing runs on."""
    if not gpu_names() or providers.get(CUDA_PROVIDER) == "works":
        return []
    if CUDA_PROVIDER not in providers:
        return ["the installed onnxruntime cannot use the GPU: pip uninstall -y onnxruntime && pip install 'onnxlearn[gpu]'"]
    text = "ONNX Runtime cannot load CUDA: pip install --force-reinstall 'onnxlearn[gpu]'; the driver has to be one for its "
    return [text + "version of CUDA (nvidia-smi shows the newest that it takes)"]


def _told_gpus(names: list[str]) -> str:
    return f"{len(names)} NVIDIA GPUs" + (f" ({', '.join(names)})" if names else "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _aligned(title: str, entries: dict[str, str]) -> list[str]:
    width = max((len(name) for name in entries), default=0)
    return [f"{title if i == 0 else '':<12}{name:<{width}}  {text}" for i, (name, text) in enumerate(entries.items())]
