"""The U-Nets: their names and specifications (light) and the networks themselves (torch, lazy)."""

from typing import TYPE_CHECKING

from qhybrid.models.catalog import catalog
from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import IMAGE_SIZES, MODEL_NAMES, ModelSpec
from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.models.light_unet import LightUNet
    from qhybrid.models.quantum_vertex import QuantumVertexConv
    from qhybrid.models.storage import load_model, save_model
    from qhybrid.models.unet import UNet
    from qhybrid.models.wide_unet import WideUNet
    from qhybrid.models.zoo import MODELS, build_model

__all__ = [
    "IMAGE_SIZES",
    "MODELS",
    "MODEL_NAMES",
    "LightUNet",
    "ModelSpec",
    "QuantumVertexConv",
    "UNet",
    "WideUNet",
    "build_model",
    "catalog",
    "load_model",
    "read_spec",
    "save_model",
]


__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "MODELS": ".zoo",
        "build_model": ".zoo",
        "LightUNet": ".light_unet",
        "UNet": ".unet",
        "WideUNet": ".wide_unet",
        "QuantumVertexConv": ".quantum_vertex",
        "save_model": ".storage",
        "load_model": ".storage",
    },
)
