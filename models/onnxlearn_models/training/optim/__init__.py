"""The optimizers that there are by name: importing this registers them."""

from onnxlearn_models.training.optim import fused, lbfgs, plain, schedule_free

__all__ = ["fused", "lbfgs", "plain", "schedule_free"]
