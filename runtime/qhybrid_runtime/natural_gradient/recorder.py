import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qhybrid_runtime.bank import CircuitBank
from qhybrid_runtime.layer import QuantumLayer


class InputRecorder:
    """Remembers what circuits were last fed in a forward pass that can be differentiated.

    Attributes:
        layers: The circuits, each once.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Watch all circuits in some modules, alone or in banks."""
        self.layers: list[QuantumLayer] = []
        self._inputs: dict[nn.Parameter, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        watched = {child: None for module in modules for child in module.modules()}
        for child in watched:
            if isinstance(child, QuantumLayer):
                self.layers.append(child)
            if isinstance(child, QuantumLayer | CircuitBank):
                handle = child.register_forward_hook(self._note, with_kwargs=True)
                self._handles.append(handle)

    def inputs_of(self, layer: QuantumLayer) -> Tensor | None:
        """Return the inputs (B, n_inputs) of the last pass, None where there was none."""
        return self._inputs.get(layer.weight)

    def close(self) -> None:
        """Stop watching and forget the inputs."""
        for handle in self._handles:
            handle.remove()
        self._inputs.clear()

    def _note(
        self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], _: object
    ) -> None:
        # Evaluation and sampling do not belong to the loss.
        if not torch.is_grad_enabled():
            return
        given = next(iter([*arguments, *named.values()]), None)
        if isinstance(module, QuantumLayer):
            self._keep(module, given)
        elif isinstance(module, CircuitBank) and given is not None:
            for layer, features in zip(module.layers, given, strict=True):
                if isinstance(layer, QuantumLayer):
                    self._keep(layer, features)

    def _keep(self, layer: QuantumLayer, features: Tensor | None) -> None:
        if features is None:
            features = layer.weight.new_empty(0)
        rows = math.prod(features.shape[:-1])
        self._inputs[layer.weight] = features.detach().reshape(rows, features.shape[-1])
