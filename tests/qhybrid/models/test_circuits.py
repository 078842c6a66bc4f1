"""Any encoding, topology and ansatz by name, in the models that can hold it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector, pauli_basis

from qhybrid.models.circuits import bottleneck_circuit, circuit_at
from qhybrid.models.model_file import read_spec
from qhybrid.models.quantum_vertex import QuantumVertexConv
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model, save_model
from qhybrid.models.zoo import build_model
from qhybrid.report.model_circuits import model_circuits
from qhybrid.report.subject import find_subject
from qhybrid.settings.sources import load_config
from qhybrid_circuits import ANSATZE, VariationalCircuit, build_ansatz
from qhybrid_circuits.encoding_names import QUBITS
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime import QuantumLayer, get_backend, quantum_layer

DOCS = Path(__file__).parents[3] / "docs"
ENCODINGS = [name for name in QUBITS if name != "basis"]
FREE = [name for name, row in MODELS.built_in.items() if row.ansatz and not row.control]


def _spec(name: str = "1hqconv-qvunet", **options: Any) -> ModelSpec:
    row = MODELS[name]
    size = 32 if row.size.divisor > 1 else row.size.dim
    return ModelSpec(name, 8, dim=size, **options)


def _cell(ansatz: str | None, encoding: str | None) -> str:
    """Return what docs/models.md says of a circuit that maps 12 features to 12 values."""
    try:
        circuit = circuit_at(_spec(ansatz=ansatz, encoding=encoding), "hqconv", size=12)
    except RequestError:
        return "refused"
    return f"{circuit.num_qubits} qubits, {circuit.num_weights} weights"


def test_the_table_in_the_docs_is_what_is_built() -> None:
    columns = ["angle", "phase", "dense_angle", "amplitude"]
    assert sorted(columns) == sorted(ENCODINGS)
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    for ansatz in ANSATZE:
        cells = [_cell(ansatz, encoding) for encoding in (None, *columns)]
        assert f"| `{ansatz}` | {' | '.join(cells)} |" in text
    for name in FREE:
        assert re.search(rf"^\| .*`{re.escape(name)}`.* \|", text, flags=re.MULTILINE), name


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_values_and_gradients_are_those_of_the_circuit(
    encoding: str, rng: np.random.Generator
) -> None:
    """Values by Qiskit's simulation of the states, gradients by central differences of those."""
    circuit = circuit_at(_spec(encoding=encoding, ansatz_layers=1), "hqconv", size=4)
    layer = quantum_layer(circuit, get_backend("statevector")).double()
    x, w = rng.normal(size=4), rng.random(circuit.num_weights)

    def total(values: np.ndarray, weights: np.ndarray) -> float:
        bound = circuit.bind_weights(weights)
        state = Statevector(bound.assign_parameters(dict(zip(circuit.inputs, values, strict=True))))
        signs = np.arange(1, circuit.num_outputs + 1)
        found = [state.expectation_value(each).real for each in circuit.observables]
        return float(np.dot(signs, found))

    inputs = torch.tensor(x, requires_grad=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(w))
    result = (layer(inputs) * torch.arange(1, circuit.num_outputs + 1)).sum()
    result.backward()
    assert result.item() == pytest.approx(total(x, w), abs=1e-9)
    step = 1e-5
    for values, gradient, of in (
        (x, inputs.grad, lambda moved: total(moved, w)),
        (w, layer.weight.grad, lambda moved: total(x, moved)),
    ):
        assert gradient is not None
        shifts = step * np.eye(len(values))
        wanted = [(of(values + shift) - of(values - shift)) / (2 * step) for shift in shifts]
        np.testing.assert_allclose(gradient.numpy(), wanted, atol=1e-7)


# Weights of one circuit: HQConv's 10 * channels - 2 a layer, on 2 channels by dense angles and 1 by
# amplitudes; basic entangling's 1 a qubit, on 6 and 4; at the published size, of 4 convolutions.
COUNTS = [
    ("1hqconv-qvunet", {"encoding": "dense-angle"}, 475_329 + 4 * 3 * (18 - 28)),
    ("1hqconv-qvunet", {"encoding": "amplitude"}, 475_329 + 4 * 3 * (8 - 28)),
    ("1hqconv-qvunet", {"topology": "heavy-hex"}, 475_329),
    ("1hqconv-qvunet", {"ansatz": "fqconv"}, 475_281),
    (
        "fullhqconv-qvunet",
        {"encoding": "dense_angle"},
        429_993 + 4 * (13 * 3 * (18 - 28) + 4 * (2 - 4)),
    ),
    ("quanvunet", {"ansatz": "basic_entangling"}, 473_817 + 8 * 3 * (12 - 28)),
    ("hqconv-wide-unet", {"encoding": "amplitude"}, 6_884_301 + 8 - 28),
    ("qattention-unet", {"encoding": "dense-angle"}, 450_273 - 24),
    # Linear maps around the circuit: 48 inputs for 16 and 32 outputs for 16; 80 weights for 48.
    ("qattention-unet", {"ansatz": "reupload"}, 450_273 + 129 * 32 + 128 * 16 + 80 - 48),
    ("qlatent", {"ansatz": "hqconv", "encoding": "amplitude"}, 21 * 12 + 24 + 13 * 12),
    # 4 weights a layer in the place of 16, of 10 layers for each of 10 time steps and 10 classes.
    (
        "qbottleneck-unet",
        {"image_size": 16, "ansatz": "basic_entangling"},
        693_664 - 100 * 10 * (16 - 4),
    ),
]


@pytest.mark.parametrize(("name", "options", "parameters"), COUNTS)
@pytest.mark.parametrize("ending", ["", CONTROL])
def test_counts_follow_the_circuit_and_so_do_those_of_twins(
    name: str, options: dict[str, Any], parameters: int, ending: str
) -> None:
    model = build_model(ModelSpec(name + ending, **options))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == parameters


@pytest.mark.parametrize("name", FREE)
def test_every_model_draws_with_another_circuit(name: str, generator: torch.Generator) -> None:
    spec = _spec(name, encoding="amplitude", ansatz="qattention", ansatz_layers=1)
    model = build_model(spec, generator=generator)
    layers = [each for each in model.modules() if isinstance(each, QuantumLayer)]
    assert layers
    names = {each.variational.name for each in layers}
    assert names <= {"qattention-amplitude", "basic_entangling-amplitude"}
    x = torch.randn(2, *spec.input_shape, generator=generator)
    predicted = model(x, torch.tensor([2, 7]))
    assert predicted.shape == x.shape
    predicted.square().sum().backward()
    grads = [p.grad for key, p in model.named_parameters() if ".bank." in key or ".table." in key]
    assert all(grad is not None and grad.isfinite().all() for grad in grads if grad is not None)
    assert any(grad is not None and grad.any() for grad in grads)


@pytest.mark.parametrize("encoding", [None, "dense-angle"])
def test_a_bottleneck_takes_the_weights_of_any_circuit_as_inputs(
    encoding: str | None, rng: np.random.Generator
) -> None:
    usual = build_ansatz("brickwork", qubits=2, layers=1, angles="inputs")
    spec = ModelSpec("qbottleneck-unet", 8, dim=4, ansatz="qattention", encoding=encoding)
    circuit = bottleneck_circuit(spec, usual, 4)
    alone = build_ansatz("qattention", qubits=2, layers=10)
    assert (circuit.num_inputs, circuit.num_weights) == (4 + 20, 0)
    x, w = rng.normal(size=4), rng.normal(size=20)
    if encoding is None:
        state = Statevector(x / np.linalg.norm(x))
    else:
        qubits = [[np.cos(a / 2), np.exp(1j * b) * np.sin(a / 2)] for a, b in x.reshape(2, 2)]
        state = Statevector(np.kron(qubits[1], qubits[0]))
    rest = alone.bind_weights(w).assign_parameters(dict.fromkeys(alone.inputs, 0.0))
    values = dict(zip(circuit.inputs, [*x, *w], strict=True))
    found = Statevector(circuit.circuit.assign_parameters(values))
    wanted = state.evolve(rest)
    labels = [each.paulis[0].to_label() for each in circuit.observables]
    assert labels == pauli_basis(2).to_labels()[1:]
    for observable in circuit.observables:
        assert found.expectation_value(observable) == pytest.approx(
            wanted.expectation_value(observable), abs=1e-10
        )


def test_a_topology_is_the_ansatzs_own() -> None:
    model = build_model(_spec("fullhqconv-qvunet", topology="line"))
    circuits = [
        layer.variational
        for module in model.modules()
        if isinstance(module, QuantumVertexConv)
        for layer in module.bank.layers
    ]
    wanted = {
        _pairs(build_ansatz("hqconv", topology="line")),
        _pairs(build_ansatz("basic_entangling", topology="line")),
    }
    assert {_pairs(circuit) for circuit in circuits} == wanted


def _pairs(variational: VariationalCircuit) -> tuple[tuple[int, ...], ...]:
    circuit = variational.circuit
    every = [tuple(circuit.find_bit(bit).index for bit in item.qubits) for item in circuit.data]
    return tuple(pair for pair in every if len(pair) == 2)


def test_a_saved_model_says_what_was_chosen_and_nothing_else(tmp_path: Path) -> None:
    usual = _spec()
    assert {"ansatz", "encoding", "topology", "circuits"}.isdisjoint(usual.to_dict())
    spec = _spec(ansatz="fqconv", encoding="dense-angle", topology="line", ansatz_layers=1)
    model = build_model(spec)
    save_model(model, spec, tmp_path)
    assert read_spec(tmp_path) == spec == replace(spec, encoding="dense_angle")
    asked = {f"model.{key}": getattr(spec, key) for key in ("ansatz", "topology")}
    config = load_config(overrides={**asked, "model.encoding": "dense-angle"})
    assert config.model.encoding == spec.encoding
    again = load_model(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("1hqconv-qvunet", {"encoding": "densangle"}, "unknown encoding 'densangle'; did you mean"),
        ("1hqconv-qvunet", {"encoding": "basis"}, "encoding basis takes bits, but the features of"),
        ("1hqconv-qvunet", {"ansatz": "reupload"}, "maps 36 inputs to 24 outputs, but its place"),
        ("1hqconv-qvunet", {"topology": "ring"}, "'paper', 'heavy-hex' or 'line', but is 'ring'"),
        ("qattention-unet", {"topology": "line"}, "'qattention' has one topology alone"),
        ("qattention-unet", {"ansatz": "brickwork"}, "but is 16; .*; with model.encoding the"),
        ("qlatent", {"encoding": "angle"}, "'reupload' takes inputs after other gates"),
        (
            "qbottleneck-unet",
            {"encoding": "angle"},
            "all Pauli strings of its circuit, .* 32 qubits",
        ),
        ("unet", {"encoding": "angle"}, "encoding is a setting of models whose circuits can be"),
        (
            "hqconv-wide-unet",
            {"variant": "released", "topology": "line"},
            "variant=released of hqconv-wide-unet has the circuits of the published code",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        build_model(_spec(name, **options))


def test_what_a_report_advises_can_be_built_and_reported_on() -> None:
    subject = find_subject("1hqconv-qvunet", {"topology": "heavy-hex", "image_size": 8})
    (use,) = model_circuits(subject).uses
    assert use.options is not None
    assert use.options["topology"] == "heavy-hex"
    subject = find_subject("1hqconv-qvunet", {"encoding": "dense-angle", "image_size": 8})
    (use,) = model_circuits(subject).uses
    assert use.variational.name == "hqconv-dense_angle"
    assert use.options is None
