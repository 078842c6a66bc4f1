"""Images that a model is not trained on."""

from qhybrid.data.dataset import ImageDataset
from qhybrid.data.load import load_dataset
from qhybrid.diffusion.process import Process
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError


def unseen_images(
    data: DataSection, dataset: ImageDataset, process: Process
) -> ImageDataset | None:
    """Return the test split of what a model is trained on.

    None where there is none, or none that the model can be given: those of a file may be of other
    classes, or in colour.
    """
    try:
        test = load_dataset(
            data.dataset,
            classes=data.classes,
            image_size=dataset.image_size,
            channels=dataset.channels,
            split="test",
        )
        process.check_images(test.images)
    except RequestError:
        return None
    alike = test.images.shape[1:] == dataset.images.shape[1:]
    return test if alike and test.class_names == dataset.class_names else None
