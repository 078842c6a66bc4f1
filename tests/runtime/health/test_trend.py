import pytest

from qhybrid_circuits import UnknownNameError
from qhybrid_runtime.health.trend import GradientTrend, TrendPoint, gradient_trend


def test_a_barren_plateau_is_seen() -> None:
    """The derivatives of the basic entangling ansatz are products of a sine and cosines.

    Each has variance 1/2, and the ring's strings grow with the number of qubits.
    """
    trend = gradient_trend("basic_entangling")
    assert trend is not None
    assert [point.qubits for point in trend.by_qubits] == [2, 4, 6, 8, 10, 12]
    assert {point.layers for point in trend.by_qubits} == {4}
    assert trend.log2_per_qubit == pytest.approx(-1.0, abs=0.1)
    assert trend.log2_per_layer == pytest.approx(0.0, abs=0.2)


def test_the_papers_ansatz_has_none() -> None:
    trend = gradient_trend("hqconv", layers=2)
    assert trend is not None
    assert [point.qubits for point in trend.by_qubits] == [4, 8, 12]
    assert trend.log2_per_qubit is not None
    assert trend.log2_per_qubit > -0.4
    assert [point.layers for point in trend.by_layers] == [1, 2, 3, 4, 6, 8]
    assert GradientTrend.from_dict(trend.to_dict()) == trend


def test_one_size_has_no_slope() -> None:
    trend = GradientTrend((TrendPoint(4, 1, 0.5),), ())
    assert trend.log2_per_qubit is None
    assert trend.log2_per_layer is None


def test_an_unknown_ansatz_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean hqconv"):
        gradient_trend("hqconf")
