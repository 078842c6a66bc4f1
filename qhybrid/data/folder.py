"""A folder of image files, one subfolder per class where there are classes."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qhybrid.data.catalog import Reading, split_folders, subfolders
from qhybrid.data.raw import RawImages
from qhybrid.data.sizes import fit_image_size, fitting_side, resizing_note
from qhybrid.memory import check_memory
from qhybrid_circuits.errors import RequestError

_GRAYSCALE_MODES = ("1", "L")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
_ORIENTATION = 0x0112  # the EXIF tag
_BITS_16 = 257  # 65535 / 255

_DEEP = "16 bits per channel are scaled to 8"
_TURNED = "turned as the EXIF orientation says"
_ON_WHITE = "transparent pixels are shown on white"
ONLY_GREY = "colour files that hold only grey are read as grey"


def read_folder(reading: Reading) -> RawImages:
    """Read all images; grayscale when all of them hold only grey, RGB otherwise.

    Images are resized one by one as they are read, so that originals may differ in size.

    Raises:
        RequestError: No images, an unreadable image, sizes that differ, or more than the memory
            holds.
    """
    source, path = reading.name, Path(reading.path or reading.name)
    if reading.split in split_folders(path, source):
        path /= reading.split
    samples, class_names, notes = _find_images(path, source)
    seen: Counter[str] = Counter()
    images = list(_read_images([file for file, _ in samples], reading.image_size, source, seen))
    images = in_one_form(images)
    if images[0].shape[2] == 3:
        del seen[ONLY_GREY]
    labels = np.array([label for _, label in samples], dtype=np.int64)
    notes += [f"{source}: {note} ({n} of {len(images)} images)" for note, n in seen.items()]
    return RawImages(np.stack(images), labels, class_names, source, tuple(notes))


def _find_images(
    path: Path, source: str
) -> tuple[list[tuple[str, int]], dict[int, str], list[str]]:
    """List (file, label id), the names of the classes that have images, and notes."""
    from torchvision.datasets.folder import is_image_file, make_dataset

    def is_wanted(file: str) -> bool:
        hidden = any(part.startswith(".") for part in Path(file).relative_to(path).parts)
        return is_image_file(file) and not hidden

    classes = subfolders(path, source)
    ids = {name: label for label, name in enumerate(classes)}
    samples = make_dataset(str(path), ids, is_valid_file=is_wanted, allow_empty=True) if ids else []
    beside = [file for file in map(str, sorted(path.iterdir())) if is_wanted(file)]
    if samples:
        left_out = f"{source}: {len(beside)} images beside the class folders are left out"
        used = {label for _, label in samples}
        return samples, {i: classes[i] for i in sorted(used)}, [left_out] if beside else []
    if not beside:
        where = f" or in its class folders ({', '.join(classes)})" if classes else ""
        raise RequestError(
            f"folder '{source}' has no images in it{where}; put them there, best in one subfolder "
            "per class: PNG, JPEG, BMP, TIFF, PPM, PGM and WebP files are read"
        )
    one_class = f"{source} has no class folders: all images are of one class, 'all'"
    return [(file, 0) for file in beside], {0: "all"}, [one_class]


def _read_images(
    files: list[str], image_size: int | None, source: str, seen: Counter[str]
) -> Iterator[NDArray[np.uint8]]:
    first: tuple[int, ...] = ()
    for file in files:
        image = read_image(file, seen)
        height, width = image.shape[:2]
        side = fitting_side(height, width, image_size, f"'{file}'")
        if not first:
            first = (height, width)
            several = f"{len(files)} images of {side}x{side} in {source}"
            # As read, as one array, and as a tensor.
            check_memory(9 * side * side * len(files), several, "put fewer images into it")
        if image_size is None and (height, width) != first:
            raise RequestError(
                f"image '{file}' is {width}x{height}, but '{files[0]}' is {first[1]}x{first[0]}; "
                "resize all with --set data.image_size=N"
            )
        if image_size is None and (note := resizing_note(height, side)):
            seen[note] += 1
        yield fit_image_size(image[np.newaxis], side, f"'{file}'")[0]


def in_one_form(images: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return images of (H, W, 1) and (H, W, 3) all as RGB, if one of them is, or all as grey."""
    channels = max(image.shape[2] for image in images)
    return [np.broadcast_to(image, (*image.shape[:2], channels)) for image in images]


def read_image(file: str, seen: Counter[str]) -> NDArray[np.uint8]:
    """Read one file as uint8 (H, W, 1) or (H, W, 3), counting the conversions that were made.

    Raises:
        RequestError: Not an image, damaged, more than 16 bits per channel, or too large.
    """
    if not Path(file).is_file():  # opening a named pipe would wait for ever
        raise RequestError(f"image '{file}' is not a regular file; remove or replace it")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            width, height = image.size
            # Decoded, with its transparency, on white, and as an array.
            needed, what = 14 * width * height, f"image '{file}' of {width}x{height} pixels"
            check_memory(needed, what, "make it smaller")
            if image.getexif().get(_ORIENTATION, 1) != 1:
                seen[_TURNED] += 1
            return _pixels(ImageOps.exif_transpose(image), image.format, file, seen)
    except RequestError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(
            f"image '{file}' cannot be read ({reason}); remove or replace it"
        ) from error


def _pixels(
    image: Image.Image, kind: str | None, file: str, seen: Counter[str]
) -> NDArray[np.uint8]:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and kind == "PNG"):
        seen[_DEEP] += 1
        levels = np.asarray(image).astype(np.float64)
        return np.rint(levels / _BITS_16).astype(np.uint8)[..., np.newaxis]
    if mode in ("I", "F"):
        raise RequestError(f"image '{file}' has {mode} pixels; convert it to 8 bits per channel")
    if mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            seen[_ON_WHITE] += 1
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
    if mode in _GRAYSCALE_MODES and image.mode == mode:
        return np.asarray(image.convert("L"))[..., np.newaxis]
    colours = np.asarray(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        return colours
    if mode not in ("LA", *_GRAYSCALE_MODES):
        seen[ONLY_GREY] += 1
    return colours[..., :1]
