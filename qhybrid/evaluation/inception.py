"""Features of Inception v3 as in the original FID, through torchmetrics and torch-fidelity."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from qhybrid.evaluation.features import FEATURES, Extractor, Wanted, missing
from qhybrid.evaluation.pretrained import described, download, find_file, read_weights
from qhybrid_circuits.errors import RequestError

_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
_BATCH = 32


def find_weights(given: Path | None) -> Path | None:
    """Return the file of weights, None where something is missing without a network."""
    if find_spec("torch_fidelity") is None:
        return None
    return find_file(given, (_URL,), "*inception-2015-12-05*.pth")


def load_inception(wanted: Wanted) -> Extractor:
    """Return the 2,048 features of the last pooling, of images that are resized to 299x299.

    Images are resized as torchmetrics does it, bilinearly with antialiasing.

    Raises:
        RequestError: torch-fidelity, which has the network, or its weights are missing.
    """
    if find_spec("torch_fidelity") is None:
        install = "pip install 'qhybrid[evaluation]' (torch-fidelity, which has the network)"
        raise missing("inception", f"install the extra: {install}")
    from torchmetrics.image.fid import NoTrainInceptionV3

    layers = ["2048", "logits_unbiased"]
    try:
        path = find_weights(wanted.weights) or download(_URL)
        read_weights(path)  # torch-fidelity would run code that is in the file
        try:
            network: Any = NoTrainInceptionV3("inception-v3-compat", layers, str(path))
        except Exception as error:  # torch meets damaged bytes with whatever they lead it to
            raise RequestError(f"'{path}' does not hold its weights") from error
    except RequestError as error:
        name = _URL.rpartition("/")[2]
        raise missing("inception", f"{error}; give {name} with --weights FILE") from error
    network = network.to(wanted.device)

    def compute(pixels: Tensor) -> tuple[Tensor, Tensor]:
        # The public `forward` returns the first layer alone.
        x, logits = network._torch_fidelity_forward(pixels.expand(-1, 3, -1, -1))
        return x, logits

    return Extractor(FEATURES["inception"], compute, _BATCH, wanted.device, described(path))
