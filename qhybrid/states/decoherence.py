from collections.abc import Sequence
from functools import cache, reduce

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.forward import ForwardProcess
from qhybrid_circuits.errors import RequestError, ShapeError
from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.hardware.targets import fake_target

_LONGEST = 1e4
"""Of a process, in the longest of its qubits' T1 and T2; nothing is left of a state by then."""


class DecoherenceProcess(ForwardProcess):
    """The forward process of a QPU: qubits that wait, and lose their state to their surroundings.

    A device's own noise as the noise of diffusion is the proposal of Parigi et al.
    (arXiv:2505.22193), for images. Here a state of n qubits waits, between random Paulis that are
    undone (twirling), so that it ends at I/d like a depolarized one, where the reverse process
    begins, and not at |0...0>. Waiting multiplies the part of a state along each Pauli string by

        prod_q exp(-tau / T_q),  T_q = T1 of qubit q for its Z, T2 for its X and Y:

    coherences are lost before populations, and each qubit has its own pace.

    Attributes:
        delays: tau_0 = 0 to tau_T, for how long the state has waited, in seconds, shape (T + 1,).
        t1: Relaxation times in seconds, one for each qubit.
        t2: Coherence times in seconds; more than 2 T1 counts as 2 T1.
    """

    def __init__(self, t1: Sequence[float], t2: Sequence[float], delays: Sequence[float]) -> None:
        """Store the times; `delays` are tau_1 to tau_T.

        Raises:
            RequestError: There are none, they are not positive, or delays do not grow.
        """
        for name, times in (("t1", t1), ("t2", t2), ("delays", delays)):
            if not len(times) or not all(0 < time < float("inf") for time in times):
                raise RequestError(f"Argument `{name}` must be positive times in seconds")
        if len(t1) != len(t2):
            raise RequestError("Arguments `t1` and `t2` must be of the same qubits")
        self.t1, self.t2, self.delays = tuple(t1), tuple(t2), (0.0, *delays)
        self.steps = len(delays)
        waits = np.diff(self.delays)
        if (waits < 0).any():
            raise RequestError("Argument `delays` must grow")
        self._kept = torch.stack([self._factors(delay) for delay in self.delays])
        self._kept_in_step = torch.stack([self._factors(wait) for wait in waits])

    @classmethod
    def from_schedule(
        cls, spec: ScheduleSpec, t1: Sequence[float], t2: Sequence[float]
    ) -> "DecoherenceProcess":
        """Wait until as much is lost as a schedule's alpha-bar says.

        tau_t is when the mean factor over all Pauli strings but the identity is alpha_t, which all
        of these factors are in `DepolarizingProcess`.
        """
        unit = cls(t1, t2, [1.0])

        def kept(delay: float) -> float:
            return float(unit._factors(delay)[1:].mean())

        most = _LONGEST * max(*t1, *t2)
        alphas = noise_scheduler(spec).alphas_cumprod.double().tolist()
        delays = [brentq(lambda x, a=a: kept(x) - a, 0.0, most, xtol=1e-15) for a in alphas]
        return cls(t1, t2, delays)

    @classmethod
    def on_fake_qpu(cls, name: str, num_qubits: int, spec: ScheduleSpec) -> "DecoherenceProcess":
        """Take the times of the line of coupled qubits of a fake QPU that lives longest.

        Of several lines the one counts whose shortest T1 or T2 is the longest.

        Raises:
            UnknownNameError: There is no such fake QPU.
            RequestError: It has no such line of qubits with known times.
        """
        t1, t2 = _longest_lived(name, num_qubits)
        return cls.from_schedule(spec, t1, t2)

    def _step(self, states: Tensor, t: int) -> Tensor:
        return self._multiplied(states, self._kept_in_step[t - 1])

    def _noisy(self, states: Tensor, times: Tensor) -> Tensor:
        return self._multiplied(states, self._kept[times])

    def _multiplied(self, states: Tensor, factors: Tensor) -> Tensor:
        """Multiply the part along each Pauli string by a factor (..., 4**n)."""
        dimension = 1 << len(self.t1)
        if states.shape[-1] != dimension:
            raise ShapeError(
                f"Argument `states` must be of {len(self.t1)} qubits, (..., {dimension}, "
                f"{dimension}), but has shape {tuple(states.shape)}"
            )
        paulis = _paulis(len(self.t1)).to(states.device, states.dtype)
        parts = torch.einsum("pij,...ji->...p", paulis, states)
        return (
            torch.einsum("...p,pij->...ij", parts * factors.to(states.device), paulis) / dimension
        )

    def _factors(self, delay: float) -> Tensor:
        """Return the factor of each Pauli string, base 4 with qubit 0 the least significant."""
        qubits = zip(reversed(self.t1), reversed(self.t2), strict=True)
        each = [PauliChannel.relaxation(float(delay), t1, t2).fidelities for t1, t2 in qubits]
        return torch.from_numpy(reduce(np.kron, each))


@cache
def _paulis(num_qubits: int) -> Tensor:
    """Return all Pauli strings (4**n, d, d), numbered as `PauliChannel` has them."""
    one = torch.tensor(
        [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]],
        dtype=torch.complex128,
    )
    strings = torch.ones(1, 1, 1, dtype=torch.complex128)
    for _ in range(num_qubits):
        dimension = 2 * strings.shape[-1]
        product = torch.einsum("aij,bkl->bakilj", strings, one)
        strings = product.reshape(-1, dimension, dimension)
    return strings


def _longest_lived(name: str, num_qubits: int) -> tuple[list[float], list[float]]:
    target = fake_target(name)
    times = {
        qubit: (each.t1, each.t2)
        for qubit, each in enumerate(target.qubit_properties or ())
        if each is not None and each.t1 and each.t2
    }
    coupling = target.build_coupling_map()
    near: dict[int, set[int]] = {qubit: set() for qubit in times}
    for pair in () if coupling is None else coupling.get_edges():
        if times.keys() >= set(pair):
            near[pair[0]].add(pair[1])
            near[pair[1]].add(pair[0])
    lines: list[tuple[int, ...]] = [(qubit,) for qubit in times]
    for _ in range(num_qubits - 1):
        lines = [
            (*line, after) for line in lines for after in sorted(near[line[-1]].difference(line))
        ]
    if not lines:
        raise RequestError(
            f"'{name}' has no line of {num_qubits} coupled qubits whose T1 and T2 are known; "
            "choose another QPU, see `qhybrid backends`"
        )
    best = max(lines, key=lambda line: min(min(times[qubit]) for qubit in line))
    return [times[qubit][0] for qubit in best], [times[qubit][1] for qubit in best]
