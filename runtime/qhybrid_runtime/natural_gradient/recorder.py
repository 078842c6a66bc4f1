import math
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qhybrid_runtime.bank import CircuitBank
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.share import Share, current_share
from qhybrid_runtime.weight_table import WeightTable

#: Forward passes that are kept at most: a loop without steps must not fill the memory.
_MOST_PASSES = 64


class InputRecorder:
    """Keeps the inputs of circuits for one step, from forward passes that can be differentiated.

    A circuit can be called more than once: where it stands at several places of a network, and
    where a step consists of several batches.

    Attributes:
        layers: The circuits, each once.
        tables: The tables of weights, each once.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Watch all circuits in some modules, alone or in banks."""
        self.layers: list[QuantumLayer] = []
        self.tables: list[WeightTable] = []
        self._inputs: dict[nn.Parameter, deque[tuple[Tensor, Share | None]]] = {}
        self._used: set[nn.Parameter] = set()
        self._handles: list[RemovableHandle] = []
        for child in {child: None for module in modules for child in module.modules()}:
            if isinstance(child, QuantumLayer):
                self.layers.append(child)
            if isinstance(child, WeightTable):
                self.tables.append(child)
            if isinstance(child, QuantumLayer | CircuitBank | WeightTable):
                self._handles.append(child.register_forward_hook(self._note, with_kwargs=True))

    def inputs_of(self, layer: QuantumLayer | WeightTable) -> Tensor | None:
        """Return what the passes were given, None where there was none.

        It is the inputs (B, n_inputs) of a circuit, the index of each choice (B, n_choices) of a
        table. Where several processes share the batches it is that of all, and all must ask.

        Raises:
            RequestError: See `Share.rows_of_each`.
        """
        passes = self._inputs.get(cast(nn.Parameter, layer.weight))
        return None if passes is None else torch.cat([_of_all(*each) for each in passes])

    def end_step(self) -> None:
        """Let the passes that follow belong to a new step."""
        self._used = set(self._inputs)

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
        if isinstance(module, WeightTable):
            self._keep(module, torch.stack([*arguments, *named.values()], dim=-1))
        elif isinstance(module, QuantumLayer):
            self._keep(module, given)
        elif isinstance(module, CircuitBank) and given is not None:
            for layer, features in zip(module.layers, given, strict=True):
                self._keep(cast(QuantumLayer, layer), features)

    def _keep(self, layer: QuantumLayer | WeightTable, features: Tensor | None) -> None:
        weight = cast(nn.Parameter, layer.weight)
        if features is None:
            features = weight.new_empty(0)
        if weight in self._used or weight not in self._inputs:
            self._used.discard(weight)
            self._inputs[weight] = deque(maxlen=_MOST_PASSES)
        rows = math.prod(features.shape[:-1])
        own = features.detach().reshape(rows, features.shape[-1])
        self._inputs[weight].append((own, current_share()))


def _of_all(rows: Tensor, share: Share | None) -> Tensor:
    return rows if share is None else share.gather(rows, share.rows_of_each(len(rows)))
