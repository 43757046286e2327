"""The card of a model: what it predicts, from what, how well, trained how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from onnxlearn.errors import ModelFileError
from onnxlearn.postprocess.band import band_levels
from onnxlearn.schema import Schema
from onnxlearn.wire.form import Form

T = TypeVar("T")

# Columns listed on the card; --json and Model.schema have all of them.
LISTED_COLUMNS = 30
SCORE_HEADS = {
    "validation": "validation (used to choose the epoch)",
    "out_of_fold": "out of fold (files of the folds)",
    "test": "test",
    "conversion": "rows of the conversion",
}
"""What the scores of a set of rows are called where they are shown, in this order."""


def describe(metadata: dict[str, Any], *, n_bytes: int, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The metadata document with ``file``: its size, inputs and outputs (name, type, shape). Plain JSON values."""
    schema = Schema.from_dict(metadata["schema"])
    told = Form.of(metadata).inputs(schema)
    inputs = [{"name": name, "type": onnx_type, "shape": list(shape)} for name, (onnx_type, shape) in told.items()]
    return {**metadata, "file": {"n_bytes": n_bytes, "inputs": inputs, "outputs": outputs}}


def card_lines(description: dict[str, Any]) -> list[str]:
    """The card as lines of plain text, from :meth:`onnxlearn.model.Model.inspect`.

    Raises: ModelFileError where the document, of another maker perhaps, tells something in another form than ours.
    """
    return [_printable(line) for line in _readable(_card_lines, description)]


def card_sections(description: dict[str, Any]) -> dict[str, list[str]]:
    """The lines of the card by what they are about; none where there is nothing to tell. Raises: as :func:`card_lines`."""
    return {title: [_printable(line) for line in lines] for title, lines in _readable(_sections, description).items()}


def _readable(read: Callable[[dict[str, Any]], T], description: dict[str, Any]) -> T:
    try:
        return read(description)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ModelFileError(
            f"the model's metadata cannot be shown as a card ({type(error).__name__}: {error}): --json shows it as it is"
        ) from error


def _printable(line: str) -> str:
    """The line with what would move a terminal's cursor, or change its colours, spelt out."""
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _card_lines(description: dict[str, Any]) -> list[str]:
    head = (
        f"{description['schema']['name']}: model of learner {description['learner'].get('name')!r}, "
        f"{megabytes(description['file']['n_bytes'])}"
    )
    return [head, *(line for title, lines in _sections(description).items() for line in _section(title, lines))]


def _sections(description: dict[str, Any]) -> dict[str, list[str]]:
    schema = Schema.from_dict(description["schema"])
    return {
        "predicts": _target_lines(schema, description["training"].get("calibration", {}).get("threshold")),
        "gives": [", ".join(output["name"] for output in description["file"]["outputs"])],
        "from": _feature_lines(schema),
        "takes": _input_lines(Form.of(description), description["file"]["inputs"]),
        "how well": _score_lines(description["training"].get("scores", {})),
        "trained": _training_lines(description["training"]),
        "calibrated": _calibration_lines(description, schema),
        "settings": _settings_lines({**description["learner"].get("params", {}), **description["training"].get("chosen", {})}),
        "checked": _parity_lines(description.get("parity") or {}),
        "converted": _conversion_lines(description.get("conversion")),
        "made with": [", ".join(f"{name} {version}" for name, version in sorted(description["versions"].items()))],
        "notes": list(description.get("notes", [])),
    }


def calibration_lines(description: dict[str, Any]) -> list[str]:
    """What the calibration rows and the threshold made of the network's outputs, as lines of plain text; none where nothing."""
    schema, threshold = Schema.from_dict(description["schema"]), description["training"].get("calibration", {}).get("threshold")
    lines = [] if threshold is None else [f"{schema.target.positive} is predicted from a probability of {number(threshold)} on"]
    return lines + _calibration_lines(description, schema)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{title if i == 0 else '':<11}{line}" for i, line in enumerate(lines)]


def _target_lines(schema: Schema, threshold: float | None) -> list[str]:
    target = schema.target
    if target.type == "regression":
        return [f"{name}, a number" for name in target.names]
    classes = ", ".join(str(label) for label in target.classes[:12]) + (", ..." if len(target.classes) > 12 else "")
    positive = "" if target.positive is None else f"; positive: {target.positive}"
    positive += "" if threshold is None else f", predicted from a probability of {number(threshold)} on"
    return [f"{target.name}, one of {len(target.classes)} classes: {classes}{positive}"]


def _feature_lines(schema: Schema) -> list[str]:
    shown = schema.features[:LISTED_COLUMNS]
    width = max((len(column.name) for column in shown), default=0)
    lines = [f"{len(schema.features)} columns"]
    for column in shown:
        facts = [column.dtype]
        facts += [f"{len(column.levels)} levels"] if column.levels else []
        facts += ["may be missing"] if column.has_missing else []
        lines.append(f"  {column.name:<{width}}  {column.kind:<11}  {', '.join(facts)}")
    hidden = len(schema.features) - len(shown)
    return lines + ([f"  and {hidden} more (--json lists all)"] if hidden else [])


def _input_lines(form: Form, inputs: list[dict[str, Any]]) -> list[str]:
    """The inputs, where they are not one of each column's own type and rank 2."""
    if form == Form():
        return []
    if form.layout == "packed":
        return [", ".join(f"{each['name']} {each['type']} [N, {each['shape'][1]}]" for each in inputs)]
    shape = "[N]" if form.rank == 1 else "[N, 1]"
    return [f"columns by themselves, {shape}" + (f", numbers in {form.float_type}" if form.float_type else "")]


def _score_lines(scores: dict[str, dict[str, float | None]]) -> list[str]:
    """One line a set of rows, the one that chose the epoch first: its measures side by side."""
    shown = {head: scores[name] for name, head in SCORE_HEADS.items() if scores.get(name)}
    width = max(map(len, shown), default=0)
    return [
        f"{head:<{width}}  " + "  ".join(f"{measure} {number(value)}" for measure, value in values.items())
        for head, values in shown.items()
    ]


def _training_lines(training: dict[str, Any]) -> list[str]:
    others = {"held out": "n_validation_rows", "for calibration": "n_calibration_rows"}
    aside = {what: training[name] for what, name in others.items() if training.get(name)}
    rows = f"on {training['n_rows'] - sum(aside.values())} rows" if "n_rows" in training else "on rows that it does not tell"
    parts = [", ".join([rows, *(f"{n} others {what}" for what, n in aside.items())])]
    if training.get("members"):
        parts.append(f"{len(training['members'])} networks: " + ", ".join(member["learner"] for member in training["members"]))
    if training.get("epochs"):
        parts.append(f"{training['epochs']} epochs, the best was {training.get('best_epoch')}")
    parts += [f"stopped by {training['stopped']}"] if training.get("stopped") not in (None, "finished") else []
    parts += [f"{name} {training[name]}" for name in ("batch_size", "lr", "seed") if training.get(name) is not None]
    return ["; ".join(parts)]


def _calibration_lines(description: dict[str, Any], schema: Schema) -> list[str]:
    """What stands behind the network, in words, with what it was fitted on."""
    training = description["training"]
    fitted, lines = training.get("calibration", {}), []
    if rows := training.get("n_calibration_rows"):
        lines.append(f"on {rows} rows set aside")
    if "coverage" in fitted:
        holds = f"{100 * fitted['coverage']:g} of 100 rows or more"
        lines.append(
            f"sets hold the true class of {holds}: the predicted class, and those that the network gives a probability of "
            f"{number(fitted['probability'])} or more" + (", before the temperature" if "temperature" in fitted else "")
            if "probability" in fitted
            else f"intervals hold the truth of {holds}: " + "; ".join(_interval_texts(description, schema))
        )
    if "temperature" in fitted:
        lines.append(
            f"the network was {'too sure' if fitted['temperature'] > 1 else 'not sure enough'}: the logarithms of its "
            f"probabilities are divided by the temperature {number(fitted['temperature'])}"
        )
    return lines


def _interval_texts(description: dict[str, Any], schema: Schema) -> list[str]:
    """Where the interval of each target ends."""
    fitted = description["training"]["calibration"]
    names = [output["name"] for output in description["file"]["outputs"]]
    levels = description.get("outputs", {}).get("quantiles")
    texts = []
    for name, margin in zip(schema.target.names, fitted["margin"], strict=True):
        if levels:
            low, high = band_levels(fitted["coverage"], levels)
            wider = "wider" if margin >= 0 else "narrower"
            text = f"the quantiles {low:g} to {high:g}, {number(abs(margin))} {wider} on either side in its unit"
        else:
            text = f"prediction ± {number(margin)} " + ("std" if "std" in names else "in its unit")
        texts.append(text if len(fitted["margin"]) == 1 else f"{name}: {text}")
    return texts


def _settings_lines(params: dict[str, Any]) -> list[str]:
    """All parameters, a few a line."""
    texts = [f"{name}={_told(value)}" for name, value in sorted(params.items())]
    lines: list[str] = []
    for text in texts:
        if lines and len(lines[-1]) + len(text) < 100:
            lines[-1] += f"  {text}"
        else:
            lines.append(text)
    return lines


def _told(value: Any) -> Any:
    """A value, of a graph of layers only the names of its nodes: their settings stand beside it."""
    if isinstance(value, dict) and isinstance(nodes := value.get("nodes"), list):
        return " ".join(str(node.get("id")) for node in nodes if isinstance(node, dict))
    return value


def _parity_lines(parity: dict[str, Any]) -> list[str]:
    if not parity:
        return []
    difference, n = number(parity.get("max_difference")), parity.get("n_rows")
    return [f"the file and the network that it came from differ by at most {difference} over {n} rows, odd ones among them"]


def _conversion_lines(conversion: dict[str, Any] | None) -> list[str]:
    if conversion is None:
        return []
    settings = ", ".join(f"{name} {value}" for name, value in conversion["options"].items() if name in ("mode", "bits"))
    moved = ", ".join(f"{name} by up to {number(value)}" for name, value in conversion["moved"].items() if name != "label")
    return [
        f"the network is in {conversion['to']}{f' ({settings})' if settings else ''}",
        *([f"over {conversion['n_rows']} rows it moved {moved}"] if moved else []),
    ]


def number(value: float | None) -> str:
    """A score for people: four significant digits, ``-`` where it is undefined.

    >>> number(0.123456), number(None), number(1500000.0)
    ('0.1235', '-', '1.5e+06')
    """
    return "-" if value is None or value != value else f"{value:.4g}"


def megabytes(n_bytes: int) -> str:
    """A file's size for people.

    >>> megabytes(574_321)
    '0.57 MB'
    """
    return f"{n_bytes / 1e6:.2f} MB"
