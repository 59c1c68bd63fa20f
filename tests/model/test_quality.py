import numpy as np
import pytest
from PIL import Image, ImageFilter

from model.card import InputContract
from model.errors import ImageError
from model.preprocess import prepare
from model.quality import measure, measure_picture
from model.synthetic import encode_jpeg, render


def test_measures_by_plain_loops() -> None:
    pixels = render(0, 0, 0, height=24, width=12)
    green = pixels[..., 1].astype(float)
    values = [
        green[y - 1, x] + green[y + 1, x] + green[y, x - 1] + green[y, x + 1] - 4 * green[y, x]
        for y in range(1, 23)
        for x in range(1, 11)
    ]
    found = measure(pixels, 300)
    assert found.height == 300
    assert found.brightness == pytest.approx(green.mean(), rel=1e-4)
    assert found.contrast == pytest.approx(green.std(), rel=1e-3)
    assert found.sharpness == pytest.approx(np.log2(1 + np.var(values)), rel=1e-3)


def test_blurred_and_dark_pictures_are_told() -> None:
    pixels = render(0, 0, 0)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)))
    assert measure(blurred, 128).sharpness < measure(pixels, 128).sharpness - 1
    assert measure(pixels // 2, 128).brightness < 0.6 * measure(pixels, 128).brightness
    assert measure(np.full((8, 8, 3), 255, np.uint8), 8).sharpness == 0


def test_a_picture_is_measured_by_what_the_model_takes_and_at_its_own_height() -> None:
    data, contract = encode_jpeg(render(0, 0, 0, height=300, width=100)), InputContract(height=128, width=64)
    assert measure_picture(data, contract) == measure(prepare(data, contract), 300)
    with pytest.raises(ImageError):
        measure_picture(b"no picture", contract)
