import math
import re
from typing import Any

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid.models.latent import LatentDiffusion
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_circuits.errors import RequestError, ShapeError, UnknownNameError
from qhybrid_runtime import QuantumLayer, model_health

SMALL = {"image_size": 8, "dim": 4, "ansatz_layers": 2}


def _model(name: str = "qlatent", seed: int = 0, **options: Any) -> LatentDiffusion:
    spec = ModelSpec(name, **{**SMALL, **options})
    model = build_model(spec, generator=torch.Generator().manual_seed(seed))
    assert isinstance(model, LatentDiffusion)
    return model


def _noisy(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 4, generator=generator), torch.rand(count, generator=generator)


def test_the_prediction_is_the_circuit_between_two_linear_maps(
    generator: torch.Generator,
) -> None:
    model = _model().double()
    x, time = (each.double() for each in _noisy(2, generator))
    vertex = model.vertex
    layer = vertex.bank.layers[0]
    circuit = layer.variational
    waves = [f(math.pi / 2 * 2**k * time) for f in (torch.sin, torch.cos) for k in range(4)]
    inputs = torch.cat([x, torch.stack(waves, 1)], 1) @ vertex.angles.weight.T + vertex.angles.bias
    values = []
    for row in inputs.tolist():
        bound = circuit.bind_weights(layer.weight.tolist()).assign_parameters(
            dict(zip(circuit.inputs, row, strict=True))
        )
        state = Statevector(bound)
        values.append([state.expectation_value(o).real for o in circuit.observables])
    expected = torch.tensor(values).double() @ vertex.readout.weight.T + vertex.readout.bias
    torch.testing.assert_close(model(x, time), expected)


@pytest.mark.parametrize("name", ["qlatent", "qlatent-control", "latent-mlp"])
@pytest.mark.parametrize("variant", ["unconditional", "conditional"])
def test_training_reaches_the_denoiser_alone(
    name: str, variant: str, generator: torch.Generator
) -> None:
    model = _model(name, variant=variant).double()
    x, time = (each.double() for each in _noisy(8, generator))
    model(x, time, torch.arange(8)).square().sum().backward()
    for key, parameter in model.named_parameters():
        trained = not key.startswith("autoencoder.")
        assert parameter.requires_grad == trained
        assert (parameter.grad is not None and bool(parameter.grad.any())) == trained


def test_no_weight_of_the_circuit_is_dead(generator: torch.Generator) -> None:
    health = model_health(_model().double(), *(e.double() for e in _noisy(1, generator)))
    assert (health.dead_weights, health.parameters_without_gradient) == (0, ())
    assert health.num_weights == 10


def test_a_control_has_as_many_weights_and_starts_odd(generator: torch.Generator) -> None:
    hybrid, control = _model(), _model("qlatent-control")
    for key, tensor in hybrid.state_dict().items():
        other = control.state_dict()[key]
        assert other.shape == tensor.shape
        assert torch.equal(other, tensor)
    given: list[torch.Tensor] = []
    control.vertex.bank.register_forward_pre_hook(lambda _, inputs: given.extend(inputs[0]))
    features = torch.randn(3, control.vertex.angles.in_features, generator=generator)
    control.vertex(features)
    torch.testing.assert_close(given[0], hybrid.vertex.angles(features) - math.pi / 2)


def test_a_class_changes_a_conditional_prediction(generator: torch.Generator) -> None:
    model = _model(variant="conditional", classes=("a", "b"))
    x, time = _noisy(1, generator)
    first, second = (model(x, time, torch.tensor([label])) for label in (0, 1))
    assert not torch.allclose(first, second)
    assert torch.equal(model(x, time), first)
    plain = _model()
    assert torch.equal(plain(x, time, torch.tensor([1])), plain(x, time))
    assert ModelSpec("qlatent", classes=("a", "b")).classes is None


def test_circuits_side_by_side_are_one_round(generator: torch.Generator) -> None:
    model = _model(circuits=3)
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    assert len(layers) == 3
    assert model.vertex.readout.in_features == 3 * 8
    assert model(*_noisy(2, generator)).shape == (2, 4)


def own(*, qubits: int) -> VariationalCircuit:
    """A user's circuit, which knows no layers."""
    x, circuit = ParameterVector("x", qubits), QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(x[qubit], qubit)
    outputs = tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1)], qubits) for q in range(qubits))
    return VariationalCircuit("own", circuit, tuple(x), (), outputs)


@pytest.mark.parametrize(
    ("ansatz", "expected"),
    [("hqconv", build_ansatz("hqconv", channels=1, layers=2)), (f"{__name__}:own", own(qubits=4))],
)
def test_any_ansatz_takes_the_place(
    ansatz: str, expected: VariationalCircuit, generator: torch.Generator
) -> None:
    model = _model(ansatz=ansatz)
    assert repr(model.vertex.bank.layers[0].variational) == repr(expected)
    assert model(*_noisy(2, generator)).shape == (2, 4)


def narrow(*, qubits: int) -> VariationalCircuit:
    """A circuit with one output."""
    full = own(qubits=qubits)
    return VariationalCircuit("narrow", full.circuit, full.inputs, (), full.observables[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ansatz": f"{__name__}:narrow"}, "has 1 outputs, fewer than the 4 latents"),
        ({"ansatz": "reuplod"}, "unknown ansatz 'reuplod'; did you mean reupload"),
        ({"circuits": 0}, "circuits must be 1 to 100, but is 0"),
        ({"dim": 17}, "dim of qlatent must be 2 to 16, the latents of an image"),
        ({"variant": "conditonal"}, "unknown variant 'conditonal'; did you mean"),
        (
            {"name": "unet", "dim": 10, "ansatz": "hqconv"},
            "ansatz is a setting of models whose circuits can be any, but unet has circuits of",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((RequestError, UnknownNameError), match=re.escape(message)):
        _model(**options)


def test_other_shapes_are_refused(generator: torch.Generator) -> None:
    x, time = _noisy(2, generator)
    with pytest.raises(ShapeError, match=re.escape("(B, 4) and times (B,), but have (2, 3)")):
        _model()(x[:, :3], time)


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_autoencoder_takes_every_size(size: int, channels: int) -> None:
    autoencoder = _model(image_size=size, channels=channels).autoencoder
    autoencoder.std.fill_(1)
    images = torch.zeros(2, channels, size, size)
    assert autoencoder.decode(autoencoder.encode(images)).shape == images.shape
