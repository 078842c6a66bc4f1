"""Features of MobileNetV2 (Sandler et al. 2018), trained on ImageNet."""

from pathlib import Path

import torch
from torch import Tensor
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

from qhybrid.evaluation.features import FEATURES, Extractor, Wanted, missing
from qhybrid.evaluation.pretrained import described, download, find_file, read_weights
from qhybrid_circuits.errors import RequestError

_SIDE = 224
_BATCH = 8
"""What fits into a processor's cache: 32 at once take half as long again on each."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def find_weights(given: Path | None) -> Path | None:
    """Return the file of weights, None where there is none without a network."""
    from torchvision.models import MobileNet_V2_Weights

    return find_file(given, (each.url for each in MobileNet_V2_Weights), "mobilenet_v2*.pth")


def load_mobilenet(wanted: Wanted) -> Extractor:
    """Return the 1,280 features before the last layer, of images that are resized to 224x224.

    Raises:
        RequestError: There are no weights, or they are not MobileNetV2's.
    """
    from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

    network = mobilenet_v2().eval()
    try:
        path = find_weights(wanted.weights) or download(MobileNet_V2_Weights.IMAGENET1K_V1.url)
        weights = read_weights(path)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise RequestError(f"'{path}' does not hold torchvision's MobileNetV2") from error
    except RequestError as error:
        hint = f"{error}; give torchvision's mobilenet_v2-b0353104.pth with --weights FILE"
        raise missing("mobilenet", hint) from error
    # Normalizations are merged into the convolutions before them, which doubles the speed.
    layers = fuse(network.features).to(memory_format=torch.channels_last).to(wanted.device)
    head = network.classifier.to(wanted.device)
    mean, std = (torch.tensor(v, device=wanted.device).view(3, 1, 1) for v in (_MEAN, _STD))

    def compute(pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = ((pixels.float() / 255).expand(-1, 3, -1, -1) - mean) / std
        x = functional.interpolate(x, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        x = layers(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return x, head(x)

    return Extractor(FEATURES["mobilenet"], compute, _BATCH, wanted.device, described(path))
