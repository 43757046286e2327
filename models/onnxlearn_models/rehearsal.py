"""What a network that nobody knows has to show before it is trained: that it can be trained, run and exported."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from onnxlearn.errors import ExportError, ModelFileError, OnnxlearnError, ParameterError, listing
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check_serialized
from onnxlearn.named import reason
from onnxlearn.runtime import open_session
from onnxlearn.schema import Schema
from onnxlearn.session import Session, run_quietly
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.lookup import N_ROWS, Lookups, find_lookups
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.lowering.trace import UnsupportedError
from onnxlearn_models.training.devices import kept_random
from onnxlearn_models.training.tensors import arguments

# Gross differences, such as a random number that the export takes for a constant; the exact proof follows the training.
TOLERANCE = 1e-2

_ROWS_APART = "rows must not mix; BatchNorm does not mix them with track_running_stats=True"


class Rehearsal:
    """A network run forwards, backwards and as ONNX on a few made up rows.

    ``network`` takes ``num``, ``cat`` and ``columns``, ``None`` where there are no such columns, and uses those ``asked`` for;
    ``owner`` is what messages call it. The methods raise ``ParameterError`` with the rule, what came and the way out.
    """

    def __init__(self, network: nn.Module, schema: Schema, *, owner: str, asked: Sequence[str]) -> None:
        self.network, self.schema, self.owner, self.asked = network, schema, owner, asked
        assert schema.ingress is not None
        self.ingress = schema.ingress

    def train(self, device: torch.device) -> None:
        """The network can be trained on this device.

        Parameters that wait for a first batch get their shapes; nothing else of the network changes.
        """
        with kept_random(device):
            self.network.eval()
            self._check_parts()
            self._check_output()
            self._check_rows()
            self._check_gradient(device)

    def lookups(self) -> Lookups:
        """What ``cat`` looks up."""
        return find_lookups(self.network.eval(), self.rows(N_ROWS), self.ingress.cardinalities)

    def export(self) -> None:
        """The network is exported, and gives as ONNX what torch gives, for no, one and more rows."""
        self.network.eval()
        expected = self._run(self.rows(3), "three rows")
        try:
            model = self._export(list(expected.shape[1:]))
            session = open_session(model, "cpu")
        except (ExportError, ModelFileError) as error:
            raise ParameterError(
                f"{self.owner} cannot be exported to ONNX, and so is not trained: {error}; write forward with functions of "
                "torch that ONNX has, without branches and loops over values of tensors (torch.where chooses)"
            ) from error
        for n_rows in (0, 1, 3):
            found = self._run_session(session, n_rows)
            gap = np.abs(found - expected[:n_rows].numpy()).max(initial=0.0)
            if not gap <= TOLERANCE * (1 + float(expected.abs().max())):
                raise ParameterError(
                    f"{self.owner} gives other numbers as ONNX than in torch, by {gap:.3g}, and so is not trained: forward "
                    "does something that a trace of it does not show, such as branches on numbers, random numbers, or numpy"
                )

    def _run_session(self, session: Session, n_rows: int) -> np.ndarray[Any, Any]:
        """The output as ONNX for the first rows."""
        feeds = {name: tensor[:n_rows].numpy() for name, tensor in self.rows(3).items()}
        try:
            output: np.ndarray[Any, Any] = run_quietly(session, feeds)[0]
        except Exception as error:
            raise ParameterError(
                f"{self.owner} cannot be run as ONNX on {n_rows} rows, and so is not trained: {reason(error)}; the number of "
                "rows is probably taken for a constant: write forward without loops over rows and torch.arange(len(x)), where "
                "torch.gather picks an element of each row"
            ) from error
        return output

    def rows(self, n_rows: int) -> dict[str, Tensor]:
        """Rows of random numbers and the highest codes; of zeros, which is what is usual, and the lowest; and random ones."""
        generator = torch.Generator().manual_seed(0)
        found = {}
        if self.ingress.n_num:
            found["num"] = torch.randn(n_rows, self.ingress.n_num, generator=generator)
            found["num"][1:2] *= 0
        if self.ingress.n_cat:
            highest = torch.tensor(self.ingress.cardinalities) - 1
            codes = (torch.rand(n_rows, self.ingress.n_cat, generator=generator) * (highest + 1)).long()
            codes[:1], codes[1:2] = highest, 0
            found["cat"] = codes
        for column in self.ingress.columns:
            found[column.name] = torch.randn(n_rows, *column.shape, generator=generator)
            # A missing image.
            found[column.name][1:2] *= 0
        return found

    def _check_parts(self) -> None:
        """Everything with weights is registered, and the weights are float32."""
        for name, part in self.network.named_modules():
            for key in _hidden(part):
                raise ParameterError(
                    f"{self.owner} keeps parts with weights in {bare(f'{name}.{key}')}, a list, tuple or dict of Python, which "
                    "training does not see: use nn.ModuleList, nn.ModuleDict or nn.ParameterList"
                )
            if isinstance(part, CodeEmbedding) and tuple(map(len, part.column_tables())) != self.ingress.cardinalities:
                raise ParameterError(
                    f"a CodeEmbedding has one table for each column of cat, of {list(self.ingress.cardinalities)} codes; "
                    f"that of {self.owner} has {list(map(len, part.column_tables()))}: for some columns use nn.Embedding"
                )
        parameters = dict(self.network.named_parameters())
        for name, parameter in parameters.items():
            if not is_lazy(parameter) and parameter.dtype != torch.float32:
                raise ParameterError(
                    f"weights have to be torch.float32; {bare(name)} of {self.owner} is {parameter.dtype}: "
                    "call .float() on the network"
                )
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise ParameterError(f"{self.owner} has no parameter to train: a network needs one with requires_grad=True")

    def _check_output(self) -> None:
        """Two rows give finite float32 ``[2, n_outputs]`` or ``[2, k, n_outputs]``."""
        output, wanted = self._run(self.rows(2), "two rows"), self.schema.n_outputs
        rule = f"{self.owner}.forward has to give a float32 tensor [N, n_outputs], here [N, {wanted}]"
        if not isinstance(output, Tensor):
            raise ParameterError(f"{rule}; it gives a value of type {type(output).__name__}: return the tensor alone")
        if output.ndim not in (2, 3) or output.shape[0] != 2 or output.shape[-1] != wanted or not output.numel():
            what = "class" if self.schema.target.type == "classification" else "number"
            raise ParameterError(
                f"{rule}, a column for each {what}, or [N, k, n_outputs] for k members; for 2 rows it gives "
                f"{list(output.shape)}: let the last layer be n_outputs wide"
            )
        if output.dtype != torch.float32:
            raise ParameterError(f"{rule}; it gives {output.dtype}: return logits or numbers, and no argmax")
        if not bool(torch.isfinite(output).all()):
            raise ParameterError(f"{rule} of finite values; for two rows it gives infinite ones or NaN before any training")

    def _check_rows(self) -> None:
        """In evaluation mode a row's output depends on the row alone."""
        rows = self.rows(2)
        together = self._run(rows, "two rows")
        for name, tensor in self.rows(2).items():
            if not torch.equal(tensor, rows[name]):
                raise ParameterError(
                    f"{self.owner}.forward changes its input {name} in place, which others read too: make a new tensor, "
                    f"{name} = {name} + 1 instead of {name} += 1"
                )
        again = self._run(rows, "two rows")
        if not torch.equal(together, again):
            raise ParameterError(
                f"{self.owner} gives the same rows other outputs the second time, in evaluation mode: "
                "let randomness depend on self.training"
            )
        for i in range(2):
            row = {name: tensor[i : i + 1] for name, tensor in rows.items()}
            alone = self._run(row, "a batch of one row and not on two, in evaluation mode", f"there {_ROWS_APART}")
            beside = together[i : i + 1]
            same_shape = isinstance(alone, Tensor) and alone.shape == beside.shape
            if not (same_shape and torch.allclose(alone, beside, rtol=1e-3, atol=1e-4)):
                raise ParameterError(
                    f"{self.owner} gives a row another output beside other rows than alone, in evaluation mode: there "
                    f"{_ROWS_APART}"
                )

    def _check_gradient(self, device: torch.device) -> None:
        """Training gets gradients, on the device that it will run on."""
        trial = copy.deepcopy(self.network).to(device).train()
        rows = {name: tensor.to(device) for name, tensor in self.rows(2).items()}
        try:
            total = trial(**arguments(rows)).sum()
            if total.requires_grad:
                total.backward()
        except Exception as error:
            raise ParameterError(
                f"{self.owner} fails in a step of training on {device}, on two rows: {reason(error)}; forward has to keep to "
                "torch's functions and to the device of its inputs"
            ) from error
        gradients = {name: p.grad for name, p in trial.named_parameters() if p.grad is not None}
        if not gradients:
            raise ParameterError(f"no gradient reaches a parameter of {self.owner}: something detaches the output from them")
        for name, gradient in gradients.items():
            if gradient.is_sparse:
                name = name.removeprefix("network.")
                raise ParameterError(
                    f"the gradient of {name} of {self.owner} is sparse, which training does not take: sparse=False"
                )

    def _export(self, shape: list[int]) -> bytes:
        """The network as a model."""
        g, samples = GraphBuilder(), self.rows(1)
        inputs = {
            name: g.input(name, "INT64" if name == "cat" else "FLOAT", ["N", *tensor.shape[1:]])
            for name, tensor in samples.items()
        }
        try:
            output = lower(g, self.network, inputs, samples)
        except UnsupportedError as why:
            # Only here: it brings torch's own exporter.
            from onnxlearn_models.lowering.export import export

            try:
                output = export(g, self.network, inputs, samples)
            except ExportError as error:
                told = str(error).replace(type(self.network).__name__, self.owner)
                raise ExportError(f"{why}; {told}") from error
        g.output(output, "output", "FLOAT", ["N", *shape])
        model = g.to_model()
        data: bytes = model.SerializeToString()
        check_serialized(model, data)
        return data

    def _run(self, rows: Mapping[str, Tensor], what: str, way_out: str = "") -> Tensor:
        """The network's output without gradients."""
        try:
            with torch.no_grad():
                output: Tensor = self.network(**arguments(rows))
        except OnnxlearnError:
            raise
        except Exception as error:
            raise ParameterError(
                f"{self.owner}.forward fails on {what}: {reason(error)}; {way_out or self._inputs()}"
            ) from error
        return output

    def _inputs(self) -> str:
        """What this table gives of what the network asks for, for a message."""
        ingress, there, missing = self.ingress, [], []
        for name, width, what in (("num", ingress.n_num, "numbers"), ("cat", ingress.n_cat, "codes")):
            if name in self.asked and width:
                below = f" with codes below {listing(ingress.cardinalities)}" if name == "cat" else ""
                there.append(f"{name} is [N, {width}]{below}")
            elif name in self.asked:
                missing.append(f"{name} is None, since no column gives {what}: let forward do without")
        if "columns" in self.asked and self.ingress.columns:
            images = ", ".join(f"{column.name!r}: [N, {', '.join(map(str, column.shape))}]" for column in self.ingress.columns)
            there.append(f"columns is {{{images}}}")
        elif "columns" in self.asked:
            missing.append("columns is None, since no column holds images: let forward do without")
        return f"of this table {' and '.join(there + missing)}"


def bare(name: str) -> str:
    """What the user calls a parameter or part of the network."""
    return name.removeprefix("network.")


def _hidden(part: nn.Module) -> Iterator[str]:
    """Attributes that are plain lists, tuples or dicts of modules or parameters, which torch does not look into."""
    registered = {id(x) for x in (*part.modules(), *part.parameters())}
    for key, value in vars(part).items():
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if not key.startswith("_") and any(_has_weights(item) and id(item) not in registered for item in items):
            yield key


def _has_weights(item: object) -> bool:
    return isinstance(item, nn.Parameter) or (isinstance(item, nn.Module) and any(True for _ in item.parameters()))
