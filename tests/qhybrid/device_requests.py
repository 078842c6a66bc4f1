"""A request for images from a fake QPU, and what came of it."""

import json

from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest

FEW = SamplingRequest(
    num_images=2,
    steps=2,
    device="cpu",
    backend="fake_nighthawk",
    execution=ExecutionRequest(shots=64),
)


def manifest(sampling: SamplingRun) -> dict[str, object]:
    content: dict[str, object] = json.loads(sampling.manifest_file.read_text())
    return content
