import torch
from qiskit.circuit import QuantumCircuit
from torch import Tensor, nn

from qhybrid.states.density import check_density_matrices, check_num_qubits, maximally_mixed
from qhybrid.states.rotations import RotationTable, layered_rotations, rotation_circuit
from qhybrid_circuits.errors import RequestError, ShapeError

_FIRST_WEIGHTS = 0.1


class ReverseProcess(nn.Module):
    """The reverse process: at each step a circuit on the qubits and fresh ancillas.

    Jo et al. (2026, section 2.2.2). A step appends ancillas in |0>, applies U(theta_t), and
    measures the ancillas: outcome m applies the Kraus operator K_m = <m|U|0> of the ancillas.
    Averaged over outcomes rho becomes the sum of K_m rho K_m^+, which can lower the entropy of rho;
    a unitary alone cannot.

    Attributes:
        weights: Angles in radians, shape (T, n_rotations), float64.
    """

    def __init__(
        self,
        num_qubits: int,
        steps: int,
        *,
        ancillas: int = 1,
        layers: int = 3,
        generator: torch.Generator,
    ) -> None:
        """Start near the identity.

        Args:
            num_qubits: 1 to 4.
            steps: T.
            ancillas: Qubits that are appended and measured at each step; the most significant
                ones. 0 makes the steps unitary.
            layers: Repetitions of the rotations in each step.
            generator: Draws the first weights.

        Raises:
            RequestError: A number out of its range.
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
        self.num_qubits, self.steps, self.ancillas = num_qubits, steps, ancillas
        self._rotations = layered_rotations(num_qubits + ancillas, layers)
        self._table = RotationTable(num_qubits + ancillas, self._rotations)
        shape = (steps, len(self._rotations))
        first = _FIRST_WEIGHTS * torch.randn(shape, dtype=torch.float64, generator=generator)
        self.weights = nn.Parameter(first)

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
        return _averaged(self.kraus()[t - 1], states)

    def kraus(self) -> Tensor:
        """Return the Kraus operators of all steps, shape (T, 2**ancillas, d, d)."""
        outcomes, dimension = 1 << self.ancillas, 1 << self.num_qubits
        unitaries = self._table.unitaries(self.weights)
        return unitaries.view(-1, outcomes, dimension, outcomes, dimension)[:, :, :, 0, :]

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
        passed = [states]
        for kraus in reversed(self.kraus().unbind(0)):
            passed.append(_averaged(kraus, passed[-1]))
        return torch.stack(passed)

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
        passed = [states]
        for kraus in reversed(self.kraus().unbind(0)):
            after = kraus @ passed[-1][:, None] @ kraus.mH
            shares = after.diagonal(dim1=-2, dim2=-1).sum(-1).real.clamp(min=0)
            drawn = torch.multinomial(shares.cpu(), 1, generator=generator).to(shares.device)[:, 0]
            every = torch.arange(len(states), device=shares.device)
            passed.append(after[every, drawn] / shares[every, drawn, None, None])
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

    def _check(self, states: Tensor) -> None:
        if check_density_matrices("states", states) != self.num_qubits:
            raise ShapeError(
                f"Argument `states` must be of {self.num_qubits} qubits, but has shape "
                f"{tuple(states.shape)}"
            )


def _averaged(kraus: Tensor, states: Tensor) -> Tensor:
    """Return the sum over m of K_m rho K_m^+, for K (..., M, d, d) and rho (..., d, d)."""
    return (kraus @ states[..., None, :, :] @ kraus.mH).sum(-3)
