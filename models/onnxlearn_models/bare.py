"""Networks as torch runs them, to compare the speed of their file with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from onnxlearn.learner import Bare
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.fitted import dtype_of, network_tensors, run_network
from onnxlearn_models.training.threads import threads


def bare_networks(networks: Sequence[tuple[nn.Module, FittedPreprocessing]]) -> Bare:
    """See :meth:`onnxlearn.learner.Learner.bare`: networks, each with what makes its tensors."""

    @contextlib.contextmanager
    def opened(feeds: Feeds, n_threads: int) -> Iterator[Callable[[], object]]:
        inputs = [network_tensors(module, preprocessing, feeds) for module, preprocessing in networks]
        with threads(n_threads), torch.inference_mode():
            yield lambda: [run_network(module, rows) for (module, _), rows in zip(networks, inputs, strict=True)]

    return Bare(" and ".join(sorted({str(dtype_of(module)).removeprefix("torch.") for module, _ in networks})), opened)
