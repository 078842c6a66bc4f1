"""Evolution of states by Triton kernels: all gates, samples and circuits in one launch."""

import warnings
from collections.abc import Collection
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.engine.by_dtype import OnDevice
from qhybrid_runtime.engine.fusion import Plan, plan_single_targets
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.matrices import MatrixBuilder
from qhybrid_runtime.engine.torch.starts import start_state

#: Qubits whose state the registers of one multiprocessor hold, beside a co-state.
MOST_QUBITS = 12

#: Amplitudes that a warp of 32 threads has.
_AMPLITUDES_PER_WARP = 256


def make_kernel_sweep(program: Program, support: Collection[int]) -> "KernelSweep | None":
    """Return the sweep of a program by kernels, or None where they cannot run it.

    That is without Triton, with more than `MOST_QUBITS` qubits, and with gates that have several
    targets and are none of one target under controls (SWAP, RXX).
    """
    if program.num_qubits > MOST_QUBITS or find_spec("triton") is None:
        return None
    plan = plan_single_targets(program, support)
    if not plan.blocks or any(len(block.targets) > 1 for block in plan.blocks):
        return None
    return KernelSweep(plan) if _kernels_run() else None


@cache
def _kernels_run() -> bool:
    """Return whether Triton can compile and run a kernel here; it needs a C compiler for that."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    start = torch.eye(1, 2, dtype=torch.complex64, device=device)
    flip = torch.tensor([0, 0, 1, 0, 1, 0, 0, 0], dtype=torch.float32, device=device)
    gate = torch.tensor([1, 0, 0, 0, 0], dtype=torch.int32, device=device)
    final = torch.zeros_like(start)
    try:
        kernels = import_module("qhybrid_runtime.engine.torch.kernels")
        states = (torch.view_as_real(start), torch.view_as_real(final))
        kernels.evolve[(1,)](*states, gate, flip, 1, 1, 1, 0, 1, AMPLITUDES=2, num_warps=1)
        if bool((final == start.flip(1)).all()):
            return True
        reason = "a kernel gives wrong values"
    except Exception as error:  # Triton raises whatever its compilers, or the driver, raise.
        reason = str(error).strip().split("\n")[-1]
    warnings.warn(
        f"Triton's kernels do not run here ({reason}); circuits run as torch operations",
        stacklevel=2,
    )
    return False


class KernelSweep:
    """Evaluates a plan of blocks of one target; its results can be differentiated once."""

    def __init__(self, plan: Plan) -> None:
        """Lay out the table of gates."""
        self._plan, self._builder = plan, MatrixBuilder(plan)
        self._counts = {stack.differs: len(stack.blocks) for stack in self._builder.stacks}
        self.num_shared = self._counts.get(False, 0)
        rows = {
            block: row + self.num_shared * stack.differs
            for stack in self._builder.stacks
            for row, block in enumerate(stack.blocks)
        }
        table = [
            (
                1 << block.targets[0],
                sum(1 << qubit for qubit in block.controls),
                sum((block.control_state >> i & 1) << q for i, q in enumerate(block.controls)),
                rows[index],
                any(operation.source in ("weights", "data") for operation in block.operations),
            )
            for index, block in enumerate(plan.blocks)
        ]
        self._gates = OnDevice(torch.from_numpy(np.array(table, dtype=np.int32)))

    def __call__(
        self,
        observables: ObservableSet,
        weight_angles: Tensor,
        data_angles: Tensor,
        codes: Tensor | None,
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        groups, samples = data_angles.shape[:2]
        qubit_states, stacks = self._builder.build(weight_angles, data_angles, codes)
        # Each sample is a group of its own here: (G * B, 2**n, 1), a sample's amplitudes together.
        start = start_state(
            self._plan, qubit_states.flatten(2)[..., None], data_angles.flatten(0, 1)[:, None]
        ).squeeze(-1)
        by_kind = {s.differs: each for s, each in zip(self._builder.stacks, stacks, strict=True)}
        none = start.new_empty(0, 2, 2, 1)
        shared = by_kind.get(False, none).flatten(3).movedim(-1, 0)
        own = by_kind.get(True, none).flatten(3).movedim(-1, 0)
        values: Tensor = _KernelEvolution.apply(self, observables, samples, start, shared, own)
        return values.reshape(groups, samples, -1)

    def launch(
        self, kernel: str, samples: int, matrices: Tensor, states: list[Tensor], *others: Tensor
    ) -> None:
        """Run one of the kernels for complex states (G * B, 2**n) of `samples` B a group."""
        kernels = import_module("qhybrid_runtime.engine.torch.kernels")
        count, amplitudes = states[0].shape
        first_own = count // samples * self.num_shared
        gates = self._gates.on(states[0].device)
        getattr(kernels, kernel)[(count,)](
            *(torch.view_as_real(state) for state in states),
            gates,
            matrices,
            *others,
            len(gates),
            samples,
            self.num_shared,
            self._counts.get(True, 0),
            first_own,
            AMPLITUDES=amplitudes,
            num_warps=max(1, amplitudes // _AMPLITUDES_PER_WARP),
            num_stages=1,
        )

    @property
    def num_matrices(self) -> int:
        """Return the number of matrices of a sample."""
        return sum(self._counts.values())


class _KernelEvolution(torch.autograd.Function):
    """Expectation values (1, G * B, n_obs) of start states (G * B, 2**n) after all gates.

    Shared matrices are (G, n, 2, 2), those of each sample (G * B, n, 2, 2).
    """

    @staticmethod
    def forward(
        ctx: Any,
        sweep: KernelSweep,
        observables: ObservableSet,
        samples: int,
        start: Tensor,
        shared: Tensor,
        own: Tensor,
    ) -> Tensor:
        parts = [torch.view_as_real(each.resolve_conj()).flatten() for each in (shared, own)]
        matrices, start = torch.cat(parts), start.contiguous()
        final = torch.empty_like(start)
        sweep.launch("evolve", samples, matrices, [start, final])
        ctx.sweep, ctx.observables, ctx.samples = sweep, observables, samples
        ctx.save_for_backward(final, matrices)
        return observables.expectations(final.mT[None])

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the start states and of all matrices."""
        sweep: KernelSweep = ctx.sweep
        final, matrices = ctx.saved_tensors
        by_state = 2 * ctx.observables.weighted(cotangent, final.mT[None])
        costate = by_state[0].mT.contiguous()
        shape = (len(final), sweep.num_matrices, 2, 2, 2)
        gradients = matrices.new_zeros(shape)
        sweep.launch("unevolve", ctx.samples, matrices, [final, costate], gradients)
        found = torch.view_as_complex(gradients)
        by_shared = found[:, : sweep.num_shared].unflatten(0, (-1, ctx.samples)).sum(1)
        return None, None, None, costate, by_shared, found[:, sweep.num_shared :]
