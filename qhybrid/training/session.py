"""What is built before a run's folder is touched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from qhybrid.data.dataset import ImageDataset
from qhybrid.kinds import IMAGES, Kind
from qhybrid.models.catalog import check_model_memory
from qhybrid.models.model_file import SPEC_FILE, read_spec
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid.run_folder import Run, open_run
from qhybrid.settings.config import Config
from qhybrid.settings.sections import DataSection
from qhybrid.torch_device import choose_device
from qhybrid.training.batches import (
    RESIDENT_BYTES,
    WEIGHTS,
    BatchStream,
    ResidentBatches,
    StepPlan,
    derive_seed,
)
from qhybrid.training.module import DenoisingModule
from qhybrid.training.state import TrainingState
from qhybrid.training.transfer import start_from
from qhybrid.training.transfer_record import TransferRecord
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime import Backend, get_backend
from qhybrid_runtime.backends.registry import check_backend_name

Batches = DataLoader[tuple[Tensor, int]] | ResidentBatches
"""What training goes through: images and label ids of one batch after the other."""

AUTOENCODER = "autoencoder."
"""What the names of an autoencoder's tensors start with."""


@dataclass(frozen=True)
class Session:
    """What is built before the run folder is touched.

    Attributes:
        config: The run's configuration.
        backend: Where the circuits run; to be closed at the end.
        dataset: The images, or what else the model is trained on.
        spec: What the model is built from.
        state: The model and all else that training changes.
        device: `cpu` or `cuda`.
        gradient: The gradient method in use.
        transfer: What the weights started from; None where all started at random.
    """

    config: Config
    backend: Backend
    dataset: ImageDataset
    spec: ModelSpec
    state: TrainingState
    device: str
    gradient: str
    transfer: TransferRecord | None = None

    @property
    def kind(self) -> Kind:
        """What the model is trained on."""
        return self.spec.row.process.kind

    def batches(self, images: Dataset[tuple[Tensor, int]], *, alone: bool = True) -> Batches:
        """Return the batches of prepared images from the present step to the end of the run.

        With a GPU that they fit on, and no workers, one process that is `alone` keeps them there.
        """
        plan, training = self.state.plan, self.config.training
        first, stop = (step * plan.accumulate for step in (self.state.step, plan.total_steps))
        size, seed = plan.batch_size, training.seed
        stream = BatchStream(plan.images, size, seed=seed, first=first, stop=stop)
        pinned = self.device == "cuda"
        if alone and pinned and type(images) is ImageDataset and not training.workers:
            device = next(self.state.model.parameters()).device
            if images.images.nbytes <= RESIDENT_BYTES:
                return ResidentBatches(images, stream, device)
        return DataLoader(
            images, batch_sampler=stream, num_workers=training.workers, pin_memory=pinned
        )


def build_session(config: Config, resumed: Run | None = None) -> Session:
    """Load the images and build the model.

    Raises:
        RequestError: The device, the data, the model or the weights to start from cannot be had.
    """
    device = choose_device(config.training.device, config.training.precision)
    settings = config.training
    dataset = _load(config, resumed)
    names = tuple(dataset.class_names[label] for label in sorted(dataset.class_names))
    spec = ModelSpec(
        **{**config.model.model_dump(), "classes": config.model.classes or names},
        **dataset.spec_fields,
        **config.diffusion.in_model,
    )
    check_model_memory(spec, copies=5)
    backend = _backend(config)
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, WEIGHTS, 0))
    network = build_model(spec, backend, config.quantum.gradient, generator)
    transfer = start_from(network, spec, config.transfer, resumed)
    if transfer is not None and any(name.startswith(AUTOENCODER) for name in transfer.taken):
        check_same_images(config.data, open_run(Path(transfer.source)))
    count, accumulate, epochs = len(dataset), settings.accumulate, settings.epochs
    batch_size = min(settings.batch_size, count)
    plan = StepPlan(count, batch_size, accumulate, epochs, settings.max_steps)
    module = DenoisingModule(network, dataset, config)
    module.process.check_images(dataset.images)
    state = TrainingState(module.to(device), config, plan)
    gradient = config.quantum.gradient or backend.gradients[0]
    return Session(config, backend, dataset, spec, state, device, gradient, transfer)


def _load(config: Config, resumed: Run | None) -> ImageDataset:
    """Return what is trained on, which the loader of its kind reads."""
    data, kind = config.data, MODELS[config.model.name].process.kind
    options: dict[str, Any] = {key: getattr(data, key) for key in kind.settings}
    if kind is IMAGES and resumed is not None and (resumed.folder / SPEC_FILE).is_file():
        # Grey images in colour files are read as grey, but a model that took them as RGB goes on.
        options["channels"] = read_spec(resumed.folder).channels
    dataset: ImageDataset = load_reference(kind.loader)(data.dataset, limit=data.limit, **options)
    return dataset


def check_same_images(data: DataSection, source: Run) -> None:
    """Refuse the autoencoder of a run on other images.

    Raises:
        RequestError: The images differ.
    """
    theirs = source.config().data
    for key in DataSection.model_fields:
        ours, other = getattr(data, key), getattr(theirs, key)
        if ours != other:
            raise RequestError(
                f"the autoencoder of '{source.folder}' was trained on other images: data.{key} is "
                f"{other} there and {ours} here; train on the same images, or leave --init-from out"
            )


def _backend(config: Config) -> Backend:
    """Return where the circuits run; what is random there follows from the run's seed."""
    quantum, seed = config.quantum, config.training.seed
    if quantum.noise_aware is not None:
        return get_backend(f"noise-aware:{quantum.noise_aware}", seed=seed)
    info, limit = check_backend_name(quantum.backend), quantum.max_qpu_seconds
    options: dict[str, Any] = {"seed": seed} if info.seeded else {}
    if limit is not None:
        options["max_qpu_seconds"] = limit
    return get_backend(quantum.backend, **options)
