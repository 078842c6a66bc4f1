from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit.circuit import Gate, Operation, QuantumCircuit
from qiskit.circuit.library import StatePreparation

from qhybrid_circuits.encoding.features import Feature, check_features, check_finite, number_of
from qhybrid_circuits.errors import CircuitError, RequestError, ShapeError

_NAME = "amplitude_encoding"


class AmplitudeEncoding(Gate):  # type: ignore[misc]
    """Takes |0...0> to the state whose amplitudes are proportional to the features.

    Jo et al. (2026, equations 14 and 15). The parameters are the real parts and then, where there
    are any, the imaginary parts, each 2**n_qubits real numbers or expressions. Amplitude i belongs
    to the basis state |i>, qubit 0 the least significant bit, as in qiskit-machine-learning's
    `raw_feature_vector`. What it does to other states than |0...0> is not defined.

    Once all features are numbers the definition is Qiskit's `StatePreparation`. Before it is None,
    so that the circuit can be written to a file; `with_preparation_gates` has gates for any values.
    """

    def __init__(self, real: Sequence[Feature], imaginary: Sequence[Feature] = ()) -> None:
        """Store the features.

        Raises:
            ShapeError: The real parts are not 2**n with n > 0, or the imaginary parts differ in
                number and are not none.
        """
        num_qubits = len(real).bit_length() - 1
        if len(real) < 2 or len(real) != 1 << num_qubits:
            raise ShapeError(
                f"AmplitudeEncoding takes 2, 4, 8, ... amplitudes, but was given {len(real)}; "
                "amplitude_encoding() fills up with zeros"
            )
        if len(imaginary) not in (0, len(real)):
            raise ShapeError(
                f"AmplitudeEncoding takes as many imaginary as real parts, or none, but was given "
                f"{len(imaginary)} and {len(real)}"
            )
        super().__init__(_NAME, num_qubits, [*real, *imaginary])

    @property
    def num_amplitudes(self) -> int:
        return 1 << int(self.num_qubits)

    @property
    def is_complex(self) -> bool:
        """Whether there are imaginary parts."""
        return len(self.params) > self.num_amplitudes

    @property
    def is_symbolic(self) -> bool:
        """Whether some feature is not a number yet."""
        return any(number_of(parameter) is None for parameter in self.params)

    def amplitudes(self) -> NDArray[np.complex128]:
        """Return the normalized amplitudes (2**n_qubits,).

        Raises:
            CircuitError: A feature is still symbolic.
            NotFiniteError: A feature is NaN or infinite.
            RequestError: All features are zero.
        """
        numbers = [number_of(parameter) for parameter in self.params]
        values = np.array([number for number in numbers if number is not None])
        if len(values) < len(numbers):
            raise CircuitError(
                f"Amplitude encoding has gates only for numbers, but {len(numbers) - len(values)} "
                f"of its {len(numbers)} features have no value yet; assign them first"
            )
        check_amplitudes(values)
        # Squares of large features would overflow.
        parts = (values / np.abs(values).max()).reshape(-1, self.num_amplitudes)
        state = parts[0] + (1j * parts[1] if len(parts) == 2 else 0j)
        return np.asarray(state / np.linalg.norm(state))

    def _define(self) -> None:
        if self.is_symbolic:
            return
        definition = QuantumCircuit(self.num_qubits, name=self.name)
        definition.append(StatePreparation(self.amplitudes()), definition.qubits)
        self.definition = definition

    def inverse(self, annotated: bool = False) -> Any:
        """Return what undoes the encoding; Qiskit's own inverse of what it is made of.

        Raises:
            CircuitError: A feature is still symbolic.
        """
        return StatePreparation(self.amplitudes()).inverse(annotated)


def encoding_in(operation: Operation) -> AmplitudeEncoding | None:
    """Return the amplitude encoding that an operation is, or None.

    A symbolic one comes back from a file as a gate of the same name that Qiskit knows nothing of.
    """
    if isinstance(operation, AmplitudeEncoding):
        return operation
    if operation.name != _NAME or type(operation) is not Gate or operation.definition is not None:
        return None
    count = 1 << operation.num_qubits
    if len(operation.params) not in (count, 2 * count):
        return None
    return AmplitudeEncoding(operation.params[:count], operation.params[count:])


def not_first(qubits: Sequence[int]) -> CircuitError:
    """Return the error for an encoding of features that gates on its qubits come before."""
    return CircuitError(
        f"Amplitude encoding of features must be the first gate on its qubits, but others act on "
        f"some of {list(qubits)} before: it says what becomes of |0...0> only; put it first, or "
        "bind its features"
    )


def amplitude_encoding(
    features: Sequence[Feature], imaginary: Sequence[Feature] | None = None
) -> QuantumCircuit:
    """Encode N features as the amplitudes of ceil(log2 N) qubits, normalized.

    Amplitudes that no feature is left for are zero. The length of the features, and their sign as a
    whole, are lost.

    Args:
        features: Feature i is the amplitude of the basis state |i>, or its real part.
        imaginary: The imaginary parts, as many; none for real amplitudes.

    Raises:
        CircuitError: There are no features.
        ShapeError: The imaginary parts differ in number.
        NotFiniteError: A feature is a number that is NaN or infinite.
        RequestError: All features are numbers and zero.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import amplitude_encoding
        >>> amplitude_encoding(ParameterVector("x", 4)).num_qubits
        2
    """
    check_features(features)
    if imaginary is not None:
        check_features(imaginary)
        if len(imaginary) != len(features):
            raise ShapeError(
                f"Argument `imaginary` must hold as many features as `features`, {len(features)}, "
                f"but holds {len(imaginary)}"
            )
    gate = AmplitudeEncoding(_filled(features), _filled(imaginary or ()))
    numbers = [number_of(parameter) for parameter in gate.params]
    if None not in numbers:
        check_amplitudes(np.array(numbers, dtype=np.float64))
    circuit = QuantumCircuit(gate.num_qubits, name=_NAME)
    circuit.append(gate, circuit.qubits)
    return circuit


def check_amplitudes(values: ArrayLike) -> None:
    """Check features, all that one state is made of, shape (..., n_features).

    Raises:
        NotFiniteError: One is NaN or infinite.
        RequestError: All of a sample's features are zero.
    """
    array = np.asarray(values, dtype=np.float64)
    check_finite(array)
    zero = np.argwhere(~array.any(axis=-1))
    if len(zero):
        place = tuple(int(i) for i in zero[0])
        which = f" of sample {place}" if place else ""
        raise RequestError(
            f"Amplitude encoding cannot normalize a zero vector, but all features{which} are 0; "
            "leave the sample out or add a constant feature"
        )


def _filled(features: Sequence[Feature]) -> list[Feature]:
    """Append zeros up to the next power of two, at least two; nothing stays nothing."""
    if not len(features):
        return []
    size = max(2, 1 << (len(features) - 1).bit_length())
    return [*features, *[0.0] * (size - len(features))]
