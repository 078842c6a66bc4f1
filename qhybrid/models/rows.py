"""The table of models: everything that must be known of one before torch is imported."""

from collections.abc import Mapping
from typing import Any

from qhybrid.diffusion.process import DENSITY, LATENT, STATES
from qhybrid.models.row import VARIANTS, Conditions, ModelRow, Size
from qhybrid_circuits.plugins import Registry, row_or_function

SCALED = "scaled"
SCALED_VARIANTS: tuple[str, ...] = ("paper", SCALED, "released")
"""`scaled` is ours: `paper`, but what circuits say is as large as the convolution beside them."""

ONE_BLOCK = "one-block"
QUANV_VARIANTS: tuple[str, ...] = ("paper", ONE_BLOCK, "released")
"""`one-block` has quanvolution in one block of the level, as the paper's text says, not in both."""

REPLACING = "replacing"
WIDE_VARIANTS: tuple[str, ...] = ("paper", REPLACING, "released")
"""`replacing` has circuits in the place of convolutions, as the report's text says; `paper` has one
circuit in front of them, as the report's code."""

ATTENTION_VARIANTS: tuple[str, ...] = ("trainable", "paper", "released")
"""`trainable` is ours: its circuit's weights act; those of the paper's circuit do nothing.

`paper` trains what comes before that circuit through it, `released` detaches it, as the code does.
"""

SCHEDULE_MODULE = "noise_levels"
"""The submodule of a model that is the noise schedule trained with it, where there is one."""

HO, CHEN, VASWANI = "ho2020", "chen2025", "vaswani2017"
FREQUENCIES: tuple[str, ...] = (HO, CHEN)
"""Of the time embedding: those of Ho et al. (2020), or equation 5 of Chen et al. (2025)."""

CONDITIONAL = "conditional"
LATENT_VARIANTS: tuple[str, ...] = ("unconditional", CONDITIONAL)
"""A `conditional` model is told which class an image is to be of."""

_DE_FALCO, _CAPECE = "De Falco et al. 2024", "Capece (PyTorch report)"
_CHEN, _JO = "Chen et al. 2025", "Jo et al. 2026"
RECIPES: Mapping[str, str] = {
    _DE_FALCO: "defalco2024",
    _CAPECE: "capece-scratch",
    _CHEN: "chen2025-mnist",
    _JO: "jo2026",
}
"""Paper -> the configuration that has its settings."""
_LATENT = Size(
    dim=12, dims=tuple(range(2, 17)), meaning="the latents of an image, and qubits of a circuit"
)
_LATENT_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "training": {
        "batch_size": 256,
        "learning_rate": 1e-2,
        "epochs": 400,
        "max_steps": 4000,
        "checkpoint_every": 10,
    },
    "ema": {"decay": 0.995},
    "sampling": {"sampler": "dpm++", "steps": 8},
}
_REVERSE_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "data": {"dataset": "states:cluster"},
    "training": {"learning_rate": 2e-2, "epochs": 20},
}
_WIDE, _LIGHT = Size(dim=32, ansatz_layers=1, divisor=8), Size(dim=32)

_ANSATZE = {"hqconv": "HQConv", "fqconv": "FQConv"}
_QVUNETS = (
    ("1", 1, "One {} circuit takes 3 of the 40 channels of each vertex convolution"),
    ("7", 7, "Seven {} circuits take 21 of the 40 channels of each vertex convolution"),
    ("full", None, "13 {} circuits and a basic entangling one replace each vertex convolution"),
)
"""Beginning of the name, circuits in a convolution (None: circuits only), summary."""

ROWS: tuple[ModelRow, ...] = (
    ModelRow(
        "unet",
        "qhybrid.models.zoo:unet",
        "Classical U-Net with weight-standardized ResNet blocks and linear attention",
        _DE_FALCO,
    ),
    ModelRow(
        "wide-unet",
        "qhybrid.models.zoo:wide_unet",
        "Classical U-Net of widths 32 to 256 with full attention at every size",
        _CAPECE,
        size=_WIDE,
    ),
    ModelRow(
        "light-unet",
        "qhybrid.models.zoo:light_unet",
        "Classical U-Net of widths 32 to 128 without attention and with one skip",
        _CHEN,
        size=_LIGHT,
        # Not Chen et al.'s, so that runs of earlier versions keep their meaning.
        frequencies=dict.fromkeys(VARIANTS, HO),
    ),
    *(
        ModelRow(
            f"{prefix}{ansatz}-qvunet",
            "qhybrid.models.zoo:qvunet",
            summary.format(title),
            _DE_FALCO,
            {"ansatz": ansatz, "circuits": circuits},
            circuits=True,
            ansatz=ansatz,
            # With more circuits they fill groups of channels, which are normalized by themselves.
            variants=SCALED_VARIANTS if circuits == 1 else VARIANTS,
            ansatz_variants={SCALED: "paper"},
        )
        for ansatz, title in _ANSATZE.items()
        for prefix, circuits, summary in _QVUNETS
    ),
    *(
        ModelRow(
            f"{prefix}quanvunet",
            "qhybrid.models.zoo:quanvunet",
            f"1{ansatz}-qvunet with {title} on the 2x2 patches of the second encoder level",
            _DE_FALCO,
            {"ansatz": ansatz},
            circuits=True,
            variants=QUANV_VARIANTS,
            ansatz_variants={ONE_BLOCK: "paper"},
            quanvolution=True,
            ansatz=ansatz,
        )
        for prefix, (ansatz, title) in zip(("", "fqconv-"), _ANSATZE.items(), strict=True)
    ),
    *(
        ModelRow(
            f"{ansatz}-wide-unet",
            "qhybrid.models.zoo:wide_unet",
            f"wide-unet with one shared {title} circuit on a tenth of the vertex channels",
            _CAPECE,
            {"ansatz": ansatz},
            circuits=True,
            size=_WIDE,
            variants=WIDE_VARIANTS,
            ansatz_variants={REPLACING: "paper"},
            ansatz=ansatz,
        )
        for ansatz, title in _ANSATZE.items()
    ),
    ModelRow(
        "qattention-unet",
        "qhybrid.models.zoo:qattention_unet",
        "Light U-Net whose bottleneck channels are weighed by a 16-qubit circuit",
        _CHEN,
        circuits=True,
        size=_LIGHT,
        variants=ATTENTION_VARIANTS,
        ansatz_variants={"paper": "published", "released": "published"},
        former={"published": "released"},
        frequencies={"trainable": HO, "paper": CHEN, "released": HO},
        ansatz="qattention",
    ),
    ModelRow(
        "qbottleneck-unet",
        "qhybrid.models.zoo:qbottleneck_unet",
        "At 16x16, 10 time steps, 10 classes: a circuit between linear layers denoises complex "
        "vectors",
        _JO,
        circuits=True,
        size=Size(
            dim=16,
            ansatz_layers=10,
            image_size=16,
            dims=(4, 8, 16, 32),
            meaning="the amplitudes of 2 to 5 qubits",
        ),
        process=STATES,
        conditions=Conditions(
            tuple("0123456789"), optional=True, timesteps=10, most_timesteps=1000
        ),
        skip=True,
        ansatz="brickwork",
    ),
    ModelRow(
        "latent-mlp",
        "qhybrid.models.zoo:latent_mlp",
        "Classical perceptron that denoises the latents of a small autoencoder",
        "ours",
        size=_LATENT,
        variants=LATENT_VARIANTS,
        process=LATENT,
        conditions=Conditions(tuple("0123456789"), variant=CONDITIONAL),
        settings=_LATENT_SETTINGS,
    ),
    ModelRow(
        "qlatent",
        "qhybrid.models.zoo:qlatent",
        "A circuit between two linear maps that denoises the latents of a small autoencoder",
        "ours",
        circuits=True,
        size=_LATENT,
        variants=LATENT_VARIANTS,
        process=LATENT,
        conditions=Conditions(tuple("0123456789"), variant=CONDITIONAL),
        ansatz="reupload",
        several=True,
        settings=_LATENT_SETTINGS,
    ),
    ModelRow(
        "qreverse",
        "qhybrid.models.quantum_reverse:qreverse",
        "Quantum states of 2 qubits, 8 time steps: a circuit with an ancilla takes noise back",
        _JO,
        circuits=True,
        natural=False,
        variants=("paper",),
        process=DENSITY,
        conditions=Conditions((), timesteps=8, most_timesteps=100),
        settings=_REVERSE_SETTINGS,
        ancillas=1,
        alone=True,
    ),
)
"""The built-in models without their classical twins."""


_WITH_CONTROL = tuple(row for row in ROWS if row.circuits and not row.alone)
HYBRIDS_WITH_CONTROL: tuple[str, ...] = tuple(row.name for row in _WITH_CONTROL)

_TWINS = tuple(row.twin for row in _WITH_CONTROL)

MODELS: Registry[ModelRow] = Registry(
    "model",
    (*ROWS, *_TWINS),
    group="qhybrid.models",
    adapt=row_or_function(
        "model",
        ModelRow,
        "(ModelSpec, Execution) -> torch module",
        lambda name, summary, builder: ModelRow(name, builder, summary),
    ),
)
"""Model name -> row; those of installed packages last."""

MODEL_NAMES: tuple[str, ...] = tuple(MODELS.built_in)
