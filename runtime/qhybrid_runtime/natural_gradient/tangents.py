"""Compute a circuit's states together with their derivatives by the weights."""

import warnings
from typing import cast

import torch
from torch import Tensor

from qhybrid_runtime.engine.fusion import plan_dense_blocks
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import apply_block
from qhybrid_runtime.engine.torch.matrices import MatrixBuilder

#: Qubits a block may have. Larger ones make fewer passes over the states, but their matrices'
#: derivatives, one for each weight, are products of matrices too.
_MAX_BLOCK_QUBITS = 3

#: Weights by which all matrices are differentiated at a time, which bounds the memory.
_WEIGHTS_AT_ONCE = 32


class TangentEvolution:
    """Forward-mode differentiation of a program's final state, exact up to rounding.

    The state and its derivatives are columns of one matrix: a block M moves all of them, and the
    derivative by one of its own weights w gains (dM/dw)|psi>. A derivative is a column from the
    first block on that makes it other than zero.

    Attributes:
        numbers_per_sample: Complex numbers that are in memory per sample.
    """

    def __init__(self, program: Program) -> None:
        """Plan the blocks."""
        self._program = program
        plan = plan_dense_blocks(program, range(program.num_qubits), _MAX_BLOCK_QUBITS)
        self._builder = MatrixBuilder(plan)
        self._qubits = tuple(block.qubits for block in plan.blocks)
        own = sum(4 ** len(block.qubits) for block in plan.blocks if block.source == "data")
        self.numbers_per_sample = (1 + program.num_weights) * ((1 << program.num_qubits) + own)

    @torch.enable_grad()
    def __call__(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, list[int]]:
        """Return the states and those of their derivatives that are not zero.

        Inputs (B, n_inputs) and weights (n_weights,) are in double precision; the result cannot be
        differentiated further. It is columns (B, 2**n_qubits, 1 + m), the state first, and the m
        weights that the others are derivatives by.
        """
        # The plain call also fills the builder's tables, which must not be made inside a transform.
        start, *stacks = self._pieces(inputs, weights)
        start_slope, *slopes = self._slopes(inputs, weights)
        order = torch.nonzero((start_slope != 0).any(0).any(0)).flatten().tolist()
        columns = torch.cat([start[..., None], start_slope[..., order]], dim=-1)
        places = {
            index: (stack, row)
            for stack, members in enumerate(self._builder.stacks)
            for row, index in enumerate(members.blocks)
        }
        moving = [(slope != 0).flatten(1, 3).any(1) for slope in slopes]
        for index, qubits in enumerate(self._qubits):
            stack, row = places[index]
            before = columns[..., :1]
            columns = apply_block(columns, qubits, stacks[stack][row])
            own = torch.nonzero(moving[stack][row]).flatten().tolist()
            if own:
                gained = _gained(before, qubits, slopes[stack][row][..., own])
                columns = _add(columns, order, gained, own)
        return columns, order

    def _slopes(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives by the weights, (..., n_weights), of what `_pieces` returns."""

        def along(direction: Tensor) -> tuple[Tensor, ...]:
            # torch's type stub has a third result, which is returned with has_aux only.
            found = torch.func.jvp(lambda w: self._pieces(inputs, w), (weights,), (direction,))
            return cast(tuple[Tensor, ...], found[1])

        directions = torch.eye(len(weights), dtype=weights.dtype, device=weights.device)
        mapped = torch.func.vmap(along, out_dims=-1, chunk_size=_WEIGHTS_AT_ONCE)
        with warnings.catch_warnings():
            # On its first use torch.func.jvp calls torch.jit.script, which PyTorch deprecates.
            warnings.filterwarnings("ignore", r"`torch.jit.script`", FutureWarning)
            return mapped(directions)

    def _pieces(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Return start states (B, 2**n) and, for each stack, matrices (n, 1 or B, D, D)."""
        start, stacks = self._builder.build(*self._program.angles(inputs[None], weights[None]))
        matrices = [
            (tensor[:, :, :, 0] if members.differs else tensor).movedim(-1, 1)
            for members, tensor in zip(self._builder.stacks, stacks, strict=True)
        ]
        return (start[0].T, *matrices)


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
