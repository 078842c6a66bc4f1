import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit.quantum_info import SparsePauliOp, Statevector
from torch.nn import functional

from qhybrid.files import sealed
from qhybrid.models.catalog import catalog
from qhybrid.models.model_file import read_spec
from qhybrid.models.quantum_bottleneck import QuantumBottleneckUNet
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model, save_model
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import RequestError, ShapeError
from qhybrid_runtime import QuantumLayer, model_health

NAME = "qbottleneck-unet"
VARIANTS = MODELS[NAME].variants
SMALL = {"image_size": 8, "dim": 4, "ansatz_layers": 2, "timesteps": 3, "classes": ("a", "b")}
ENTRIES = {entry["name"]: entry for entry in catalog()}


def small(name: str = NAME, seed: int = 0, **changed: object) -> QuantumBottleneckUNet:
    generator = torch.Generator().manual_seed(seed)
    model = build_model(ModelSpec(name, **{**SMALL, **changed}), generator=generator).double()
    assert isinstance(model, QuantumBottleneckUNet)
    return model


def states(count: int, generator: torch.Generator, channels: int = 1) -> torch.Tensor:
    return torch.randn(count, 2 * channels, 8, 8, generator=generator, dtype=torch.float64)


def amplitudes_of(model: QuantumBottleneckUNet, generator: torch.Generator) -> torch.Tensor:
    """Amplitudes, or both parts of complex ones, as the encoder gives them."""
    return torch.randn(3, model.vertex.table.first, generator=generator, dtype=torch.float64)


TIMES, LABELS = torch.tensor([0, 2, 2]), torch.tensor([1, 0, 1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_the_expectation_values_of_trained_hermitian_observables(
    variant: str, generator
) -> None:
    """<psi|H|psi> with H = b + sum W_j P_j, psi from the circuit that qiskit runs."""
    model = small(variant=variant)
    vertex, variational = model.vertex, model.vertex.table.variational
    amplitudes = amplitudes_of(model, generator)
    found = vertex(amplitudes, TIMES, LABELS)
    mixing, bias = (p.detach().numpy() for p in vertex.observables.parameters())
    strings = [o.paulis.to_labels()[0] for o in variational.observables]
    for row, time, label, features in zip(amplitudes, TIMES, LABELS, found, strict=True):
        values = np.concatenate([row.numpy(), vertex.table.weight[time, label].detach().numpy()])
        bound = variational.circuit.assign_parameters(
            dict(zip(variational.inputs, values, strict=True))
        )
        psi = Statevector(bound).data
        for output, weights, constant in zip(features, mixing, bias, strict=True):
            observable = SparsePauliOp([*strings, "II"], [*weights, constant]).to_matrix()
            assert np.allclose(observable, observable.conj().T)
            expected = np.vdot(psi, observable @ psi).real
            assert float(output.detach()) == pytest.approx(expected, abs=1e-10)


def test_any_hermitian_observable_can_be_trained(rng) -> None:
    """The Pauli strings with the identity are as many as a Hermitian matrix has real numbers."""
    vertex = small().vertex
    drawn = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    wanted = drawn + drawn.conj().T
    strings = [o.paulis.to_labels()[0] for o in vertex.table.variational.observables]
    assert vertex.observables.weight.shape == (4, 4**2 - 1)
    weights = [np.trace(SparsePauliOp(p).to_matrix() @ wanted).real / 4 for p in strings]
    made = SparsePauliOp([*strings, "II"], [*weights, np.trace(wanted).real / 4]).to_matrix()
    np.testing.assert_allclose(made, wanted, atol=1e-12)


@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
def test_predictions_are_states_and_lengths_do_not_matter(name: str, generator) -> None:
    model, x = small(name), states(3, generator)
    predicted = model(x, TIMES, LABELS)
    assert predicted.shape == x.shape
    torch.testing.assert_close(predicted.flatten(1).norm(dim=1), torch.ones(3).double())
    torch.testing.assert_close(model(x * 7.5, TIMES, LABELS), predicted)


@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
def test_times_and_classes_choose_the_weights(name: str, generator) -> None:
    model, x = small(name), states(1, generator).expand(3, -1, -1, -1)
    by_time = model(x, torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.long))
    assert torch.pdist(by_time.flatten(1)).min() > 1e-4
    by_class = model(x[:2], torch.tensor([1, 1]), torch.tensor([0, 1]))
    torch.testing.assert_close(by_class[0], by_time[1])
    assert (by_class[0] - by_class[1]).abs().max() > 1e-4
    torch.testing.assert_close(model(x[:1], torch.tensor([1])), by_time[1:2])


@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
def test_gradient_reaches_all_but_the_rows_that_are_not_used(name: str, generator) -> None:
    model, x = small(name), states(3, generator)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    (model(x, TIMES, LABELS) * direction).sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.numel()}
    assert all(gradient.abs().max() > 1e-12 for gradient in gradients.values())
    table = gradients["vertex.table.weight"]
    used = {(int(t), int(c)) for t, c in zip(TIMES, LABELS, strict=True)}
    for time in range(3):
        for label in range(2):
            if (time, label) in used:
                assert table[time, label].abs().min() > 1e-12
            else:
                assert not table[time, label].any()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
def test_gradients_are_those_of_finite_differences(name: str, variant: str, generator) -> None:
    network = small(name, variant=variant)
    model, amplitudes = network.vertex, amplitudes_of(network, generator)

    def outputs(amplitudes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        inputs = (amplitudes, TIMES, LABELS)
        return torch.func.functional_call(model, {"table.weight": weight}, inputs)

    assert torch.autograd.gradcheck(outputs, (amplitudes.requires_grad_(), model.table.weight))


def test_dead_weights_of_the_catalog_are_those_of_the_published_circuit() -> None:
    spec = ModelSpec(NAME)
    model = build_model(spec, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(1, *spec.input_shape, dtype=torch.float64)
    health = model_health(model, x, torch.tensor([3]))
    entry = ENTRIES[NAME]
    assert health.num_weights == 10 * 10 * 160
    assert health.dead_weights == entry["dead_weights"]
    assert health.num_weights - health.dead_weights == entry["weights_with_effect"]
    assert health.parameters_without_gradient == ()
    assert health.circuit_effect > 0.01


def test_a_control_has_the_same_table_and_no_circuit(generator) -> None:
    hybrid, control = small(), small(NAME + CONTROL)
    assert {n: p.shape for n, p in hybrid.named_parameters()} == {
        n: p.shape for n, p in control.named_parameters()
    }
    assert not any(isinstance(module, QuantumLayer) for module in control.modules())
    x = torch.randn(1, 2, 8, 8, generator=generator, dtype=torch.float64)
    assert model_health(control, x, torch.tensor([0])).num_weights == 0


def test_the_control_is_a_sparse_map_with_the_samples_weights(generator) -> None:
    """Output o is cos(x_o + w_o x_o) until the weights are used up, and cos(x_o) from there on."""
    vertex = small(NAME + CONTROL, ansatz_layers=1, variant="released").vertex
    weights = vertex.table.weight.detach()[2, 1]
    assert len(weights) == 8
    x = torch.randn(4, generator=generator, dtype=torch.float64)
    (found,) = vertex.bank([torch.cat([x, weights])])
    own = torch.arange(15) % 4
    factors = torch.cat([1 + weights, torch.ones(7).double()])
    torch.testing.assert_close(found, torch.cos(factors * x[own]))


def test_what_is_saved_comes_back(tmp_path, generator) -> None:
    spec = ModelSpec(NAME, **SMALL)
    model = build_model(spec, generator=torch.Generator().manual_seed(4))
    save_model(model, spec, tmp_path)
    loaded = load_model(tmp_path)
    x = states(3, generator).float()
    assert torch.equal(loaded(x, TIMES, LABELS), model(x, TIMES, LABELS))


@pytest.mark.parametrize(("size", "channels"), [(8, 3), (16, 1), (28, 1)])
def test_other_sizes(size: int, channels: int) -> None:
    spec = ModelSpec(NAME, size, channels, ansatz_layers=1)
    x = torch.randn(2, *spec.input_shape)
    assert build_model(spec)(x, torch.tensor([0, 9])).shape == (2, 2 * channels, size, size)


@pytest.mark.parametrize("dim", MODELS["qbottleneck-unet"].size.dims)
def test_other_dims_are_other_numbers_of_qubits(dim: int, generator) -> None:
    model = small(dim=dim)
    assert 2**model.vertex.table.variational.num_qubits == dim
    assert model.vertex.observables.weight.shape == (dim, dim**2 - 1)
    assert model(states(3, generator), TIMES, LABELS).isfinite().all()


def test_spec_has_steps_and_classes_only_for_states() -> None:
    spec = ModelSpec(NAME)
    assert (spec.image_size, spec.timesteps, len(spec.classes)) == (16, 10, 10)
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert ModelSpec(NAME, classes="0, 1").classes == ("0", "1")
    other = ModelSpec("unet", timesteps=10, classes=("0",))
    assert other == ModelSpec("unet")
    assert other.to_dict().keys().isdisjoint({"timesteps", "classes"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 12}, "one of 4, 8, 16, 32, .* but is 12"),
        ({"timesteps": 1}, "timesteps of qbottleneck-unet must be 2 to 1000, but is 1"),
        ({"timesteps": 2000}, "but is 2000"),
        ({"timesteps": True}, "but is True"),
        ({"skip": "no"}, "skip must be true or false, but is 'no'"),
        ({"classes": "a,,b"}, "at least one name"),
    ],
)
def test_what_cannot_be_built_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ModelSpec(NAME, **settings)


def test_wrong_shapes_are_named(generator) -> None:
    model, x = small(), states(3, generator)
    with pytest.raises(ShapeError, match=r"\(B, 2, 8, 8\), but has \(3, 1, 8, 8\)"):
        model(x[:, :1], TIMES, LABELS)
    with pytest.raises(ShapeError, match=r"`labels` must have shape \(3,\)"):
        model(x, TIMES, LABELS[:2])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_circuit_starts_from_the_normalized_vector_of_the_encoder(
    variant: str, generator
) -> None:
    """Equations 14 and 15: qiskit's state is given the amplitudes, and the rest of the circuit."""
    model, x = small(variant=variant), states(3, generator)
    variational, rows = model.vertex.table.variational, model.vertex.table(TIMES, LABELS)
    encoded = model.encoder(functional.normalize(x.flatten(1), dim=1))
    features = model.vertex(encoded, TIMES, LABELS)
    layers = variational.circuit.copy_empty_like()
    for item in variational.circuit.data[1:]:
        layers.append(item)
    angles = variational.inputs[model.vertex.table.first :]
    for row, weights, found in zip(encoded.detach().numpy(), rows, features, strict=True):
        real, imaginary = row[:4], row[4:] if variant == "paper" else 0
        z = real + 1j * imaginary
        assert np.mean(np.square(row)) == pytest.approx(1, abs=1e-2)
        bound = layers.assign_parameters(dict(zip(angles, weights.tolist(), strict=True)))
        psi = Statevector(z / np.linalg.norm(z)).evolve(bound)
        values = [psi.expectation_value(each).real for each in variational.observables]
        expected = model.vertex.observables(torch.tensor(values))
        torch.testing.assert_close(found, expected)


def test_the_papers_encoder_keeps_phases(generator) -> None:
    """A phase of the state is one of the amplitudes, which the released encoder has no place for.

    But for the offsets of the layers, which have phases of their own.
    """
    model, phase = small(), torch.exp(torch.tensor(0.7j))
    z = torch.complex(*states(3, generator).flatten(1).chunk(2, dim=1))
    with torch.no_grad():
        for index in (0, 2):
            model.encoder[index].bias.zero_()
        model.encoder[1].bias.fill_(-0.1)
    outputs = [
        torch.complex(*model.encoder(torch.cat([each.real, each.imag], 1)).chunk(2, dim=1))
        for each in (z, z * phase)
    ]
    torch.testing.assert_close(outputs[1], outputs[0] * phase)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
def test_without_the_skip_connection_all_goes_through_the_circuit(
    name: str, variant: str, generator
) -> None:
    x = states(3, generator)
    for skip in (True, False):
        model = small(name, variant=variant, skip=skip)
        assert model.decoder[0].in_features == 4 + 128 * skip
        model.vertex.register_forward_hook(lambda *given: torch.ones_like(given[2]))
        predicted = model(x, TIMES, LABELS)
        same = torch.allclose(predicted[0], predicted[1]) and torch.allclose(*predicted[1:])
        assert same != skip


def test_a_model_that_is_told_no_class_has_one_set_of_weights(generator) -> None:
    model, x = small(classes="none"), states(3, generator)
    assert model.vertex.table.weight.shape[:2] == (3, 1)
    one = small(classes=("a",))
    assert torch.equal(model(x, TIMES), one(x, TIMES))


@pytest.mark.parametrize("name", [NAME, NAME + CONTROL])
@pytest.mark.parametrize(
    "changed", [{}, {"skip": False}, {"classes": "none"}, {"variant": "released", "skip": False}]
)
def test_records_say_what_a_model_is(name: str, changed: dict[str, object]) -> None:
    spec = ModelSpec(name, **{**SMALL, **changed})
    recorded = json.loads(json.dumps(spec.to_dict()))
    assert ModelSpec.from_record(recorded) == ModelSpec.from_dict(recorded) == spec
    assert replace(spec) == spec


def test_the_only_variant_of_old_records_is_the_released_one(tmp_path) -> None:
    """Their circuit had real amplitudes, and their model.json and config.toml no `skip`."""
    spec = ModelSpec(NAME, **SMALL, variant="released")
    save_model(build_model(spec), spec, tmp_path)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    assert content["spec"].pop("skip") is True
    content["spec"]["variant"] = "paper"
    path.write_text(json.dumps(sealed({k: v for k, v in content.items() if k != "checksum"})))
    assert read_spec(tmp_path) == spec
    load_model(tmp_path)
    content["spec"]["skip"] = True
    path.write_text(json.dumps(sealed({k: v for k, v in content.items() if k != "checksum"})))
    assert read_spec(tmp_path).variant == "paper"
