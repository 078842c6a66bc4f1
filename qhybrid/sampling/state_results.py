"""The files of a sampling run of quantum states."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qhybrid.data.states import load_states
from qhybrid.diffusion.sampling import SampleResult
from qhybrid.diffusion.specs import P2Weighting
from qhybrid.models.rows import MODELS
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.sampling.results import Results
from qhybrid.states.curves import LABEL, fidelity_curves
from qhybrid.states.figure import save_fidelity_figure
from qhybrid.states.process import to_complex
from qhybrid_circuits.errors import RequestError


class StateResults(Results):
    """Complex vectors in states.npz, and the fidelity with the data's states at each step."""

    key = "states"
    frames = None
    pictures = ("fidelity_file",)

    def file(self, run: SamplingRun) -> Path:
        return run.states_file

    def tensors(self, found: SampleResult) -> dict[str, Tensor]:
        tensors = {self.key: found.images.contiguous()}
        if found.frames is not None:
            tensors["frames"] = torch.stack(found.frames).contiguous()
        return tensors

    def array(self, name: str, values: Tensor) -> NDArray[Any]:
        vectors = super().array(name, to_complex(values))
        # Of length 1 in double precision, after single precision on the way.
        unit: NDArray[Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def draw(self, run: SamplingRun, plan: SamplingPlan, shown: Mapping[str, Tensor]) -> None:
        data = plan.config.data
        try:
            known = load_states(
                data.dataset, qubits=data.qubits, spread=data.spread, limit=data.limit
            )
        except RequestError as error:
            # The states do not need it: the data may lie elsewhere by now.
            logging.getLogger(__name__).warning("note: no fidelity.png is drawn: %s", error)
            return
        process = MODELS[plan.config.model.name].process.build(plan.schedule, P2Weighting())
        curves = fidelity_curves(process, known.images, list(shown["frames"]))
        save_fidelity_figure(curves.lines, run.fidelity_file, bands=curves.bands, label=LABEL)
