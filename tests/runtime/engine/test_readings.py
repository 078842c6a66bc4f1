import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qhybrid_runtime.engine.error_site import ErrorSite
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.engine.readings import draw_readings


def test_readings_have_the_probabilities_of_the_state(rng: np.random.Generator) -> None:
    angle = Parameter("a")
    circuit, struck = QuantumCircuit(4), QuantumCircuit(4)
    for each in (circuit, struck):
        each.ry(angle, 2)
        each.cx(2, 0)
        each.ry(0.7, 1)
    circuit.append(ErrorSite(), [2])
    struck.y(2)
    for each in (circuit, struck):
        each.rx(1.1, 2)
        each.cz(1, 2)
        each.ry(0.4, 1)
    inputs = rng.uniform(-3, 3, (20, 1)).astype(np.float32)
    codes = np.array([[0], [2]] * 10, dtype=np.uint8)
    bits = draw_readings(compile_program(circuit, [angle]), inputs, codes, 4000, rng)
    counted = (bits << np.arange(4)).sum(axis=2)
    for row, numbers in enumerate(counted):
        played = struck if codes[row, 0] else circuit
        bound = played.assign_parameters([float(inputs[row, 0])])
        expected = Statevector(bound).probabilities()
        shares = np.bincount(numbers, minlength=16) / 4000
        np.testing.assert_allclose(shares, expected, atol=5 * 0.5 / 4000**0.5)
