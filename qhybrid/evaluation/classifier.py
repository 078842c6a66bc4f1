"""Features of a small classifier that is trained on the data set itself.

Inception was trained on photographs. For images like MNIST's, the authors of FID advise to take
features of a classifier of these images instead (github.com/bioinf-jku/TTUR, issue 24).
"""

import hashlib
from functools import partial

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from qhybrid.data.dataset import ImageDataset
from qhybrid.data.load import load_dataset
from qhybrid.evaluation.features import FEATURES, Extractor, Wanted, missing
from qhybrid.torch_device import suitable_threads
from qhybrid_circuits.directories import cache_directory
from qhybrid_circuits.disk_cache import LoweringCache

VERSION = 1
"""To be raised when the network or its training change."""

STEPS, BATCH, RATE = 400, 64, 4e-3
HELD_OUT = 10
"""One image in so many is kept from training, to measure the accuracy."""

SEED = 0
WIDTHS = (16, 64, 128)
CELLS, SIZE = 4, 128
"""Cells a side that features know the place in, and the number of features."""


class Classifier(nn.Module):
    """Three convolutions and two linear layers; the features are what the last one gets."""

    accuracy: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
            stride = 1 if before == channels else 2
            layers.append(nn.Conv2d(before, after, 3, stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        pooled = [nn.AdaptiveAvgPool2d(CELLS), nn.Flatten()]
        # Normalized, so that distances between features have one scale for all data sets.
        linear = nn.Linear(WIDTHS[-1] * CELLS**2, SIZE, bias=False)
        features = [linear, nn.BatchNorm1d(SIZE), nn.ReLU()]
        self.body = nn.Sequential(*layers, *pooled, *features)
        self.head = nn.Linear(SIZE, classes)
        self.register_buffer("accuracy", torch.tensor(float("nan")))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, 128) and logits (B, K) of uint8 images (B, C, H, W)."""
        features = self.body(pixels.float() / 127.5 - 1)
        return features, self.head(features)


def load_classifier(wanted: Wanted) -> Extractor:
    """Return the 128 features of the data set's classifier, which is trained if it is not cached.

    It is trained on the whole training split, whatever classes or part of it a run was trained on,
    so that figures of several runs can be compared.

    Raises:
        RequestError: The data set has one class only.
    """
    dataset = load_dataset(wanted.data.dataset, image_size=wanted.data.image_size)
    ids, labels = torch.unique(dataset.labels, return_inverse=True)
    if len(ids) < 2 or len(dataset) < 2 * HELD_OUT:
        raise missing("classifier", f"the images of {dataset.source} are all of one class")
    store = LoweringCache(cache_directory("classifiers"))
    empty = partial(_untrained, dataset.channels, len(ids))
    with suitable_threads(wanted.device, dataset.image_size):
        network = store.recall(
            f"{_key(dataset)}.safetensors",
            lambda: _train(empty, dataset, labels, wanted),
            partial(_restored, empty),
            lambda trained: save(trained.state_dict()),
        )
    note = f"accuracy {float(network.accuracy):.2%} on images held out of {dataset.source}"
    network = network.to(memory_format=torch.channels_last).to(wanted.device).eval()
    return Extractor(FEATURES["classifier"], network, 512, wanted.device, note)


def _train(
    empty: "partial[Classifier]", dataset: ImageDataset, labels: Tensor, wanted: Wanted
) -> Classifier:
    """Train with Adam on a one-cycle schedule (Smith and Topin 2018); the same seed every time."""
    wanted.tell(f"training a classifier of {dataset.source}, which is then kept")
    generator = torch.Generator().manual_seed(SEED)
    network = empty().to(memory_format=torch.channels_last).to(wanted.device)
    order = torch.randperm(len(dataset), generator=generator)
    held, kept = order[: len(order) // HELD_OUT], order[len(order) // HELD_OUT :]
    pixels = dataset.images.permute(0, 3, 1, 2)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        batch = kept[torch.randint(len(kept), (BATCH,), generator=generator)]
        _, logits = network(pixels[batch].to(wanted.device))
        loss = functional.cross_entropy(logits, labels[batch].to(wanted.device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        network.eval()
        parts = (part.to(wanted.device) for part in torch.split(pixels[held], 512))
        named = torch.cat([network(part)[1].argmax(1).cpu() for part in parts])
        network.accuracy.fill_((named == labels[held]).double().mean())
    return network.cpu().to(memory_format=torch.contiguous_format)


def _untrained(channels: int, classes: int) -> Classifier:
    """Return a network with seeded weights; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Classifier(channels, classes)


def _restored(empty: "partial[Classifier]", content: bytes) -> Classifier | None:
    """Return the classifier in a file, None where it is damaged."""
    network = empty()
    try:
        network.load_state_dict(load(content))
    except (SafetensorError, RuntimeError, KeyError):
        return None
    return network


def _key(dataset: ImageDataset) -> str:
    """Return a hash of what the classifier depends on."""
    digest = hashlib.sha256(f"{VERSION} {tuple(dataset.images.shape)}".encode())
    for part in (dataset.images, dataset.labels):
        digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()[:40]
