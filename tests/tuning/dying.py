"""Callbacks that end processes; importable there."""

import os

from onnxlearn_models.training.callback import Callback


class DiesInFit(Callback):
    """Takes its process along in the first epoch."""

    def epoch_end(self, ctx):
        """Die."""
        os._exit(3)
