import pytest
import torch
from qiskit.quantum_info import Statevector

from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_circuits.errors import CircuitError, ShapeError
from qhybrid_runtime import Backend, get_backend

CIRCUIT = build_ansatz("hqconv", channels=2, layers=1)


@pytest.fixture(scope="module", params=["statevector", "aer"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param)


def _expected(features: list[float], weights: list[float]) -> list[float]:
    values = dict(zip((*CIRCUIT.inputs, *CIRCUIT.weights), (*features, *weights), strict=True))
    state = Statevector(CIRCUIT.circuit.assign_parameters(values))
    return [state.expectation_value(observable).real for observable in CIRCUIT.observables]


@pytest.mark.parametrize("pixel_major", [False, True])
def test_each_patch_of_each_group_against_qiskit(
    backend: Backend, pixel_major: bool, generator: torch.Generator
) -> None:
    quantum = PatchCircuit(CIRCUIT, 4, backend, generator=generator, pixel_major=pixel_major)
    x = torch.randn(2, 4, 4, 6, generator=generator)
    out = quantum(x)
    assert out.shape == x.shape
    for image, group, row, column in [(0, 0, 0, 0), (1, 0, 2, 4), (0, 1, 2, 0), (1, 1, 0, 2)]:
        where = (image, slice(2 * group, 2 * group + 2), slice(row, row + 2))
        patch, values = (t[*where, column : column + 2] for t in (x, out))
        if pixel_major:
            patch, values = (t.permute(1, 2, 0) for t in (patch, values))
        expected = _expected(patch.flatten().tolist(), quantum.weight.tolist())
        assert values.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_all_patches_are_one_evaluation(backend: Backend) -> None:
    quantum = PatchCircuit(CIRCUIT, 4, backend)
    calls: list[torch.Size] = []
    quantum.bank.register_forward_pre_hook(lambda _, args: calls.append(args[0][0].shape))
    quantum(torch.zeros(3, 4, 14, 14))
    assert calls == [(3, 2, 7, 7, 8)]


@pytest.mark.parametrize("pixel_major", [False, True])
def test_gradients_are_those_of_finite_differences(
    pixel_major: bool, generator: torch.Generator
) -> None:
    quantum = PatchCircuit(
        CIRCUIT, 2, get_backend("statevector"), generator=generator, pixel_major=pixel_major
    ).double()
    x = torch.randn(1, 2, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def outputs(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(quantum, {"bank.layers.0.weight": weight}, (x,))

    assert torch.autograd.gradcheck(outputs, (x, quantum.weight))


def test_half_precision_features_keep_their_dtype(backend: Backend) -> None:
    assert PatchCircuit(CIRCUIT, 2, backend)(torch.zeros(1, 2, 2, 2).bfloat16()).dtype == (
        torch.bfloat16
    )


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (1, 2, 3, 2), (1, 2, 2, 7)])
def test_feature_maps_without_whole_patches_are_refused(shape: tuple[int, ...]) -> None:
    quantum = PatchCircuit(CIRCUIT, 2, get_backend("statevector"))
    with pytest.raises(ShapeError, match="multiple of 2 channels and even sides"):
        quantum(torch.zeros(shape))


def test_a_circuit_that_needs_more_channels_is_refused() -> None:
    with pytest.raises(CircuitError, match="1 channels, but its 1 circuits take 2"):
        PatchCircuit(CIRCUIT, 1, get_backend("statevector"))
