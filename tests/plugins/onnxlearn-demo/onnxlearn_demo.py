"""What the registry reads: light, so that listing learners imports no torch."""

from onnxlearn.registry import LearnerInfo

DEMO_LINEAR = LearnerInfo(
    name="demo_linear",
    target="onnxlearn_demo_linear:DemoLinear",
    summary="one linear layer on the numbers and one-hot categories",
    source="every textbook",
)
