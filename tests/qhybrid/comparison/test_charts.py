import numpy as np
import pytest

from qhybrid.comparison.charts import figure_spans, loss_curves
from qhybrid.comparison.compare import spread
from qhybrid.comparison.sections import sections
from qhybrid.comparison.training_log import TrainingLog


def log(*losses: float) -> TrainingLog:
    steps = tuple(10 * n for n in range(1, len(losses) + 1))
    return TrainingLog(steps, losses, losses[-1], 0.1)


def coordinates(points: str) -> np.ndarray:
    return np.array([[float(x) for x in point.split(",")] for point in points.split()])


def test_curves_are_means_and_ranges_on_a_logarithmic_axis() -> None:
    found = loss_curves(["a", "b"], [[log(1.0, 0.1), log(0.8, 0.3)], [log(0.5, 0.01)]])
    first, second = found.curves
    assert second.band is None
    ticks = {float(tick.text): tick.at for tick in found.values}
    assert len(ticks) >= 3
    slope, offset = np.polyfit(np.log10(list(ticks)), list(ticks.values()), 1)
    line = coordinates(first.line)
    assert line[:, 0] == pytest.approx([50, 100])
    assert line[:, 1] == pytest.approx(slope * np.log10([0.9, 0.2]) + offset, abs=0.02)
    assert first.band is not None
    outline = slope * np.log10([1.0, 0.3, 0.1, 0.8]) + offset
    assert coordinates(first.band)[:, 1] == pytest.approx(outline, abs=0.02)


def test_long_curves_are_thinned_by_means() -> None:
    losses = tuple(np.geomspace(1, 0.1, 1000))
    (curve,) = loss_curves(["a"], [[log(*losses)]]).curves
    assert len(coordinates(curve.line)) == 120


def test_a_span_has_the_interval_and_the_seeds_where_they_belong() -> None:
    models = {"a": spread([1.0, 2.0, 3.0]), "b": spread([9.0]), "c": None}
    figure = {"name": "FID", "measured": "", "better": "lower", "models": models}
    (chart,) = figure_spans({"figures": [figure]})
    first, second = chart.spans
    values = [models["a"]["low"], *models["a"]["values"], models["a"]["high"]]
    places = [first.low, *first.seeds, first.low + first.width]
    assert np.corrcoef(values, places)[0, 1] == pytest.approx(1)
    assert first.mean == pytest.approx(first.seeds[1])
    assert (second.width, second.mean) == (0, second.seeds[0])
    assert second.text == "9 (one seed)"


def test_the_seeds_that_would_tell_are_shown_where_it_cannot_be_told() -> None:
    shared = {"figure": "loss", "first": "a", "second": "b", "seeds": (3, 3), "difference": 1.0}
    cases = [
        ("cannot be told", 0.5, 12, "12"),
        ("cannot be told", 0.9, None, "over 1,000"),
        ("better", 0.01, 3, "-"),
        ("cannot be told", None, None, "-"),
    ]
    verdicts = [
        {**shared, "outcome": outcome, "p": p, "low": -1, "high": 1, "seeds_needed": needed}
        | {"sentence": "cannot be told from 1 and 1 seeds: one seed shows nothing"}
        for outcome, p, needed, _ in cases
    ]
    content = {"verdicts": verdicts, "level": 0.02, "figures": [], "models": [], "settings": {}}
    (table,) = sections(content)
    assert [row[-1] for row in table.rows] == [text for *_, text in cases]
    assert "4 verdicts, 0.08 or fewer" in table.notes[0]
    assert table.notes[-1] == "One seed shows nothing."
