import math
from collections.abc import Callable, Iterable
from typing import Any, cast, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.recorder import InputRecorder
from qhybrid_runtime.natural_gradient.table_rows import TableRows


class QuantumNaturalGradient(Optimizer):
    """Gradient descent in the geometry of the circuits' states.

    Stokes et al. (arXiv:1909.02108), equation 12, regularized: w <- w - lr (G + r 1)^-1 dL/dw for
    each circuit by itself, with G its Fubini-Study metric, averaged over samples of its inputs
    since the step before, in forward passes with gradients. Metrics are simulated on any backend: G
    is that of the ideal circuit. Weights that stand in no gate are left as they are, whatever their
    gradient. All other parameters are for another optimizer.

    A row of a `WeightTable` moves as if its samples were the batch: by the metric of their states
    and the gradient of their mean loss, dL/dw times the number of all samples over that of its own,
    for a loss L that is a mean over samples. So a step's length does not depend on the number of
    rows. Rows of no sample stay.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> from qhybrid_runtime.natural_gradient import QuantumNaturalGradient
        >>> layer = quantum_layer(
        ...     build_ansatz("hqconv", channels=1, layers=1), get_backend("statevector")
        ... )
        >>> optimizer = QuantumNaturalGradient(layer, lr=0.1)
        >>> layer(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
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
            modules: `QuantumLayer`s, `CircuitBank`s, `WeightTable`s with the layers that they are
                for, or modules that hold them, such as a model.
            lr: Step size.
            regularization: A number added to the metric's diagonal; the metric's own largest
                entries are 1/4 times the square of an angle's slope, pi**2 for a weight in turns.
            block_diagonal: Whether to keep only the metric's blocks of weights in one time slice.
            metric_samples: Samples that the metric is averaged over, at even distances in the
                circuit's inputs, or those of a row; all where there are fewer.
            metric_every: Steps from one computation of the metric to the next; that of a row is
                computed when it is first needed after that. An old metric can make steps too long,
                and descent diverge: take a smaller `lr` with it.

        Raises:
            RequestError: There is no circuit with weights, or an option is outside its range.
        """
        _check_options(lr, regularization, metric_samples, metric_every)
        self._recorder = InputRecorder([modules] if isinstance(modules, nn.Module) else modules)
        layers = self._recorder.layers
        self._layers = {layer.weight: layer for layer in layers if layer.weight.numel()}
        self._rows = {table.weight: TableRows(table, layers) for table in self._recorder.tables}
        if not self._layers and not self._rows:
            raise RequestError(
                "Argument `modules` must hold QuantumLayers with weights, but holds none; "
                "use another optimizer"
            )
        options = {"lr": lr, "regularization": regularization, "block_diagonal": block_diagonal}
        options |= {"metric_samples": metric_samples, "metric_every": metric_every}
        super().__init__([*self._layers, *self._rows], options)

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
                if weight.grad is not None and weight in self._rows:
                    self._move_rows(weight, group)
                elif weight.grad is not None:
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
        acting, gradient = _acting(layer.variational, weight), cast(Tensor, weight.grad).double()
        weight.sub_(_step(state["metric"], gradient, acting, options).to(weight.dtype))

    def _move_rows(self, weight: nn.Parameter, options: dict[str, Any]) -> None:
        rows, state = self._rows[weight], self.state[weight]
        given = rows.given(self._recorder)
        if given is None:
            raise RequestError(_unknown_inputs(rows.variational))
        done, every = state.get("step", 0), options["metric_every"]
        # Those that are used once are not kept, since checkpoints would have them.
        known: dict[int, Tensor] = state["metric"] if done % every else {}
        present, counts = torch.unique(given[0], return_counts=True)
        new = present[[row not in known for row in present.tolist()]]
        if len(new):
            samples, block_diagonal = options["metric_samples"], options["block_diagonal"]
            found = rows.metrics(*given, new, samples, block_diagonal=block_diagonal)
            known = {**known, **dict(zip(new.tolist(), found.to(weight.dtype), strict=True))}
        state["step"], state["metric"] = done + 1, {} if every == 1 else known
        metrics = torch.stack([known[row] for row in present.tolist()])
        values, gradients = weight.flatten(0, -2), cast(Tensor, weight.grad).flatten(0, -2)
        own = gradients[present].double() * (len(given[0]) / counts)[:, None]
        step = _step(metrics, own, _acting(rows.variational, weight), options)
        values[present] -= step.to(weight.dtype)

    def _metric(self, layer: QuantumLayer, options: dict[str, Any]) -> Tensor:
        variational = layer.variational
        rows = self._recorder.inputs_of(layer)
        if rows is None or not len(rows):
            raise RequestError(_unknown_inputs(variational))
        count = min(len(rows), options["metric_samples"])
        chosen = torch.arange(count, device=rows.device) * len(rows) // count
        return fubini_study_metric(
            variational, rows[chosen], layer.weight, block_diagonal=options["block_diagonal"]
        )


def _acting(variational: VariationalCircuit, like: Tensor) -> Tensor:
    """Return the weights that stand in a gate."""
    has = variational.circuit.has_parameter
    used = torch.tensor([has(parameter) for parameter in variational.weights])
    return used.nonzero().flatten().to(like.device)


def _step(metric: Tensor, gradient: Tensor, acting: Tensor, options: dict[str, Any]) -> Tensor:
    """Return what to take from weights (..., n), zero where they do not act."""
    regularized = metric.double()[..., acting[:, None], acting]
    regularized.diagonal(dim1=-2, dim2=-1).add_(options["regularization"])
    direction = torch.linalg.solve(regularized, gradient[..., acting, None])[..., 0]
    step = torch.zeros_like(gradient)
    step[..., acting] = options["lr"] * direction
    return step


def _unknown_inputs(variational: VariationalCircuit) -> str:
    return (
        f"The inputs of circuit '{variational.name}' must be known for its metric, but it was not "
        "called with gradients enabled; make the optimizer before the forward pass"
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
