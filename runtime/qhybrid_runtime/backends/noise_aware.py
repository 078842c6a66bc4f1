from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from qiskit.transpiler import Target
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.exact_estimator import ExactEstimator
from qhybrid_runtime.backends.statevector import by_structure
from qhybrid_runtime.compiled import CompiledCircuit, Structure, Tensors
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler, check_seed
from qhybrid_runtime.device_noise.logical_noise import find_logical_noise
from qhybrid_runtime.engine.expectations import Batch
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.hardware.targets import fake_target
from qhybrid_runtime.share import current_share, place_of
from qhybrid_runtime.tasks import Task


def get_noise_aware_backend(name: str, seed: int) -> "NoiseAwareBackend":
    """Return the backend to train on for a device: `get_backend("noise-aware:NAME", seed=seed)`.

    Its arguments and errors are those of `NoiseAwareBackend`.
    """
    return NoiseAwareBackend(name, seed=seed)


class NoiseAwareBackend(Backend):
    """Circuits as they stand, each sample of each call with random errors as a device makes them.

    A sample's value is that of one Pauli trajectory, an unbiased estimate under the noise that
    `find_logical_noise` attributes to the circuit's gates, with the readout errors in the
    observables. Its gradient is the exact one of the same trajectory: noise that training averages
    over, at about the cost of exact values (the noise injection of Wang et al., arXiv:2110.11331).
    Circuits of one structure are taken to run on the same qubits.

    Attributes:
        device: Target of the device.
        calls: Rounds that were evaluated. A round's errors follow from the seed and this number.
    """

    exact = False
    gradients = ("adjoint",)
    differentiable = True

    def __init__(self, name: str, *, seed: int = 0) -> None:
        """Load a fake device's calibration.

        Args:
            name: Such as "fake_fez".
            seed: Of the random errors.

        Raises:
            UnknownNameError: There is no fake device of this name.
            RequestError: The seed is not a whole number of at least 0.
        """
        check_seed(seed)
        self.name = f"noise-aware:{name}"
        self.device = fake_target(name)
        self.calls = 0
        self._seed = seed
        self._estimator = NoiseAwareEstimator(self)
        self._known: WeakKeyDictionary[Structure, _NoisyProgram] = WeakKeyDictionary()

    def estimator(self) -> "NoiseAwareEstimator":
        """Return a primitive that draws errors, one trajectory a parameter set."""
        return self._estimator

    def evaluate(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> list[Tensor]:
        """Evaluate one round, circuits of one structure as one batched call.

        The first time that a structure is seen it is lowered, which takes a while. Inside
        `torch.func.vmap` all that is mapped has the same errors.
        """
        rng = np.random.default_rng([self._seed, self.calls])
        self.calls += 1

        def batch_of(circuit: CompiledCircuit, rows: Tensor, vectors: Tensor) -> Batch:
            if circuit.structure not in self._known:
                self._known[circuit.structure] = _NoisyProgram(circuit.variational, self.device)
            return self._known[circuit.structure].batch(rows, vectors, rng)

        return by_structure(circuits, inputs, weights, batch_of)

    def at_round(self, number: int) -> None:
        """Go on with the errors of this round."""
        self.calls = number


class NoiseAwareEstimator(ExactEstimator):
    """An EstimatorV2 on a noise-aware backend."""

    def __init__(self, backend: NoiseAwareBackend) -> None:
        super().__init__()
        self._backend = backend
        self._compiled: Cache[CompiledCircuit] = Cache(64)

    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        circuits = [self._circuit(task) for task in tasks]
        inputs = [torch.as_tensor(task.values) for task in tasks]
        # A primitive's job runs in a thread of its own, where gradients are on by default.
        nothing = [torch.empty(0).double()] * len(tasks)
        with torch.no_grad():
            values = self._backend.evaluate(circuits, inputs, nothing)
        return [each.numpy() for each in values]

    def _circuit(self, task: Task) -> CompiledCircuit:
        circuit, observables = task.circuit, task.observables
        key = (Identity(circuit), tuple(map(repr, observables)))
        parts = (circuit.name, circuit, circuit.parameters, (), observables)
        return self._compiled.get(key, lambda: CompiledCircuit(VariationalCircuit(*parts)))


class _NoisyProgram:
    """A circuit compiled with its error sites."""

    def __init__(self, variational: VariationalCircuit, device: Target) -> None:
        found = find_logical_noise(variational, device)
        self._sampler = ErrorSampler(found.noisy.locations, found.noisy.num_sites)
        self._program = compile_program(
            found.noisy.circuit, inputs=variational.inputs, weights=variational.weights
        )
        self._observables = ObservableSet(found.observables, variational.num_qubits)

    def batch(self, inputs: Tensor, weights: Tensor, rng: np.random.Generator) -> Batch:
        """Draw the errors of inputs (G, B, n_in) and weights (G, n_w)."""
        groups, samples = inputs.shape[:2]
        batch, own = place_of(samples, current_share())
        drawn = self._sampler.draw(groups * batch, rng).reshape(groups, batch, -1)[:, own]
        errors = torch.as_tensor(drawn).to(inputs.device)
        return Batch(self._program, self._observables, inputs, weights, errors)
