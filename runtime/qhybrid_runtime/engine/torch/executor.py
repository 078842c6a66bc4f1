"""Evolution of states by dense blocks on any torch device, and its adjoint.

A state is (G, 2**n, B): G weight sets, amplitudes, samples. Samples are innermost, so that every
gate is a unit-stride operation whatever its qubits.

The backward pass follows Jones and Gacon (arXiv:2009.02823): it un-applies each block from the
final state and the co-state, and so needs no intermediate state; memory does not grow with depth.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from qhybrid_runtime.engine.fusion import plan_dense_blocks
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.matrices import MatrixBuilder
from qhybrid_runtime.engine.torch.starts import start_state

#: Qubits a block may have: 16x16 matrices suit matrix products.
MAX_BLOCK_QUBITS = 4

Qubits = tuple[int, ...]


class MappedEvolution(torch.autograd.Function):
    """Expectation values of a state after a sequence of blocks, and the state itself.

    As an output the final state has derivatives of its own, so that those of the gradients, which
    are torch operations on it, follow as well.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        observables: ObservableSet,
        qubits: Sequence[Qubits],
        state: Tensor,
        *matrices: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return (G, B, n_obs) of states (G, 2**n, B) after blocks on some qubits, and the states.

        Qubits are ascending; each block has matrices (G, D, D) or (G, B, D, D).
        """
        for block, matrix in zip(qubits, matrices, strict=True):
            state = apply_block(state, block, matrix)
        return observables.expectations(state), state

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.observables, ctx.qubits, _, *matrices = inputs
        ctx.save_for_backward(output[1], *matrices)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(
        ctx: Any, cotangent: Tensor | None, by_state: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of the start state and of every matrix.

        torch's gradient of a real function in a complex number z is d/dRe(z) + i d/dIm(z). The
        value is <state|O|state>, so a matrix M that takes |before> to |after> has the gradient
        2 |co-state after><before|.
        """
        state, *matrices = ctx.saved_tensors
        costate = torch.zeros_like(state) if by_state is None else by_state
        if cotangent is not None:
            costate = costate + 2 * ctx.observables.weighted(cotangent, state)
        gradients: list[Tensor | None] = []
        wanted = ctx.needs_input_grad[3:]
        for block, matrix, needed in zip(
            reversed(ctx.qubits), reversed(matrices), reversed(wanted), strict=True
        ):
            inverse = matrix.mH
            state = apply_block(state, block, inverse)
            gradients.append(_overlap(costate, state, block, matrix) if needed else None)
            costate = apply_block(costate, block, inverse)
        return None, None, costate, *reversed(gradients)


class Evolution(MappedEvolution):
    """The same outside of torch.func, without the time that it takes to name the arguments."""

    setup_context = torch.autograd.Function.setup_context  # not defined: `forward` does it

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        output = MappedEvolution.forward(*inputs)
        MappedEvolution.setup_context(ctx, inputs, output)
        return output


class TorchExecutor:
    """Evaluates a program with torch operations only, wherever its tensors are."""

    def __init__(self, program: Program, support: Collection[int]) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        self._plan = plan_dense_blocks(program, support, MAX_BLOCK_QUBITS)
        self._builder = MatrixBuilder(self._plan)
        self._qubits = tuple(block.qubits for block in self._plan.blocks)

    def __call__(
        self,
        observables: ObservableSet,
        weight_angles: Tensor,
        data_angles: Tensor,
        codes: Tensor | None,
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        start, matrices = self._pieces(weight_angles, data_angles, codes)
        values: Tensor
        function = MappedEvolution if torch._C._are_functorch_transforms_active() else Evolution
        values, _ = function.apply(observables, self._qubits, start, *matrices)
        return values

    def states(self, weight_angles: Tensor, data_angles: Tensor) -> Tensor:
        """Return the states (G, 2**n, B) that are measured; the angles are as in a call."""
        state, matrices = self._pieces(weight_angles, data_angles, None)
        for qubits, matrix in zip(self._qubits, matrices, strict=True):
            state = apply_block(state, qubits, matrix)
        return state

    def _pieces(
        self, weight_angles: Tensor, data_angles: Tensor, codes: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return start states (G, 2**n, B), and (G, D, D) or (G, B, D, D) for each block."""
        qubit_states, stacks = self._builder.build(weight_angles, data_angles, codes)
        start = start_state(self._plan, qubit_states, data_angles)
        matrices: dict[int, Tensor] = {}
        for stack, tensor in zip(self._builder.stacks, stacks, strict=True):
            # (n, D, D, G) or (n, D, D, G, B): the matrix's axes become the last ones.
            members = tensor.movedim((1, 2), (-2, -1)).unbind(0)
            matrices.update(zip(stack.blocks, members, strict=True))
        return start, [matrices[index] for index in range(len(self._qubits))]


def apply_block(state: Tensor, qubits: Qubits, matrix: Tensor) -> Tensor:
    """Return the states (G, 2**n, B) after a matrix (G, D, D) or (G, B, D, D) on some qubits."""
    if matrix.dim() == 4:
        return _from_front(_per_sample(matrix, _to_front(state, qubits)), state.shape, qubits)
    groups, amplitudes, samples = state.shape
    if _contiguous(qubits):
        rows = matrix.shape[-1]
        inner = (1 << qubits[0]) * samples
        outer = amplitudes // (rows << qubits[0])
        return (matrix[:, None] @ state.reshape(groups, outer, rows, inner)).reshape(state.shape)
    return _from_front(matrix @ _to_front(state, qubits).flatten(2), state.shape, qubits)


def _overlap(costate: Tensor, state: Tensor, qubits: Qubits, matrix: Tensor) -> Tensor:
    """Return |costate><state| traced over the other qubits, in the shape of `matrix`."""
    left, right = _to_front(costate, qubits), _to_front(state, qubits)
    if matrix.dim() == 4:
        rows = [
            torch.stack([(one * other.conj()).sum(1) for other in right.unbind(1)], -1)
            for one in left.unbind(1)
        ]
        return torch.stack(rows, -2)
    return left.flatten(2) @ right.flatten(2).mH


def _per_sample(matrix: Tensor, front: Tensor) -> Tensor:
    """Apply (G, B, D, D) to (G, D, rest, B)."""
    entries = matrix.movedim(1, -1)[..., None, :]
    rows = [
        sum((entries[:, i, j] * front[:, j] for j in range(front.shape[1])), torch.tensor(0.0))
        for i in range(front.shape[1])
    ]
    return torch.stack(rows, dim=1)


def _contiguous(qubits: Qubits) -> bool:
    return qubits[-1] - qubits[0] == len(qubits) - 1


def _split_shape(state_shape: torch.Size, qubits: Qubits) -> tuple[list[int], list[int]]:
    """Return the shape in which each qubit of the block has an axis, and where these axes are."""
    groups, amplitudes, samples = state_shape
    shape, axes = [groups], []
    above = amplitudes.bit_length() - 1
    for qubit in reversed(qubits):
        shape += [1 << (above - qubit - 1), 2]
        axes.append(len(shape) - 1)
        above = qubit
    return [*shape, 1 << above, samples], axes


def _to_front(state: Tensor, qubits: Qubits) -> Tensor:
    """Return (G, D, rest, B): the block's index, then that of the other qubits."""
    shape, axes = _split_shape(state.shape, qubits)
    front = list(range(1, len(axes) + 1))
    split = state.reshape(shape).movedim(axes, front)
    rest = state.shape[1] >> len(axes)
    return split.reshape(shape[0], 1 << len(axes), rest, shape[-1])


def _from_front(front: Tensor, state_shape: torch.Size, qubits: Qubits) -> Tensor:
    shape, axes = _split_shape(state_shape, qubits)
    rest = [size for axis, size in enumerate(shape) if axis not in axes]
    split = front.reshape(rest[0], *([2] * len(axes)), *rest[1:])
    return split.movedim(list(range(1, len(axes) + 1)), axes).reshape(state_shape)
