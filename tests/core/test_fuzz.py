"""Files that are damaged or made to do harm are refused by an error of ours, or run: nothing crashes, hangs or eats memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from small_models import TARGETS, document_of, schema_of, small_model

import onnxlearn as ol
from onnxlearn.graph.metadata import embed_tested

MUTANTS = Path(__file__).with_name("mutants.py")
SLOW_MUTANTS = int(os.environ.get("MUTANTS", "20000"))


def small_files(folder):
    for i, target in enumerate(TARGETS):
        schema = schema_of(target)
        model = onnx.load_from_string(small_model(schema))
        (folder / f"{i}.onnx").write_bytes(embed_tested(model, document_of(schema, self_test={})))


def trained_files(folder):
    small_files(folder)
    penguins = ol.Task.from_file("example:penguins", target="species")
    year = ol.Task.from_file("example:penguins", target="year", type="regression")
    ol.learner("mlp", max_epochs=1).fit(penguins).save(folder / "mlp.onnx")
    ol.learner("tabnet", max_epochs=1).fit(penguins).save(folder / "tabnet.onnx")
    quantiles = ol.learner("ft_transformer", max_epochs=1, head="quantile", coverage=0.8, calibration=0.2).fit(year)
    quantiles.save(folder / "quantiles.onnx")
    quantiles.export("onnx", folder / "packed.onnx", layout="packed", float_type="float32")
    ol.load(folder / "mlp.onnx").export("int8", folder / "int8.onnx", force=True, seconds=0.0)


def run(folder, seed, start, stop):
    """What became of the mutants, over as many processes as it takes: one that dies is followed by the next."""
    counts, wrong = {}, []
    while start < stop:
        done = subprocess.run(
            [sys.executable, "-W", "error", MUTANTS, folder, str(seed), str(start), str(stop)],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        lines = done.stdout.splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        wrong += [entry for entry in told if "wrong" in entry]
        for entry in told:
            counts |= {key: counts.get(key, 0) + n for key, n in entry.get("counts", {}).items()}
        if done.returncode == 0:
            assert told[-1]["megabytes"] < 2000
            return counts, wrong
        start = int(lines[-1].removeprefix("at ")) + 1
        wrong.append({"number": start - 1, "wrong": f"exit code {done.returncode}", "stderr": done.stderr[-2000:]})
    return counts, wrong


def test_mutants_of_small_files(tmp_path):
    small_files(tmp_path)
    counts, wrong = run(tmp_path, 0, 0, 480)
    assert wrong == []
    ways = {key.split()[0] for key in counts}
    assert ways == {"bits", "graph_bits", "text_bits", "values", "nodes", "mixed"}
    # Damage is seen by the checksum, but for that of an opset, say; what was signed anew is run where it can be.
    assert counts.get("bits used", 0) <= 2
    assert {"values used", "nodes used"} <= set(counts)


@pytest.mark.slow
def test_mutants_of_trained_files(tmp_path):
    trained_files(tmp_path)
    counts, wrong = run(tmp_path, 1, 0, SLOW_MUTANTS)
    print(json.dumps(counts, indent=1))
    assert wrong == []
