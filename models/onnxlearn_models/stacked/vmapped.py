"""The form of networks whose layers have no batched one: one network, run for all models by ``torch.func``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call, vmap

from onnxlearn_models.stacked.network import Merge, share_buffers


class Vmapped(nn.Module):
    """The first of the networks with the parameters and buffers of all of them; random numbers in it raise an error."""

    def __init__(self, modules: Sequence[nn.Module], merge: Merge) -> None:
        super().__init__()
        # In a list it is not registered: its own parameters are no part of this network.
        self._network = [modules[0]]
        self.merged: dict[str, Tensor] = {}
        for name, _ in modules[0].named_parameters():
            values, grads = merge([module.get_parameter(name) for module in modules])
            parameter = self.merged[name] = nn.Parameter(values, requires_grad=grads is not None)
            parameter.grad = grads
        for name, _ in modules[0].named_buffers():
            self.merged[name] = share_buffers([module.get_buffer(name) for module in modules])

    def train(self, mode: bool = True) -> Vmapped:  # noqa: FBT001, FBT002  - as torch has it
        """Set the mode of the network that is run."""
        self._network[0].train(mode)
        return super().train(mode)

    def forward(self, **inputs: Tensor) -> Tensor:
        """From ``[k, N, d]`` of each input to ``[k, N, d_out]``."""

        def one(tensors: dict[str, Tensor], inputs: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(self._network[0], tensors, kwargs=inputs)
            return output

        output: Tensor = vmap(one)(self.merged, inputs)
        return output
