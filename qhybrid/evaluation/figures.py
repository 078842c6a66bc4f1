"""The figures, a row each: FID, KID, IS, precision, recall, density, coverage and SSIM.

Each function takes the generated images, real ones, and how often each generated image is in each
resampled set, (B, N). Values are torchmetrics' where it has the figure; it takes more than a second
to load, which runs without figures should not wait for.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from qhybrid.evaluation.bootstrap import Estimate, of_mean
from qhybrid.evaluation.ssim import pair_ssim

SEED = 0

DIRECTIONS = 256
"""Of most variance, in which FID is resampled: other directions add 2 % to its spread."""

SUBSETS, SUBSET_SIZE = 1000, 100
"""Of KID. The size is that of De Falco et al. (2024); the mean of many subsets is steady."""

SPLITS = 10
"""Of IS, as in Salimans et al. (2016) and De Falco et al. (2024)."""

PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5
"""k of Kynkäänniemi et al. (2019) and of Naeem et al. (2020)."""

SSIM_PAIRS = 2
"""Real images that each generated one is compared with."""

_ELEMENTS = 2**22
"""Of a table of distances that are in memory at once."""

HERE: Mapping[str, Any] = {"sync_on_compute": False}
"""One process has all images; of several that train, torchmetrics would wait for the others'."""


@dataclass(frozen=True)
class ImageFeatures:
    """Images and their features.

    Attributes:
        images: uint8 (N, H, W, C).
        features: float32 (N, D).
        logits: float32 (N, K).
    """

    images: Tensor
    features: Tensor
    logits: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, chosen: Tensor | slice) -> "ImageFeatures":
        """Return some of the images."""
        return ImageFeatures(self.images[chosen], self.features[chosen], self.logits[chosen])


class _AtHand(nn.Module):
    """Stands in the place of a network, since torchmetrics is given the features themselves."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(generated: ImageFeatures, real: ImageFeatures, counts: Tensor) -> tuple[Estimate, ...]:
    """Return the Fréchet distance of Gaussians fitted to the features (Heusel et al. 2017, eq. 6).

    |m - m_r|^2 + Tr(C + C_r - 2 (C C_r)^1/2), from means and covariances.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_AtHand(generated.features.shape[1]), **HERE)
    for images, is_real in ((generated, False), (real, True)):
        for rows in _chunks(*images.features.shape):
            metric.update(images.features[rows].double(), real=is_real)
    resampled = _frechet_of_resampled(generated.features, real.features, counts)
    return (Estimate(float(metric.compute()), resampled),)


def _frechet_of_resampled(features: Tensor, real: Tensor, counts: Tensor) -> Tensor:
    """Return FID of each resampled set, (B,), from its moments, in the directions of most variance.

    Tr (C C_r)^1/2 is the sum of the square roots of the eigenvalues of C_r^1/2 C C_r^1/2, which is
    symmetric.
    """
    if not len(counts):
        return torch.zeros(0)
    # Of both sets together; the last ones have most variance.
    _, axes = torch.linalg.eigh((features.T.cov() + real.T.cov()).double())
    real, features = ((x @ axes[:, -DIRECTIONS:].float()).double() for x in (real, features))
    values, vectors = torch.linalg.eigh(real.T.cov())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    x, size, distances = features - real.mean(0), len(features), []
    for count in counts.double():
        mean = count @ x / size
        covariance = ((x.T * count) @ x / size - mean.outer(mean)) * (size / (size - 1))
        shared = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
        distances.append(mean.square().sum() + covariance.trace() + values.sum() - 2 * shared)
    return torch.stack(distances)


def kid(generated: ImageFeatures, real: ImageFeatures, counts: Tensor) -> tuple[Estimate, ...]:
    """Return the squared maximum mean discrepancy of features (Binkowski et al. 2018, eq. 4).

    The kernel is (x y / D + 1)^3. The value is the mean of the unbiased estimate over random
    subsets; it is resampled as the unbiased estimate of all images, whose expectation is the same.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    network = _AtHand(generated.features.shape[1])
    with warnings.catch_warnings(action="ignore"):  # of the memory that features take
        metric = KernelInceptionDistance(network, subsets=SUBSETS, subset_size=SUBSET_SIZE, **HERE)
    metric.update(generated.features, real=False)
    metric.update(real.features, real=True)
    with _seeded():
        mean, _ = metric.compute()
    return (Estimate(float(mean), _kid_of_resampled(generated.features, real.features, counts)),)


def _kid_of_resampled(features: Tensor, real: Tensor, counts: Tensor) -> Tensor:
    """Return KID of each resampled set, (B,), up to the term of the real images alone.

    Pairs of an image with itself, which resampled sets have, are left out.
    """
    if not len(counts):
        return torch.zeros(0)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    weights = counts.T
    pairs, crossed = torch.zeros(len(counts)), torch.zeros(len(counts))
    for rows in _chunks(len(features), max(len(features), len(real))):
        own = kernel(features[rows], features)
        own.diagonal(rows.start).zero_()
        pairs += (weights[rows] * (own @ weights)).sum(0)
        crossed += kernel(features[rows], real).mean(1) @ weights[rows]
    size = float(len(features))
    return pairs / (size**2 - counts.square().sum(1)) - 2 * crossed / size


def inception_score(
    generated: ImageFeatures, _: ImageFeatures, counts: Tensor
) -> tuple[Estimate, ...]:
    """Return exp(E KL(p(y|x) || p(y))), the mean over ten splits (Salimans et al. 2016)."""
    from torchmetrics.image.inception import InceptionScore

    with warnings.catch_warnings(action="ignore"):  # of the memory that logits take
        metric = InceptionScore(_AtHand(generated.logits.shape[1]), splits=SPLITS, **HERE)
    metric.update(generated.logits)
    with _seeded():
        mean, _spread = metric.compute()
    with _seeded():  # the same splits
        order = torch.randperm(len(generated))
    scores = []
    for chosen in order.chunk(SPLITS):
        likely, weights = generated.logits[chosen].softmax(1), counts[:, chosen]
        weights = weights / weights.sum(1, keepdim=True)
        certain = weights @ torch.special.entr(likely).sum(1)
        scores.append((torch.special.entr(weights @ likely).sum(1) - certain).exp())
    return (Estimate(float(mean), torch.stack(scores).mean(0)),)


def precision_recall(
    generated: ImageFeatures, real: ImageFeatures, counts: Tensor
) -> tuple[Estimate, ...]:
    """Return improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2).

    The shares of generated images within reach of a real one, and of real images within reach of a
    generated one; an image reaches as far as its third neighbour of its own kind.
    """
    real = real[: len(generated)]
    reach, reach_back = (_reach(each.features, PRECISION_NEIGHBOURS) for each in (real, generated))
    precise, found = torch.zeros(len(generated), dtype=torch.bool), []
    for rows in _chunks(len(real), len(generated)):
        distance = torch.cdist(real.features[rows], generated.features)
        precise |= (distance <= reach[rows, None]).any(0)
        found.append(_hit(distance <= reach_back, counts))
    return of_mean(precise, counts), _shares(found)


def density_coverage(
    generated: ImageFeatures, real: ImageFeatures, counts: Tensor
) -> tuple[Estimate, ...]:
    """Return density and coverage (Naeem et al. 2020, eq. 5 and 6).

    The number of real images that reach a generated one, divided by k = 5; and the share of real
    images that reach some generated one.
    """
    real = real[: len(generated)]
    reach, density, covered = (
        _reach(real.features, DENSITY_NEIGHBOURS),
        torch.zeros(len(generated)),
        [],
    )
    for rows in _chunks(len(real), len(generated)):
        inside = torch.cdist(real.features[rows], generated.features) <= reach[rows, None]
        density += inside.sum(0) / DENSITY_NEIGHBOURS
        covered.append(_hit(inside, counts))
    return of_mean(density, counts), _shares(covered)


def ssim(generated: ImageFeatures, real: ImageFeatures, counts: Tensor) -> tuple[Estimate, ...]:
    """Return the mean similarity of generated and random real images, see `mean_ssim`."""
    chooser = torch.Generator().manual_seed(SEED)
    chosen = torch.randint(len(real), (SSIM_PAIRS, len(generated)), generator=chooser)
    found = [pair_ssim(generated.images, real.images[partners]) for partners in chosen]
    return (of_mean(torch.stack(found).mean(0), counts),)


def _reach(features: Tensor, neighbours: int) -> Tensor:
    """Return the distance from each image to its k-th nearest other, (N,)."""
    # An image is the nearest to itself, at a distance of 0.
    nearest = [
        torch.cdist(features[rows], features).kthvalue(neighbours + 1, dim=1).values
        for rows in _chunks(len(features), len(features))
    ]
    return torch.cat(nearest)


def _hit(inside: Tensor, counts: Tensor) -> Tensor:
    """Return for each row of (M, N) whether an image is inside: of all, and of each set, (1+B,)."""
    every = torch.ones(1, inside.shape[1])
    hits: Tensor = (inside.float() @ torch.cat([every, counts]).T > 0).double().sum(0)
    return torch.cat([hits, torch.tensor([float(len(inside))])])


def _shares(parts: list[Tensor]) -> Estimate:
    total = torch.stack(parts).sum(0)
    shares = total[:-1] / total[-1]
    return Estimate(float(shares[0]), shares[1:])


def _chunks(rows: int, columns: int) -> Iterator[slice]:
    """Yield parts of the rows of a table that is never whole in memory."""
    step = max(1, _ELEMENTS // columns)
    return (slice(start, start + step) for start in range(0, rows, step))


@contextmanager
def _seeded() -> Iterator[None]:
    """Give torchmetrics, which takes no generator, a seeded one, and put back what was there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@dataclass(frozen=True)
class Figure:
    """A figure, or two that are computed together.

    Attributes:
        limits: Of each figure by its name: no value is lower or higher.
        measure: Returns an estimate for each name.
        of_inception: Whether the name means Inception's features, so that other features' figures
            must have another name.
        of_pixels: Whether pixels are compared, and no features.
    """

    limits: Mapping[str, tuple[float, float]]
    measure: Callable[[ImageFeatures, ImageFeatures, Tensor], tuple[Estimate, ...]]
    of_inception: bool = False
    of_pixels: bool = False


FIGURES = (
    Figure({"FID": (0, inf)}, fid, of_inception=True),
    Figure({"KID": (-inf, inf)}, kid, of_inception=True),
    Figure({"IS": (1, inf)}, inception_score, of_inception=True),
    Figure({"precision": (0, 1), "recall": (0, 1)}, precision_recall),
    Figure({"density": (0, inf), "coverage": (0, 1)}, density_coverage),
    Figure({"SSIM": (-1, 1)}, ssim, of_pixels=True),
)
"""All figures, in the order in which they are shown."""
