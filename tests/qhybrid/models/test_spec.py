import subprocess
import sys

import pytest

from qhybrid.models.image_sizes import IMAGE_SIZES, level_sizes, multipliers
from qhybrid.models.rows import MODEL_NAMES, MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid_circuits.errors import RequestError, UnknownNameError


@pytest.mark.parametrize(
    ("size", "expected"),
    [(8, (8, 4, 2)), (16, (16, 8, 4, 2)), (28, (28, 14, 7, 2)), (32, (32, 16, 8, 4, 2))],
)
def test_every_size_has_a_path_to_the_vertex(size: int, expected: tuple[int, ...]) -> None:
    assert level_sizes(size) == expected
    assert len(multipliers(size)) == len(expected)
    assert ModelSpec("unet", image_size=size).vertex_channels == 40


@pytest.mark.parametrize("size", [0, 2, 7, 27, 30, 64])
def test_other_sizes_are_refused_with_the_list(size: int) -> None:
    with pytest.raises(RequestError, match="8, 16, 28, 32") as caught:
        multipliers(size)
    assert str(size) in str(caught.value)
    with pytest.raises(RequestError, match="8, 16, 28, 32"):
        ModelSpec("unet", image_size=size)


def test_misspelled_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 1hqconv-qvunet"):
        ModelSpec("1hqconv-qvnet")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("channels", 2, "1, 3"),
        ("channels", 1.0, "whole number"),
        ("dim", 1, "2 to 1024"),
        ("dim", 10**8, "2 to 1024"),
        ("dim", True, "whole number"),
        ("ansatz_layers", 0, "1 to 1000"),
        ("ansatz_layers", 10**8, "1 to 1000"),
        ("image_size", "28", "whole number"),
        ("variant", "relesed", "did you mean released"),
    ],
)
def test_bad_fields_are_refused_in_one_line(field: str, value: object, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        ModelSpec.from_dict({"name": "unet", field: value})
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layers", [0, 1001, 1.0, True, "2"])
def test_layers_of_quanvolution_are_checked(layers: object) -> None:
    with pytest.raises(RequestError, match="quanvolution_layers must be 1 to 1000, but is"):
        ModelSpec("quanvunet", quanvolution_layers=layers)
    with pytest.raises(RequestError, match="a setting of quanvunet, fqconv-quanvunet"):
        ModelSpec("unet", quanvolution_layers=layers)
    spec = ModelSpec("quanvunet", variant="one-block", quanvolution_layers=2)
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert "quanvolution_layers" not in ModelSpec("quanvunet").to_dict()


def test_dict_round_trip() -> None:
    spec = ModelSpec("7fqconv-qvunet", 16, 3, dim=12, ansatz_layers=2, variant="released")
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_unknown_and_missing_keys_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean image_size"):
        ModelSpec.from_dict({"name": "unet", "imagesize": 28})
    with pytest.raises(RequestError, match="needs a name"):
        ModelSpec.from_dict({"image_size": 28})


def test_names_catalog_and_spec_need_no_torch() -> None:
    program = (
        "import sys; from qhybrid.models.catalog import catalog; "
        "from qhybrid.models.model_file import read_spec; "
        "from qhybrid.models.spec import ModelSpec; "
        "ModelSpec('unet'); catalog(); "
        "sys.exit(bool({'torch', 'qiskit', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_built_in_name_has_a_row_and_sizes_start_at_one() -> None:
    assert tuple(MODELS) == MODEL_NAMES
    assert all(row.summary and row.paper for row in MODELS.values())
    assert all(sizes[0] == 1 for sizes in IMAGE_SIZES.values())
