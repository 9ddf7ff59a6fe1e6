"""What the data tests share: a cache of their own, and images written to disk."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_directory(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GEN_JAX_CACHE", str(directory))
    return directory / "data"


@pytest.fixture
def picture():
    """(number, height, width, channels) -> uint8 pixels, different for every number."""

    def make(number=0, height=8, width=8, channels=3):
        return np.random.default_rng(number).integers(0, 256, (height, width, channels), dtype=np.uint8)

    return make


@pytest.fixture
def write(picture):
    """(path, number) -> the pixels that now stand at path, as PNG."""

    def make(path, number=0, **shape):
        pixels = picture(number, **shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(path)
        return pixels

    return make
