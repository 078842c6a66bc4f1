import torch
from qiskit.circuit import QuantumCircuit
from torch import Tensor, nn

from qhybrid.states.density import check_density_matrices, check_num_qubits, maximally_mixed
from qhybrid.states.rotations import layered_rotations, rotation_circuit
from qhybrid.states.tomography import StepTomography
from qhybrid_circuits.errors import RequestError, ShapeError
from qhybrid_runtime import Backend, CircuitBank, WeightTable, get_backend

_FIRST_WEIGHTS = 0.1


class ReverseProcess(nn.Module):
    """The reverse process: at each step a circuit on the qubits and fresh ancillas.

    Jo et al. (2026, section 2.2.2). A step appends ancillas in |0>, applies U(theta_t), and
    measures the ancillas: outcome m applies the Kraus operator K_m = <m|U|0> of the ancillas.
    Averaged over outcomes rho becomes the sum of K_m rho K_m^+, which can lower the entropy of rho;
    a unitary alone cannot.

    The circuits run on a backend, all steps in one round: what a step does to any state follows
    from the Pauli expectation values of 4**n product states, see `StepTomography`.

    Attributes:
        table: Its `weight` holds the angles in radians, shape (T, n_rotations), float64.
    """

    def __init__(
        self,
        num_qubits: int,
        steps: int,
        *,
        ancillas: int = 1,
        layers: int = 3,
        backend: Backend | None = None,
        gradient: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Start near the identity.

        Args:
            num_qubits: 1 to 4.
            steps: T.
            ancillas: Qubits that are appended and measured at each step; the most significant
                ones. 0 makes the steps unitary.
            layers: Repetitions of the rotations in each step.
            backend: Where the circuits run, which must be exact; `statevector` if omitted.
            gradient: A gradient method of the backend; its best one if omitted.
            generator: Draws the first weights; torch's own if omitted.

        Raises:
            RequestError: A number out of its range, or a backend that is not exact.
        """
        super().__init__()
        check_num_qubits(num_qubits)
        for name, value, least, most in (
            ("steps", steps, 1, 10_000),
            ("ancillas", ancillas, 0, num_qubits),
            ("layers", layers, 1, 100),
        ):
            if not least <= value <= most:
                raise RequestError(
                    f"Argument `{name}` must be from {least} to {most}, but is {value}"
                )
        backend = backend or get_backend("statevector")
        if not backend.exact:
            raise RequestError(
                f"Argument `backend` must be exact, but '{backend.name}' is not: density matrices "
                "from values with errors may be none; use statevector or aer"
            )
        self.num_qubits, self.steps, self.ancillas = num_qubits, steps, ancillas
        self._rotations = layered_rotations(num_qubits, ancillas, layers)
        self._averages = StepTomography(num_qubits, ancillas, self._rotations)
        self._outcomes = StepTomography(num_qubits, ancillas, self._rotations, outcomes=True)
        self.averages, self.outcomes = (
            CircuitBank([each.circuit], backend, gradient)
            for each in (self._averages, self._outcomes)
        )
        self.table = WeightTable(self._averages.circuit, first=2 * num_qubits, choices=(steps,))
        first = torch.randn(self.weights.shape, dtype=torch.float64, generator=generator)
        self.table.weight = nn.Parameter(_FIRST_WEIGHTS * first)

    @property
    def weights(self) -> Tensor:
        """Angles in radians, shape (T, n_rotations), float64."""
        return self.table.weight

    def forward(self, states: Tensor, t: Tensor) -> Tensor:
        """Return the estimates (B, d, d) of rho_(t-1), averaged over the ancillas' outcomes.

        Args:
            states: rho_t, shape (B, d, d).
            t: 1 to T, shape (B,).

        Raises:
            ShapeError: Shapes do not fit, or a time is out of range.
            RequestError: The states are no density matrices.
        """
        self._check(states)
        if t.shape != states.shape[:1] or (
            len(t) and not 1 <= int(t.min()) <= int(t.max()) <= self.steps
        ):
            raise ShapeError(
                f"Argument `t` must hold a time from 1 to {self.steps} for each of the "
                f"{len(states)} states, but is {t.tolist()}"
            )
        times, index = torch.unique(t, return_inverse=True)
        return applied(self.channels(times - 1)[index], states)

    def channels(self, indices: Tensor | None = None) -> Tensor:
        """Return what steps do, averaged over outcomes, in one round of circuits.

        Args:
            indices: Of the steps, from 0; None for all.

        Returns:
            Matrices E (T, d * d, d * d): rho, flattened row by row, becomes rho @ E.
        """
        return self._run(self._averages, self.averages, indices)[:, 0]

    def instruments(self) -> Tensor:
        """Return what all steps do with each outcome, (T, 2**ancillas, d * d, d * d)."""
        return self._run(self._outcomes, self.outcomes, None)

    def chain(self, states: Tensor | None = None) -> Tensor:
        """Run all steps, averaged over outcomes.

        Args:
            states: rho_T, shape (..., d, d); None means I/d.

        Returns:
            rho_T to rho_0, shape (T + 1, ..., d, d).

        Raises:
            ShapeError: The states have another number of qubits.
            RequestError: They are no density matrices.
        """
        if states is None:
            states = maximally_mixed(self.num_qubits).to(self.weights.device)
        self._check(states)
        return chained(self.channels(), states)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: torch.Generator) -> Tensor:
        """Run all steps with one drawn outcome per step, as one execution on a device would.

        Haar-random pure states, which average to I/d, become pure states that average to what
        `chain` returns.

        Args:
            states: Shape (N, d, d).
            generator: Draws the outcomes.

        Returns:
            Shape (T + 1, N, d, d), from the given states to the generated ones.

        Raises:
            ShapeError: The states have another shape.
            RequestError: They are no density matrices.
        """
        self._check(states)
        if states.dim() != 3:
            raise ShapeError(
                f"Argument `states` must have shape (N, d, d), but has {tuple(states.shape)}"
            )
        uniform = torch.rand(self.steps, len(states), dtype=torch.float64, generator=generator)
        passed = [states]
        for parts, drawn in zip(self.instruments().flip(0), uniform.to(states.device), strict=True):
            passed.append(with_outcome(parts, passed[-1], drawn))
        return torch.stack(passed)

    def circuit(self, t: int) -> QuantumCircuit:
        """Return the circuit of step t (1 to T) with its present weights, without measurements.

        Raises:
            ShapeError: There is no such step.
        """
        if not 1 <= t <= self.steps:
            raise ShapeError(f"Argument `t` must be from 1 to {self.steps}, but is {t}")
        circuit = rotation_circuit(self.num_qubits + self.ancillas, self._rotations)
        return circuit.assign_parameters(self.weights[t - 1].detach().tolist())

    def _run(self, tomography: StepTomography, bank: nn.Module, indices: Tensor | None) -> Tensor:
        weights = self.weights if indices is None else self.table(indices)
        prepared = tomography.angles.to(weights.device)
        shape = (len(weights), len(prepared), -1)
        inputs = torch.cat([prepared.expand(*shape), weights[:, None].expand(*shape)], dim=-1)
        # Single precision would make eigenvalues of states negative.
        (values,) = bank([inputs.double()])
        return tomography.channels(values)

    def _check(self, states: Tensor) -> None:
        if check_density_matrices("states", states) != self.num_qubits:
            raise ShapeError(
                f"Argument `states` must be of {self.num_qubits} qubits, but has shape "
                f"{tuple(states.shape)}"
            )


def chained(channels: Tensor, states: Tensor) -> Tensor:
    """Return rho_T to rho_0, (T + 1, ..., d, d), of rho_T (..., d, d) and all steps' channels."""
    passed = [states]
    for channel in channels.flip(0):
        passed.append(applied(channel, passed[-1]))
    return torch.stack(passed)


def with_outcome(parts: Tensor, states: Tensor, uniform: Tensor) -> Tensor:
    """Return what states (N, d, d) become where each step's outcome is drawn.

    Args:
        parts: What the step does with each outcome, (M, d * d, d * d).
        states: Density matrices.
        uniform: Numbers in [0, 1) that choose the outcomes, (N,).
    """
    after = torch.einsum("nk,mkl->nml", states.flatten(1), parts)
    after = after.reshape(*after.shape[:2], *states.shape[1:])
    shares = after.diagonal(dim1=-2, dim2=-1).sum(-1).real.clamp(min=0)
    bounds = shares.cumsum(1)
    drawn = (uniform[:, None] * bounds[:, -1:] >= bounds).sum(1).clamp(max=len(parts) - 1)
    every = torch.arange(len(states), device=states.device)
    chosen = after[every, drawn] / shares[every, drawn, None, None]
    hermitian: Tensor = (chosen + chosen.mH) / 2
    return hermitian


def applied(channels: Tensor, states: Tensor) -> Tensor:
    """Return states (..., d, d) after channels (..., d * d, d * d)."""
    flat = states.flatten(-2)[..., None, :] @ channels
    after = flat.reshape(*flat.shape[:-2], *states.shape[-2:])
    # Rounding errors would add up to matrices that are not Hermitian.
    hermitian: Tensor = (after + after.mH) / 2
    return hermitian
