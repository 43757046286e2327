"""Training of networks on tables that fit in memory; the registries of what it can be told by name.

``optimizers``, ``losses``, ``schedules`` and ``samplers``: ``@losses.register("mine", task="regression")`` on a function
makes it a choice of every learner, and its keyword arguments parameters; :class:`About` in their annotations tells meaning and
range.
"""

from onnxlearn_models.arguments import About
from onnxlearn_models.training import courses, optim
from onnxlearn_models.training.loss import losses
from onnxlearn_models.training.optimizer import optimizers
from onnxlearn_models.training.sampling import samplers
from onnxlearn_models.training.schedule import schedules

# Importing courses and optim is what registers those that are built in.
__all__ = ["About", "courses", "losses", "optim", "optimizers", "samplers", "schedules"]
