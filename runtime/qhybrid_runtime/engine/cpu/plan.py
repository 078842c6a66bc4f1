from collections.abc import Collection
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.checks import check_memory
from qhybrid_runtime.engine.by_dtype import to_keep
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.layout import APPLY, ApplyStep, GateRow, lay_out
from qhybrid_runtime.engine.cpu.workspace import Call, Numbers
from qhybrid_runtime.engine.fusion import plan_sparse_blocks
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import TorchExecutor

#: Bytes below which no machine that runs this is short of memory.
_WORTH_CHECKING = 1 << 28


class CpuPlan:
    """A program laid out for compiled sweeps, and what these are given at each call."""

    def __init__(self, program: Program, support: Collection[int]) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        self.layout, self.recipe, self.order = lay_out(plan_sparse_blocks(program, support))
        self.num_sites = program.num_sites
        self._plan = program, support

    @cached_property
    def differentiable(self) -> TorchExecutor:
        """The same in torch operations: slower, but differentiable as often as one likes."""
        return to_keep(lambda: TorchExecutor(*self._plan))

    @cached_property
    def work(self) -> int:
        """Amplitudes read by all steps and gates of a task, to compare it with another plan's."""
        layout, read = self.layout, self.layout.size
        for step in (ApplyStep(*row) for row in layout.steps.tolist() if row[0] == APPLY):
            gates = (GateRow(*row) for row in layout.gates[step.first_gate : step.end_gate])
            group = sum(int(gate.rows * gate.num_bases) for gate in gates)
            read += group << (step.bits - step.width)
        return read

    def prepare(
        self,
        observables: ObservableSet,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> Call:
        """Return what the kernels are given; the arguments are those of a call."""
        chunks = -(-data_angles.shape[1] // LANES)
        weight_waves, data_waves = self.recipe.waves
        rows = in_chunks(data_angles.detach().numpy().transpose(2, 0, 1), chunks)
        shared = weight_waves.turns(weight_angles.detach().numpy().T)
        differing = data_waves.turns(rows)
        numbers = Numbers(
            np.cos(shared),
            np.sin(shared),
            *self.recipe.with_amplitudes(np.cos(differing), np.sin(differing), rows),
            in_chunks(codes.numpy(), chunks),
        )
        tables = observables.tables(self.order, differing.dtype)
        return Call(self.layout, self.recipe.tables, tables, numbers)

    def check_fits(self, observables: ObservableSet, element_size: int) -> None:
        # State and co-state, real and imaginary, `LANES` samples each, of each thread.
        states = 4 * LANES * element_size * self.layout.size * torch.get_num_threads()
        needed = states + observables.table_bytes(element_size)
        if needed > _WORTH_CHECKING:
            check_memory(f"Simulating {observables.num_qubits} qubits", needed)


def in_chunks(batch: np.ndarray, chunks: int) -> np.ndarray:
    """Return (n, G, B) as (n, G, n_chunks * LANES), zero where there is no sample."""
    padded = np.zeros((*batch.shape[:2], chunks * LANES), batch.dtype)
    padded[:, :, : batch.shape[2]] = batch
    return padded


def by_samples(array: np.ndarray, samples: int) -> np.ndarray:
    """Return (n, G, n_chunks * LANES) as (G, B, n), without what is no sample."""
    return np.ascontiguousarray(array[:, :, :samples].transpose(1, 2, 0))
