"""One evaluation: images, real images, features, figures, and a folder of results."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from qhybrid.evaluation.bootstrap import resample
from qhybrid.evaluation.comparison import comparison
from qhybrid.evaluation.drawing import drawn
from qhybrid.evaluation.evaluation import Evaluation
from qhybrid.evaluation.features import Wanted
from qhybrid.evaluation.inputs import check_pixels, fit_reference, read_file, read_folder
from qhybrid.evaluation.memorization import memorization
from qhybrid.evaluation.reals import RealImages, load_reals
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.evaluation.results_folder import claimed
from qhybrid.evaluation.subject import Subject
from qhybrid.files import sealed, write_json
from qhybrid.models.model_file import read_spec
from qhybrid.printing import print_lines
from qhybrid.run_folder import open_run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.settings.sections import DataSection
from qhybrid.torch_device import choose_device
from qhybrid_circuits.plugins import load_reference

STEADY_IMAGES = 2048
"""With fewer images than features of Inception, covariances are singular and FID says little."""


def run_evaluation(
    subject: Subject | None,
    array: NDArray[np.uint8] | None,
    data: DataSection,
    request: EvaluationRequest,
    out: Path | str | None,
    console: Console | None,
) -> Evaluation:
    """Evaluate; the arguments are made of those of `evaluate`.

    Raises:
        RequestError: The images or features cannot be had, or do not fit together.
    """
    console = console or Console(quiet=True)
    pixels = _read(subject, array, request)
    count = min(len(pixels), request.num_images)
    reals = load_reals(data, request.reference, count)
    pixels = _fit(pixels, reals)
    tell = partial(print_lines, console)
    device = choose_device(request.device)
    wanted = Wanted(data, request.weights_file(), device, lambda text: tell({"features": text}))
    extractors = [load_reference(row.loader)(wanted) for row in request.rows()]
    for each in extractors:
        tell({"features": f"{each.row.name}: {each.note}"})
    if subject is not None and subject.kind == "run":
        sampling = drawn(open_run(subject.path), request, console)
        tell({"images": str(sampling.folder)})
        subject = replace(subject, kind="sampling", path=sampling.folder)
        pixels = _fit(_read(subject, None, request), reals)
    generated = torch.tensor(pixels[:count])
    with claimed(subject, out) as folder:
        known = (comparison(each, reals, request.reference, console) for each in extractors)
        results = [list(each.figures(generated, console)) for each in known]
        near = memorization(generated, reals.training, resample(count))
        found = Evaluation(
            subject="an array" if subject is None else str(subject.path),
            dataset=reals.source,
            figures=tuple(dict.fromkeys(chain.from_iterable(results))),
            memorization=near,
            features={each.row.name: each.note for each in extractors},
            notes=(*_warnings(len(pixels), count, request), *reals.notes),
            folder=folder,
        )
        near.save(generated, reals.training, found.picture_file, found.nearest_file)
        write_json(found.results_file, sealed(found.to_dict()))
    return found


def _read(
    subject: Subject | None, array: NDArray[np.uint8] | None, request: EvaluationRequest
) -> NDArray[np.uint8]:
    """Return the images; in the place of those that are still to be drawn, black ones."""
    if subject is None:
        return check_pixels(array, "argument `subject`")
    if subject.kind == "run":
        spec = read_spec(subject.path)
        shape = (request.num_images, spec.image_size, spec.image_size, spec.channels)
        return np.broadcast_to(np.uint8(0), shape)
    if subject.kind == "sampling":
        return read_file(SamplingRun(subject.path).images_file)
    return read_file(subject.path) if subject.kind == "file" else read_folder(subject.path)


def _fit(images: NDArray[np.uint8], reals: RealImages) -> NDArray[np.uint8]:
    shape = tuple(reals.images.shape[1:])
    return fit_reference(images, shape, "the generated images", f"'{reals.source}'")


def _warnings(found: int, count: int, request: EvaluationRequest) -> Iterator[str]:
    """Yield what people should know of the number of images."""
    if count < STEADY_IMAGES:
        yield (
            f"warning: {count:,} generated images are fewer than {STEADY_IMAGES:,}: figures are "
            "biased, FID upwards, and can be compared with those of as many images only"
        )
    if found > count:
        yield f"note: the first {count:,} of {found:,} images were taken; see --num-images"
    elif count < request.num_images:
        yield f"note: there are {count:,} generated images instead of {request.num_images:,}"
