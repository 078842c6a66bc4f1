"""Compute a circuit's states together with their derivatives by the weights."""

import warnings
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor

from qhybrid_runtime.engine.fusion import plan_dense_blocks
from qhybrid_runtime.engine.program import Operation, Program
from qhybrid_runtime.engine.torch.executor import apply_block
from qhybrid_runtime.engine.torch.matrices import MatrixBuilder
from qhybrid_runtime.engine.torch.starts import start_state

#: Qubits a block may have. Larger ones make fewer passes over the states, but their matrices'
#: derivatives, one for each weight, are products of matrices too.
_MAX_BLOCK_QUBITS = 3

#: Directions in which all matrices are differentiated at a time, which bounds the memory.
_DIRECTIONS_AT_ONCE = 32


class TangentEvolution:
    """Forward-mode differentiation of a program's final state, exact up to rounding.

    The state and its derivatives are columns of one matrix: a block M moves all of them, and the
    derivative by one of its own weights w gains (dM/dw)|psi>. A derivative is a column from the
    first block on that depends on its weight.

    A block depends on few weights. Weights that share no block have one direction in common, in
    which all matrices are differentiated once (Curtis, Powell and Reid 1974): 160 weights in blocks
    of six take some ten directions.

    Attributes:
        numbers_per_sample: Complex numbers that are in memory per sample.
    """

    def __init__(self, program: Program) -> None:
        """Plan the blocks."""
        self._program = program
        plan = plan_dense_blocks(program, range(program.num_qubits), _MAX_BLOCK_QUBITS)
        self._plan, self._builder = plan, MatrixBuilder(plan)
        self._qubits = tuple(block.qubits for block in plan.blocks)
        depends = _Dependence(program)
        self._own = [depends.of(block.operations) for block in plan.blocks]
        self._starting = depends.of([each for run in plan.starts for each in run], features=True)
        self._directions = _directions([self._starting, *self._own], program.num_weights)
        own = sum(4 ** len(block.qubits) for block in plan.blocks if block.source == "data")
        self.numbers_per_sample = (1 + program.num_weights) * ((1 << program.num_qubits) + own)

    @torch.enable_grad()
    def __call__(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, list[int]]:
        """Return the states and those of their derivatives that can be other than zero.

        Inputs (B, n_inputs) and weights (n_weights,), or G sets of both, (G, B, n_inputs) and
        (G, n_weights), are in double precision; the result cannot be differentiated further. It is
        columns (B or G * B, 2**n_qubits, 1 + m), the state first, and the m weights that the others
        are derivatives by.
        """
        if weights.dim() == 1:
            inputs, weights = inputs[None], weights[None]
        # The plain call also fills the builder's tables, which must not be made inside a transform.
        start, *stacks = self._pieces(inputs, weights)
        start_slope, *slopes = self._slopes(inputs, weights)
        order = list(self._starting)
        columns = torch.cat([start[..., None], start_slope[..., self._along(order)]], dim=-1)
        places = {
            index: (stack, row)
            for stack, members in enumerate(self._builder.stacks)
            for row, index in enumerate(members.blocks)
        }
        for index, qubits in enumerate(self._qubits):
            stack, row = places[index]
            before, own = columns[..., :1], self._own[index]
            columns = apply_block(columns, qubits, _of_samples(stacks[stack][row], len(columns)))
            if own:
                slope = slopes[stack][row][..., self._along(own)]
                gained = _gained(before, qubits, _of_samples(slope, len(columns)))
                columns = _add(columns, order, gained, own)
        return columns, order

    def _along(self, weights: Sequence[int]) -> list[int]:
        """Return the direction of each weight."""
        return [self._directions[weight] for weight in weights]

    def _slopes(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives, (..., n_directions), of what `_pieces` returns."""

        def along(direction: Tensor) -> tuple[Tensor, ...]:
            # torch's type stub has a third result, which is returned with has_aux only.
            moved = direction.expand_as(weights)
            found = torch.func.jvp(lambda w: self._pieces(inputs, w), (weights,), (moved,))
            return cast(tuple[Tensor, ...], found[1])

        numbers = torch.tensor(self._directions, device=weights.device)
        count = 1 + max(self._directions, default=0)
        directions = (numbers == torch.arange(count, device=weights.device)[:, None]).to(weights)
        mapped = torch.func.vmap(along, chunk_size=_DIRECTIONS_AT_ONCE)
        with warnings.catch_warnings():
            # On its first use torch.func.jvp calls torch.jit.script, which PyTorch deprecates.
            warnings.filterwarnings("ignore", r"`torch.jit.script`", FutureWarning)
            # With out_dims=-1 earlier versions of torch read past the sizes of a constant result.
            return tuple(slope.movedim(0, -1) for slope in mapped(directions))

    def _pieces(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Return start states (G * B, 2**n) and each stack's matrices (n, G or G * B, D, D)."""
        angles = self._program.angles(inputs, weights)
        qubit_states, stacks = self._builder.build(*angles)
        start = start_state(self._plan, qubit_states, angles[1])
        matrices = [tensor.flatten(3).movedim(-1, 1) for tensor in stacks]
        return (start.transpose(1, 2).flatten(0, 1), *matrices)


class _Dependence:
    """Which weights the gates of a program depend on."""

    def __init__(self, program: Program) -> None:
        first = program.num_inputs

        def weights_in(arguments: Iterable[set[int]]) -> list[set[int]]:
            return [{each - first for each in found if each >= first} for found in arguments]

        self._angles = {
            "weights": program.weight_angles.arguments(),
            "data": weights_in(program.data_angles.arguments()),
        }
        self._features = weights_in(program.amplitudes.features.arguments())

    def of(self, operations: Iterable[Operation], *, features: bool = False) -> list[int]:
        """Return the weights of some operations, and of the start states where asked, ascending."""
        found: set[int] = set().union(*self._features) if features else set()
        for operation in operations:
            if operation.source in self._angles:
                found.update(*(self._angles[operation.source][each] for each in operation.angles))
        return sorted(found)


def _directions(together: Sequence[Sequence[int]], count: int) -> list[int]:
    """Return a number for each of `count` weights, another one for those that stand together."""
    beside: list[set[int]] = [set() for _ in range(count)]
    for weights in together:
        for weight in weights:
            beside[weight].update(weights)
    numbers = [-1] * count
    for weight in range(count):
        taken = {numbers[other] for other in beside[weight]}
        numbers[weight] = next(number for number in range(count) if number not in taken)
    return numbers


def _of_samples(matrices: Tensor, samples: int) -> Tensor:
    """Return matrices (1 or samples, ...) of those of one, some or all sets of samples."""
    if len(matrices) in (1, samples):
        return matrices
    return matrices.repeat_interleave(samples // len(matrices), dim=0)


def _gained(state: Tensor, qubits: tuple[int, ...], slopes: Tensor) -> Tensor:
    """Return (dM/dw)|psi> (B, 2**n, m) of states (B, 2**n, 1) and slopes (1 or B, D, D, m)."""
    samples, amplitudes, _ = state.shape
    count = slopes.shape[-1]
    matrices = slopes.movedim(-1, 1).expand(samples, -1, -1, -1).flatten(0, 1)
    copies = state[:, None].expand(-1, count, -1, -1).reshape(-1, amplitudes, 1)
    moved = apply_block(copies, qubits, matrices)
    return moved.reshape(samples, count, amplitudes).transpose(1, 2)


def _add(columns: Tensor, order: list[int], gained: Tensor, own: list[int]) -> Tensor:
    """Add to the columns of weights `own`; those without one are appended, to `order` too."""
    for position, weight in enumerate(own):
        if weight in order:
            columns[..., 1 + order.index(weight)] += gained[..., position]
    new = [position for position, weight in enumerate(own) if weight not in order]
    if not new:
        return columns
    order += [own[position] for position in new]
    return torch.cat([columns, gained[..., new]], dim=-1)
