import numpy as np
import pytest


@pytest.fixture
def rounds(rng) -> list[np.ndarray]:
    return [rng.normal(size=(3, 2)) for _ in range(3)]
