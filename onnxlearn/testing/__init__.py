"""The contracts as checks that raise AssertionError: of learners, of preprocessing and of exported files.

They serve this package's tests and those of plug-ins alike.
"""

from onnxlearn.testing.effects import check_effects
from onnxlearn.testing.learner import check_fit, check_learner, check_params, check_types, example_frame, example_tasks
from onnxlearn.testing.parity import assert_parity, run_reference
from onnxlearn.testing.steps import check_step

__all__ = [
    "assert_parity",
    "check_effects",
    "check_fit",
    "check_learner",
    "check_params",
    "check_step",
    "check_types",
    "example_frame",
    "example_tasks",
    "run_reference",
]
