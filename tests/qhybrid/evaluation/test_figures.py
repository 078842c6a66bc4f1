import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from qhybrid.evaluation.bootstrap import Estimate, of_mean, resample
from qhybrid.evaluation.figures import (
    FIGURES,
    ImageFeatures,
    density_coverage,
    fid,
    inception_score,
    kid,
    precision_recall,
    ssim,
)
from qhybrid.evaluation.ssim import mean_ssim

NONE = torch.zeros(0, 100)


def numbers(count: int, rng: np.random.Generator, shift: float = 0.0) -> ImageFeatures:
    mixing = np.random.default_rng(5).normal(size=(12, 12))
    features = (rng.normal(size=(count, 12)) + shift) @ mixing / 3
    pixels = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    logits = rng.normal(size=(count, 5)) * 3
    tensors = (torch.tensor(each, dtype=torch.float32) for each in (features, logits))
    return ImageFeatures(torch.tensor(pixels), *tensors)


def fid_by_scipy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    c, c_r = np.cov(x.T), np.cov(y.T)
    trace = np.trace(c + c_r - 2 * sqrtm(c @ c_r).real)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + trace)


def kid_by_numpy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def total(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(((a @ b.T / a.shape[1] + 1) ** 3).sum())

    def apart(a: NDArray[np.float64]) -> float:
        diagonal = (((a * a).sum(1) / a.shape[1] + 1) ** 3).sum()
        return float((total(a, a) - diagonal) / (len(a) * (len(a) - 1)))

    return apart(x) + apart(y) - 2 * total(x, y) / len(x) / len(y)


def neighbours_by_scipy(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """Precision, recall, density and coverage of x against as many real y."""
    reach, back = (np.sort(cdist(each, each))[:, 3] for each in (y, x))
    wide = np.sort(cdist(y, y))[:, 5]
    apart = cdist(y, x)
    inside = apart <= wide[:, None]
    precision = (apart <= reach[:, None]).any(0).mean()
    recall = (apart <= back[None]).any(1).mean()
    return [precision, recall, inside.sum() / 5 / len(x), inside.any(1).mean()]


def doubles(images: ImageFeatures) -> NDArray[np.float64]:
    return images.features.double().numpy()


def test_fid_and_kid_against_scipy_and_numpy(rng: np.random.Generator) -> None:
    """With 100 images, each subset of KID is all of them, and its mean is the estimate itself."""
    generated, real = numbers(100, rng), numbers(100, rng, 0.3)
    x, y = doubles(generated), doubles(real)
    assert fid(generated, real, NONE)[0].value == pytest.approx(fid_by_scipy(x, y), abs=1e-3)
    assert kid(generated, real, NONE)[0].value == pytest.approx(kid_by_numpy(x, y), abs=1e-3)
    assert kid_by_numpy(x, y) > 0.1


def test_fid_and_kid_against_torch_fidelity(rng: np.random.Generator) -> None:
    pytest.importorskip("torch_fidelity", reason="the extra 'inception' is not installed")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    generated, real = numbers(100, rng), numbers(100, rng, 0.3)
    both = [fid_features_to_statistics(each.features.double()) for each in (generated, real)]
    theirs = fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]
    assert fid(generated, real, NONE)[0].value == pytest.approx(theirs, abs=1e-3)
    options = {"kid_subsets": 2, "kid_subset_size": 100, "verbose": False}
    found = kid_features_to_metric(generated.features, real.features, **options)
    theirs = found["kernel_inception_distance_mean"]
    assert kid(generated, real, NONE)[0].value == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_neighbours_against_scipy(rng: np.random.Generator, shift: float) -> None:
    generated, real = numbers(1100, rng, shift), numbers(1200, rng)
    found = [
        each.value
        for measure in (precision_recall, density_coverage)
        for each in measure(generated, real, torch.zeros(0, 1100))
    ]
    expected = neighbours_by_scipy(doubles(generated), doubles(real)[:1100])
    assert found == pytest.approx(expected, abs=2e-3)


def test_inception_score_of_known_probabilities(rng: np.random.Generator) -> None:
    """Sure answers, as many of each of 5 classes: 5. The same answer always: 1."""
    images = numbers(1000, rng)
    classes = torch.arange(1000) % 5
    sure = ImageFeatures(images.images, images.features, torch.eye(5)[classes] * 100)
    assert inception_score(sure, sure, resample(1000))[0].value == pytest.approx(5, rel=0.02)
    same = ImageFeatures(images.images, images.features, torch.zeros(1000, 5))
    assert inception_score(same, same, resample(1000))[0].value == pytest.approx(1)


def test_ssim_is_an_estimate_of_that_of_all_pairs(rng: np.random.Generator) -> None:
    images = numbers(300, rng)
    values = images.images.permute(0, 3, 1, 2) / 127.5 - 1
    (found,) = ssim(images, images[:1], torch.zeros(0, 300))
    assert found.value == pytest.approx(mean_ssim(values, values[:1]), abs=1e-4)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: "-".join(figure.limits))
def test_resampled_values_are_those_of_resampled_images(
    figure: object, rng: np.random.Generator
) -> None:
    """Figures of sets that are made up image by image, up to a constant, see `Estimate`."""
    size = 400
    generated, real, counts = numbers(size, rng), numbers(size, rng, 0.3), resample(size, 12)
    x, y = doubles(generated), doubles(real)
    sets = [np.repeat(np.arange(size), count.int().numpy()) for count in counts]
    name = "-".join(figure.limits)  # type: ignore[attr-defined]
    found = figure.measure(generated, real, counts)  # type: ignore[attr-defined]
    if name == "FID":
        expected = [[fid_by_scipy(x[chosen], y) for chosen in sets]]
    elif name == "KID":
        # The estimate of a resampled set has pairs of an image with itself; ours leaves them out.
        expected = [[kid_without_copies(x, y, chosen) for chosen in sets]]
    elif name == "IS":
        expected = [[score(generated.logits, torch.tensor(chosen)) for chosen in sets]]
    elif name == "SSIM":
        assert len(found[0].resampled) == 12
        return
    else:
        expected = list(zip(*(neighbours_of(name, x, y, chosen) for chosen in sets), strict=True))
    for estimate, values in zip(found, expected, strict=True):
        deviations = estimate.resampled.numpy() - estimate.resampled.numpy().mean()
        wanted = np.array(values) - np.mean(values)
        assert deviations == pytest.approx(wanted, abs=0.05 * np.abs(wanted).max() + 1e-3)


def kid_without_copies(
    x: NDArray[np.float64], y: NDArray[np.float64], chosen: NDArray[np.int64]
) -> float:
    kernel = (x[chosen] @ x[chosen].T / x.shape[1] + 1) ** 3
    other = chosen[:, None] != chosen[None]
    crossed = ((x[chosen] @ y.T / x.shape[1] + 1) ** 3).mean()
    return float(kernel[other].mean() - 2 * crossed)


def score(logits: torch.Tensor, chosen: torch.Tensor) -> float:
    """The mean over the splits of the resampled images that belong to each."""
    torch.manual_seed(0)
    order = torch.randperm(len(logits))
    scores = []
    for split in order.chunk(10):
        p = logits[chosen[torch.isin(chosen, split)]].double().softmax(1)
        scores.append((p * (p / p.mean(0)).log()).sum(1).mean().exp())
    return float(torch.stack(scores).mean())


def neighbours_of(
    name: str, x: NDArray[np.float64], y: NDArray[np.float64], chosen: NDArray[np.int64]
) -> tuple[float, float]:
    """Images reach as far as in the whole set."""
    k = 3 if name == "precision-recall" else 5
    reach, back = (np.sort(cdist(each, each))[:, k] for each in (y, x))
    apart = cdist(y, x[chosen])
    inside = apart <= reach[:, None]
    if name == "precision-recall":
        return inside.any(0).mean(), (apart <= back[None, chosen]).any(1).mean()
    return inside.sum() / k / len(chosen), inside.any(1).mean()


def test_the_interval_of_a_mean_is_the_known_one(rng: np.random.Generator) -> None:
    values = torch.tensor(rng.normal(3, 2, 4000))
    low, high = of_mean(values, resample(4000, 1000)).interval()
    mean, half = float(values.mean()), 1.96 * float(values.std()) / 4000**0.5
    assert [low, high] == pytest.approx([mean - half, mean + half], abs=0.01)


def test_an_interval_holds_its_value_and_keeps_to_limits() -> None:
    biased = Estimate(1.0, torch.tensor([4.0, 5.0, 6.0]))
    low, high = biased.interval()
    assert low < 1.0 < high
    assert biased.interval(0.5, 1.2) == pytest.approx((0.5, 1.2))
