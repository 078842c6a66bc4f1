from collections import defaultdict

import torch
from qiskit.circuit import ParameterExpression
from torch import Tensor

from qhybrid_circuits import ShapeError, VariationalCircuit
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.checks import check_finite, check_memory, check_shape
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.natural_gradient.tangents import TangentEvolution

#: Complex numbers, of states, matrices and their derivatives, that are held at a time: 32 MiB.
_NUMBERS_AT_ONCE = 1 << 21

#: Copies of the derivatives that one step of the evolution has at once.
_COPIES = 4

_EVOLUTIONS: Cache[TangentEvolution] = Cache(256)


def fubini_study_metric(
    variational: VariationalCircuit,
    inputs: Tensor,
    weights: Tensor,
    *,
    block_diagonal: bool = False,
) -> Tensor:
    """Return the Fubini-Study metric of a circuit's weights, exactly, averaged over a batch.

    Stokes et al. (arXiv:1909.02108), equation 9: G_ij = Re(<d_i psi|d_j psi> - <d_i psi|psi>
    <psi|d_j psi>), a quarter of the quantum Fisher information. It is a property of the state and
    depends on no observable.

    Args:
        variational: The circuit.
        inputs: Real, shape (B, n_inputs), B at least 1; or of G sets of weights, (G, B, n_inputs).
        weights: Real, shape (n_weights,), or (G, n_weights).
        block_diagonal: Keep only the entries of weights in one time slice, whose gates can act at
            one time; see `time_slices`. The entries that are kept are exact.

    Returns:
        Shape (n_weights, n_weights), or (G, n_weights, n_weights), double precision, on the
        weights' torch device; symmetric, positive semidefinite, rows and columns of weights that
        stand in no gate zero.

    Raises:
        ShapeError: The shapes do not fit the circuit, or the batch is empty.
        NotFiniteError: A number is NaN or infinite.
        RequestError: The states and their derivatives do not fit into memory.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.natural_gradient import fubini_study_metric
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> fubini_study_metric(circuit, torch.zeros(5, 4), torch.zeros(8)).shape
        torch.Size([8, 8])
    """
    check_shape("inputs", inputs, "(B, n_inputs)", last=variational.num_inputs, least_dims=2)
    check_shape("weights", weights, "(n_weights,)", last=variational.num_weights, least_dims=1)
    sets = weights.shape[:-1]
    fits = inputs.dim() == 2 + len(sets) and inputs.shape[:-2] == sets and len(sets) <= 1
    if not fits or 0 in inputs.shape[:-1]:
        raise ShapeError(
            "Arguments `inputs` and `weights` must have shapes (B, n_inputs) with B at least 1 and "
            "(n_weights,), or (G, B, n_inputs) and (G, n_weights), but have shapes "
            f"{tuple(inputs.shape)} and {tuple(weights.shape)}"
        )
    check_finite("inputs", inputs)
    check_finite("weights", weights)
    at = weights.detach().double().reshape(-1, variational.num_weights)
    rows = inputs.detach().to(at).reshape(len(at), *inputs.shape[-2:])
    metric = at.new_zeros(len(at), variational.num_weights, variational.num_weights)
    if not variational.num_weights:
        return metric.reshape(*sets, *metric.shape[1:])
    if at.device.type == "cpu":
        what = f"The metric of {variational.num_weights} weights on {variational.num_qubits} qubits"
        check_memory(what, _COPIES * 16 * (1 + variational.num_weights) << variational.num_qubits)
    evolution = _EVOLUTIONS.get(
        Identity(variational), lambda: TangentEvolution(compile_program(variational))
    )
    most, samples = max(1, _NUMBERS_AT_ONCE // evolution.numbers_per_sample), rows.shape[1]
    every = torch.arange(len(at), device=at.device)
    for group in torch.split(every, max(1, most // samples)):
        for part in torch.split(rows[group], most, dim=1):
            columns, order = evolution(part, at[group])
            found = torch.tensor(order, dtype=torch.int64, device=at.device)
            metric[group[:, None, None], found[:, None], found] += _summed(columns, len(group))
    metric /= samples
    if block_diagonal:
        slices = time_slices(variational)
        metric *= metric.new_tensor([[float(one == two) for two in slices] for one in slices])
    return metric.reshape(*sets, *metric.shape[1:])


def _summed(columns: Tensor, sets: int) -> Tensor:
    """Return sums (G, m, m) of metrics over states with their derivatives (G * B, 2**n, 1 + m)."""
    overlaps = columns.mH @ columns
    phases = overlaps[:, 0, 1:]
    metrics: Tensor = (overlaps[:, 1:, 1:] - phases.conj()[:, :, None] * phases[:, None]).real
    return metrics.reshape(sets, len(metrics) // sets, *metrics.shape[1:]).sum(1)


def time_slices(variational: VariationalCircuit) -> list[int | None]:
    """Return the time slice of each weight: the layers of the block-diagonal metric.

    Each gate acts as early as it can. It is in slice t where t gates with weights act one after
    another, each on a qubit of the next, before it. So the gates with weights of one slice are on
    different qubits, commute, and can act at one time, with gates without weights between the
    slices: the circuits for which Stokes et al. (arXiv:1909.02108, section 3) define the
    block-diagonal metric. A weight of several gates belongs to the slice of the first of them.

    A gate that is made of others counts as one. The slice of a weight in no gate is None.
    """
    position = {weight: index for index, weight in enumerate(variational.weights)}
    slices: list[int | None] = [None] * variational.num_weights
    free_at: defaultdict[int, int] = defaultdict(int)
    for instruction in variational.circuit.data:
        qubits = [variational.circuit.find_bit(qubit).index for qubit in instruction.qubits]
        time = max((free_at[qubit] for qubit in qubits), default=0)
        own = {
            position[parameter]
            for angle in getattr(instruction.operation, "params", ())
            if isinstance(angle, ParameterExpression)
            for parameter in angle.parameters
            if parameter in position
        }
        for weight in own:
            slices[weight] = time if slices[weight] is None else slices[weight]
        free_at.update(dict.fromkeys(qubits, time + bool(own)))
    return slices
