"""The option ``--out-of-fold`` of ``onnxlearn fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxlearn.errors import ParameterError
from onnxlearn_cli.options import learner_record

if TYPE_CHECKING:
    from onnxlearn.model import Model


def require_out_of_fold(name: str, path: Path, data: str, out: Path) -> None:
    """Refuse ``--out-of-fold`` for a learner without such predictions, or where they cannot be written."""
    from onnxlearn.errors import listing
    from onnxlearn.files.outputs import STDOUT, require_other_file
    from onnxlearn.files.writers import writable_suffix
    from onnxlearn.registry import learner_infos

    if not learner_record(name).out_of_fold:
        have = listing(other for other, info in learner_infos().items() if info.out_of_fold)
        raise ParameterError(
            f"--out-of-fold is for learners that predict each row without having seen it, {have}, not for {name!r}: leave it "
            "out, or use --learner bagging with the network to train as --set base=NAME"
        )
    if str(path) == STDOUT:
        raise ParameterError("--out-of-fold has to be a file: standard output gets the scores")
    writable_suffix(path)
    require_other_file(path, data)
    if path.resolve() == out.resolve():
        raise ParameterError(f"--out and --out-of-fold are the same file {str(out)!r}: choose another name for one of them")


def write_out_of_fold(model: Model, temporary: Path, path: Path) -> None:
    """The predictions out of fold, each beside the number of its row in the table, in the format of ``path``."""
    from onnxlearn.files.writers import output_suffix, write_table

    found = model.out_of_fold
    assert found is not None, "the learner's record says that there are such"
    write_table(temporary, {"row": found.row_ids, **found.to_columns()}, suffix=output_suffix(path))
