import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qhybrid_circuits import RequestError
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.recorder import InputRecorder


class QuantumNaturalGradient(Optimizer):
    """Gradient descent in the geometry of the circuits' states.

    Stokes et al. (arXiv:1909.02108), equation 12, regularized: w <- w - lr (G + r 1)^-1 dL/dw for
    each circuit by itself, with G its Fubini-Study metric, averaged over samples of its inputs
    since the step before, in forward passes with gradients. Metrics are simulated on any backend: G
    is that of the ideal circuit. Weights that stand in no gate are left as they are, whatever their
    gradient. All other parameters are for another optimizer.
    """

    def __init__(
        self,
        modules: nn.Module | Iterable[nn.Module],
        lr: float = 0.05,
        *,
        regularization: float = 0.01,
        block_diagonal: bool = False,
        metric_samples: int = 8,
        metric_every: int = 1,
    ) -> None:
        """Take over the weights of all circuits in some modules.

        Args:
            modules: `QuantumLayer`s, `CircuitBank`s, or modules that hold them, such as a model.
            lr: Step size.
            regularization: A number added to the metric's diagonal; the metric's own largest
                entries are 1/4 times the square of an angle's slope, pi**2 for a weight in turns.
            block_diagonal: Whether to keep only the metric's blocks of weights in one time slice.
            metric_samples: Samples that the metric is averaged over, at even distances in the
                circuit's inputs; all where there are fewer.
            metric_every: Steps from one computation of the metric to the next. An old metric can
                make steps too long, and descent diverge: take a smaller `lr` with it.

        Raises:
            RequestError: There is no circuit with weights, or an option is outside its range.
        """
        _check_options(lr, regularization, metric_samples, metric_every)
        self._recorder = InputRecorder([modules] if isinstance(modules, nn.Module) else modules)
        layers = self._recorder.layers
        self._layers = {layer.weight: layer for layer in layers if layer.weight.numel()}
        if not self._layers:
            raise RequestError(
                "Argument `modules` must hold QuantumLayers with weights, but holds none; "
                "use another optimizer"
            )
        options = {"lr": lr, "regularization": regularization, "block_diagonal": block_diagonal}
        options |= {"metric_samples": metric_samples, "metric_every": metric_every}
        super().__init__(list(self._layers), options)

    def close(self) -> None:
        """Stop watching the circuits' forward passes; no step can follow."""
        self._recorder.close()

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move the weights of each circuit that has a gradient, which `closure` may compute anew.

        Raises:
            RequestError: A circuit's inputs are not known: it was not called as a module, alone or
                in a `CircuitBank`, with gradients enabled.
            NotFiniteError: A circuit's inputs or weights hold NaN or infinity.
        """
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        self._recorder.end_step()
        return loss

    def _move(self, weight: nn.Parameter, options: dict[str, Any]) -> None:
        layer, state = self._layers[weight], self.state[weight]
        done = state.get("step", 0)
        if done % options["metric_every"] == 0:
            # Kept in the weights' dtype, as load_state_dict casts it: a resumed run is the same.
            state["metric"] = self._metric(layer, options).to(weight.dtype)
        state["step"] = done + 1
        has = layer.variational.circuit.has_parameter
        used = torch.tensor([has(parameter) for parameter in layer.variational.weights])
        acting = used.nonzero().flatten().to(weight.device)
        metric = state["metric"].double()[acting][:, acting]
        metric.diagonal().add_(options["regularization"])
        direction = torch.linalg.solve(metric, weight.grad.double()[acting])  # type: ignore[union-attr]
        weight[acting] -= (options["lr"] * direction).to(weight.dtype)

    def _metric(self, layer: QuantumLayer, options: dict[str, Any]) -> Tensor:
        variational = layer.variational
        rows = self._recorder.inputs_of(layer)
        if rows is None or not len(rows):
            raise RequestError(
                f"The inputs of circuit '{variational.name}' must be known for its metric, but it "
                "was not called with gradients enabled; make the optimizer before the forward pass"
            )
        count = min(len(rows), options["metric_samples"])
        chosen = torch.arange(count, device=rows.device) * len(rows) // count
        return fubini_study_metric(
            variational, rows[chosen], layer.weight, block_diagonal=options["block_diagonal"]
        )


def _check_options(
    lr: float, regularization: float, metric_samples: int, metric_every: int
) -> None:
    wrong = [
        ("lr", "not negative", lr, 0 <= lr < math.inf),
        ("regularization", "positive", regularization, 0 < regularization < math.inf),
        ("metric_samples", "at least 1", metric_samples, metric_samples >= 1),
        ("metric_every", "at least 1", metric_every, metric_every >= 1),
    ]
    for name, range_of, value, right in wrong:
        if not right:
            raise RequestError(f"Argument `{name}` must be {range_of}, but is {value}")
