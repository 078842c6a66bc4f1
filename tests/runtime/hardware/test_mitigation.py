"""Mitigations by name, and readout errors that one job learns for all."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from device_circuits import pub_of, ring
from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.quantum_info import QubitSparsePauli, SparsePauliOp

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.qpu import QpuOptions
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.layer_noise import layer_noise
from qhybrid_runtime.hardware.mitigation import MITIGATIONS
from qhybrid_runtime.hardware.readout import ReadoutCalibration, by_strings, corrected
from qhybrid_runtime.hardware.round_plan import LoweredPub
from qhybrid_runtime.hardware.targets import fake_target


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mitigate": "zen"}, "one of none, readout, dd, twirl, zne, pec, auto, but is 'zen'"),
        ({"mitigate": "zne", "fractional": True}, "do not go together: it twirls gates"),
        ({"resilience_level": 2, "fractional": True}, "not Clifford gates"),
        ({"mitigate": "dd", "resilience_level": 2}, "`mitigate` and `resilience_level` do not go"),
        ({"mitigate": "readout", "primitive": "sampler"}, "is the estimator's"),
    ],
)
def test_what_excludes_each_other_is_named(given, message) -> None:
    with pytest.raises(RequestError, match=message):
        QpuOptions(**given)


def test_names_stand_for_options_and_leave_the_keys_of_old_rounds() -> None:
    assert QpuOptions(mitigate="zne").settings == QpuOptions(resilience_level=2).settings
    assert QpuOptions(mitigate="auto").settings == QpuOptions().settings
    texts = {name: QpuOptions(mitigate=name).settings.text for name in MITIGATIONS}
    assert len(set(texts.values())) == len(MITIGATIONS)
    assert texts["readout"] == QpuOptions().settings.text
    assert [name for name, text in texts.items() if "pec" in text] == ["pec"]
    executions = {name: QpuOptions(mitigate=name).settings.executions for name in texts}
    assert executions == dict.fromkeys(texts, 1024) | {"zne": 3 * 1024, "pec": 10 * 1024}


def test_lindblad_maps_have_the_fidelities_of_the_channel(rng) -> None:
    target = fake_target("fake_fez")
    pair = next(iter(target["cz"]))
    noise, body = DeviceNoise(target), QuantumCircuit(2)
    body.cz(1, 0)
    box = QuantumCircuit(2)
    box.box(body, [0, 1], [])
    layer = CircuitInstruction(box.data[0].operation, box.qubits)
    # The layer's qubits are in another order than on the QPU.
    found = layer_noise(layer, pair[::-1], noise)
    channel = noise.after("cz", pair)
    assert channel is not None
    first = int(pair[0] > pair[1])
    for number, fidelity in enumerate(channel.fidelities):
        letters = ["IXYZ"[number % 4], "IXYZ"[number // 4]]
        label = "".join(letters[::-1] if first == 0 else letters)
        assert found.pauli_fidelity(QubitSparsePauli(label)) == pytest.approx(fidelity, abs=1e-12)


def test_readout_factors_divide_each_string_by_its_own(rng) -> None:
    circuit = LoweredCircuit("c", QuantumCircuit(4), (1, 3), (3, 1), False, None)
    observables = (SparsePauliOp(["IZ", "ZZ"], [2.0, -0.5]), SparsePauliOp("YI"))
    pub = LoweredPub(circuit, observables, np.zeros((5, 0)))
    factors = rng.uniform(0.7, 1.0, 4)
    strings = [each.paulis[0].to_label() for each in by_strings(pub).observables]
    assert strings == ["IZ", "ZZ", "YI"]
    true = rng.uniform(-1, 1, (3, 5))
    read = true * np.array([factors[3], factors[3] * factors[1], factors[1]])[:, None]
    known = ReadoutCalibration("r", datetime.now(UTC).isoformat(), tuple(factors))
    values, errors = corrected(pub, (read, np.full((3, 5), 0.1)), known)
    np.testing.assert_allclose(values, [2 * true[0] - 0.5 * true[1], true[2]])
    expected = np.hypot(0.2 / factors[3], 0.05 / (factors[3] * factors[1]))
    np.testing.assert_allclose(errors, [[expected] * 5, [0.1 / factors[1]] * 5])


def test_readout_is_learnt_once_while_it_is_fresh(tmp_path, rng) -> None:
    circuit, weights = ring(), rng.normal(size=3)

    def seconds() -> float:
        backend = get_backend("fake_manila", shots=256, seed=3, mitigate="readout", ledger=tmp_path)
        before = backend.ledger.spent_seconds
        backend.estimator().run([pub_of(circuit, rng.normal(size=(1, 3)), weights)]).result()
        return backend.ledger.spent_seconds - before

    first, second = seconds(), seconds()
    assert first == pytest.approx(second + 0.00035 * 256)
    path = tmp_path / "readout.json"
    content = json.loads(path.read_text())
    (known,) = content["calibrations"]
    assert len(known["factors"]) == 5
    old = datetime.now(UTC) - timedelta(hours=2)
    known["time"] = old.isoformat()
    path.write_text(json.dumps(content))
    assert seconds() == pytest.approx(first)
    assert len(json.loads(path.read_text())["calibrations"]) == 2
    path.write_text('{"calibrations": [{}]}')
    with pytest.raises(RequestError, match=r"readout.json' .* cannot be read"):
        seconds()


@pytest.mark.parametrize("mitigate", ["twirl", "dd", "pec"])
def test_mitigations_act_alike_on_simulated_noise(mitigate: str, rng) -> None:
    circuit, inputs, weights = ring(), rng.normal(size=(1, 3)), rng.normal(size=3)
    pub = pub_of(circuit, inputs, weights)
    values = [
        get_backend(name, shots=128, seed=3, mitigate=mitigate).estimator().run([pub]).result()
        for name in ("fake_manila", "aer:fake_manila")
    ]
    one, other = (np.asarray(each[0].data.evs) for each in values)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, other)
