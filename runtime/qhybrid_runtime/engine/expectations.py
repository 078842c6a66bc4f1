import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from qhybrid_circuits import ShapeError
from qhybrid_runtime.checks import check_finite, check_memory, check_real_pair, check_shape
from qhybrid_runtime.engine.by_dtype import to_keep
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.engine.torch.gpu import GpuExecutor

#: Qubits whose states no machine that runs this is too small for.
_SURELY_FIT = 24


#: A program planned for one kind of torch device: a function of observables, of angles
#: (G, n_weight_angles) and (G, B, n_data_angles), and of which Pauli operator acts at each error
#: site, (n_sites, G, B), that returns expectation values (G, B, n_obs).
Executor = Callable[[ObservableSet, Tensor, Tensor, Tensor | None], Tensor]


def executor_for(program: Program, device_type: str, support: frozenset[int]) -> Executor:
    """Return the executor for observables on the qubits in `support`, planned at the first call.

    It is compiled kernels on torch device "cpu", Triton kernels or else torch operations, in CUDA
    graphs, on "cuda", and torch operations on any other. The device type "triton" stands for what
    "cuda" would run, but on any device: with TRITON_INTERPRET=1 on the CPU.
    """
    executor: Executor = program.executors.get(
        (device_type, support),
        lambda: to_keep(lambda: _plan(program, device_type, support)),
    )
    return executor


def _plan(program: Program, device_type: str, support: frozenset[int]) -> Executor:
    if device_type in ("cuda", "triton"):
        return GpuExecutor(program, support)
    if device_type != "cpu":
        return TorchExecutor(program, support)
    # Imported here: compiled kernels take a third of a second to load.
    from qhybrid_runtime.engine.cpu.executor import CpuExecutor

    return CpuExecutor(program, support)


def expectations(
    program: Program,
    observables: ObservableSet | Sequence[SparsePauliOp],
    inputs: Tensor,
    weights: Tensor,
    errors: Tensor | None = None,
) -> Tensor:
    """Return exact expectation values, differentiable in inputs and weights.

    Leading dimensions broadcast as usual: one weight vector serves any batch; with weights
    (G, n_w) and inputs (G, B, n_in) G circuits of one structure are evaluated as one.

    Args:
        program: From `compile_program`.
        observables: Hermitian sums of Pauli strings. Prepare an `ObservableSet` once where the
            same ones are used again and again.
        inputs: Real, shape (..., B, n_inputs). For a circuit without inputs B may still be any
            number, with n_inputs = 0.
        weights: Real, same dtype and torch device, shape (..., n_weights).
        errors: Which Pauli operator acts on each sample at each `ErrorSite` of the circuit: 0 for
            none, 1 for X, 2 for Y, 3 for Z; uint8, same torch device, shape (..., B, n_sites) with
            the leading dimensions of the result. No errors where omitted.

    Returns:
        Shape (..., B, n_observables), same dtype and torch device.

    Raises:
        ShapeError: The shapes or dtypes do not fit the program or each other.
        NotFiniteError: A number is NaN or infinite (checked in the host's memory only).
        RequestError: The states do not fit into memory, or all amplitudes of a start state are zero
            (checked in the host's memory only).
        CircuitError: An observable does not fit the program.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.engine import compile_program, expectations
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> program = compile_program(circuit)
        >>> inputs, weights = torch.zeros(5, 4), torch.zeros(8)
        >>> expectations(program, circuit.observables, inputs, weights).shape
        torch.Size([5, 4])
    """
    return round_expectations([Batch(program, observables, inputs, weights, errors)])[0]


class Batch(NamedTuple):
    """What `expectations` is called with."""

    program: Program
    observables: ObservableSet | Sequence[SparsePauliOp]
    inputs: Tensor
    weights: Tensor
    errors: Tensor | None = None


def round_expectations(batches: Sequence[Batch]) -> list[Tensor]:
    """Return the expectation values of circuits of several structures, at the same time.

    On the CPU, threads share the samples of all of them, on the way back too.

    Args:
        batches: The arguments of `expectations`, and the errors are its errors.

    Returns:
        What `expectations` returns of each.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.engine import Batch, compile_program, round_expectations
        >>> circuits = [build_ansatz("hqconv", channels=1, layers=n) for n in (1, 2)]
        >>> batches = [
        ...     Batch(compile_program(c), c.observables, torch.zeros(5, 4), torch.zeros(8 * n))
        ...     for n, c in enumerate(circuits, start=1)
        ... ]
        >>> [values.shape for values in round_expectations(batches)]
        [torch.Size([5, 4]), torch.Size([5, 4])]
    """
    planned = [_plan_call(batch) for batch in batches]
    values = _execute([call for _, call in planned])
    return [
        _with_gradient(found, batch).reshape(*lead, found.shape[-1])
        for batch, (lead, _), found in zip(batches, planned, values, strict=True)
    ]


#: An executor and its arguments.
_Call = tuple[Executor, tuple[ObservableSet, Tensor, Tensor, Tensor | None]]


def _plan_call(batch: Batch) -> tuple[tuple[int, ...], _Call]:
    """Check a batch, and return the leading dimensions to give back and what to execute."""
    program, observables, inputs, weights, errors = batch
    check_shape("inputs", inputs, "(..., B, n_inputs)", last=program.num_inputs, least_dims=2)
    check_shape("weights", weights, "(..., n_weights)", last=program.num_weights, least_dims=1)
    check_real_pair("inputs", inputs, "weights", weights)
    check_finite("inputs", inputs)
    check_finite("weights", weights)
    if errors is not None:
        check_shape("errors", errors, "(..., B, n_sites)", last=program.num_sites, least_dims=2)
    if program.num_qubits > _SURELY_FIT and inputs.device.type == "cpu":
        # One state and co-state at the least; a plan for many more qubits could not be written.
        needed = 4 * inputs.element_size() << program.num_qubits
        check_memory(f"Simulating {program.num_qubits} qubits", needed)
    if not isinstance(observables, ObservableSet):
        observables = ObservableSet(observables, program.num_qubits)
    with _full_precision(inputs):
        lead, grouped_inputs, grouped_weights = _group(inputs, weights)
        codes = None if errors is None else _codes(errors, lead, grouped_inputs)
        executor = executor_for(program, inputs.device.type, observables.support)
        angles = program.angles(grouped_inputs, grouped_weights, check=True)
    return lead, (executor, (observables, *angles, codes))


def _execute(calls: Sequence[_Call]) -> list[Tensor]:
    """Return the values (G, B, n_obs) of each call; compiled sweeps go through all at once."""
    if len(calls) > 1 and all(given[1].device.type == "cpu" for _, given in calls):
        from qhybrid_runtime.engine.cpu.executor import CpuExecutor, evaluate_together

        swept = [(each, *given) for each, given in calls if isinstance(each, CpuExecutor)]
        if len(swept) == len(calls):
            with _full_precision(swept[0][2]):
                return evaluate_together(swept)
    values = []
    for executor, given in calls:
        with _full_precision(given[1]):
            values.append(executor(*given))
    return values


def _full_precision(like: Tensor) -> torch.autocast:
    """Mixed precision is for the network around the circuit; amplitudes keep their dtype."""
    return torch.autocast(like.device.type, enabled=False)


def _with_gradient(values: Tensor, batch: Batch) -> Tensor:
    """Let values follow from inputs and weights where no gate carries a parameter.

    The derivative is zero then, which is not the same as none.
    """
    if torch.is_grad_enabled() and not values.requires_grad:
        return values + 0 * batch.inputs.sum() + 0 * batch.weights.sum()
    return values


def _group(inputs: Tensor, weights: Tensor) -> tuple[tuple[int, ...], Tensor, Tensor]:
    """Return the shape to give back, inputs (G, B, n_in) and weights (G, n_w)."""
    if weights.dim() == 1:
        # One weight vector: every leading dimension is more of the batch.
        lead = tuple(inputs.shape[:-1])
        return lead, inputs.reshape(1, math.prod(lead), inputs.shape[-1]), weights[None]
    try:
        lead = np.broadcast_shapes(inputs.shape[:-2], weights.shape[:-1])
    except ValueError as error:
        raise ShapeError(
            "Leading dimensions of `inputs` (..., B, n_inputs) and `weights` (..., n_weights) must "
            f"broadcast, but are {tuple(inputs.shape[:-2])} and {tuple(weights.shape[:-1])}"
        ) from error
    samples, width = inputs.shape[-2:]
    groups = math.prod(lead)
    spread_inputs = inputs.expand(*lead, samples, width).reshape(groups, samples, width)
    spread_weights = weights.expand(*lead, weights.shape[-1]).reshape(groups, weights.shape[-1])
    return (*lead, samples), spread_inputs, spread_weights


def _codes(errors: Tensor, lead: tuple[int, ...], inputs: Tensor) -> Tensor:
    """Return the errors of samples (..., B) as (n_sites, G, B)."""
    if errors.dtype != torch.uint8 or errors.device != inputs.device:
        raise ShapeError(
            f"Argument `errors` must be uint8 on {inputs.device}, but is {errors.dtype} on "
            f"{errors.device}"
        )
    if tuple(errors.shape[:-1]) != lead:
        raise ShapeError(
            f"Argument `errors` must have shape {(*lead, errors.shape[-1])}, one row per "
            f"sample, but has shape {tuple(errors.shape)}"
        )
    if errors.device.type == "cpu" and errors.numel() and int(errors.max()) > 3:
        raise ShapeError(
            f"Argument `errors` must hold codes of 0, 1, 2 or 3 (none, X, Y, Z), but holds "
            f"{int(errors.max())}"
        )
    return errors.reshape(*inputs.shape[:2], errors.shape[-1]).movedim(-1, 0)
