import io

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.decode import Undecodable, decode
from gen_jax.data.resize import resize


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_grey_and_colour_come_back_as_written(picture):
    colour, grey = picture(1), picture(2, channels=1)
    assert (decode(encoded(Image.fromarray(colour))) == colour).all()
    assert (decode(encoded(Image.fromarray(grey[:, :, 0]))) == grey).all()
    assert (decode(encoded(Image.fromarray(colour), "WEBP", lossless=True)) == colour).all()


def test_alpha_is_laid_on_white(picture):
    rgb = picture(1)
    alpha = np.zeros((8, 8, 1), np.uint8)
    alpha[0], alpha[1] = 255, 128
    out = decode(encoded(Image.fromarray(np.concatenate([rgb, alpha], 2))))
    assert out.shape == (8, 8, 3)
    assert (out[0] == rgb[0]).all()
    assert (out[2:] == 255).all()
    expected = rgb[1] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(out[1] - expected).max() <= 1


def test_grey_with_alpha_stays_grey(picture):
    pixels = np.concatenate([picture(1, channels=1), np.full((8, 8, 1), 255, np.uint8)], 2)
    pixels[0, :, 1] = 0
    out = decode(encoded(Image.fromarray(pixels, "LA")))
    assert out.shape == (8, 8, 1)
    assert (out[0] == 255).all()
    assert (out[1:, :, 0] == pixels[1:, :, 0]).all()


def test_palettes_are_looked_up():
    image = Image.fromarray(np.uint8([[0, 1], [2, 0]]), "P")
    image.putpalette([10, 20, 30, 200, 100, 50, 1, 2, 3])
    expected = [[[10, 20, 30], [200, 100, 50]], [[1, 2, 3], [10, 20, 30]]]
    assert decode(encoded(image)).tolist() == expected
    expected[1][0] = [255, 255, 255]
    assert decode(encoded(image, transparency=2)).tolist() == expected


def test_sixteen_bits_are_scaled():
    values = np.uint16([[0, 257 * 7, 65535], [128, 129, 65535 - 128]])
    out = decode(encoded(Image.fromarray(values)))
    assert out[:, :, 0].tolist() == [[0, 7, 255], [0, 1, 255]]


def test_one_bit_is_black_and_white():
    image = Image.fromarray(np.array([[True, False], [False, True]]))
    assert decode(encoded(image))[:, :, 0].tolist() == [[255, 0], [0, 255]]


def test_exif_orientation_is_applied():
    pixels = np.zeros((16, 8), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    out = decode(encoded(Image.fromarray(pixels), "JPEG", exif=exif, quality=95))
    assert out.shape == (8, 16, 1)
    assert out[:, 10:].min() > 200 and out[:, :6].max() < 50  # the top has become the right


def test_bytes_that_are_no_image_are_refused(picture):
    whole = encoded(Image.fromarray(picture(height=64, width=64)))
    for bad in (b"", b"hello", whole[: len(whole) // 2], whole[:10]):
        with pytest.raises(Undecodable):
            decode(bad)


def test_nothing_to_do_returns_the_input(picture):
    image = picture()
    assert resize(image) is image
    assert resize(image, image_size=8, channels=3) is image


def test_crop_without_scaling_is_exact(picture):
    wide, tall = picture(height=8, width=13), picture(height=13, width=8)
    assert (resize(wide, image_size=8) == wide[:, 2:10]).all()
    assert (resize(tall, image_size=8) == tall[2:10]).all()


def test_crop_scales_the_shorter_side_and_keeps_the_centre():
    # Three stripes: the outer ones lie outside the centre square.
    image = np.zeros((32, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    out = resize(image, image_size=16)
    assert out.shape == (16, 16, 3)
    assert (out == [0, 255, 0]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_crop_does_not_see_beyond_its_edge(picture, channels):
    tall, wide = picture(height=31, width=12, channels=channels), picture(height=12, width=31, channels=channels)
    assert (resize(tall, image_size=7) == resize(tall[9:21], image_size=7, mode="stretch")).all()
    assert (resize(wide, image_size=7) == resize(wide[:, 9:21], image_size=7, mode="stretch")).all()


def test_the_two_sides_may_differ(picture):
    tall, wide = picture(height=13, width=8), picture(height=8, width=13)
    assert resize(tall, image_size=(13, 8)) is tall
    assert (resize(tall, image_size=(4, 8)) == tall[4:8]).all()  # twice as wide as high: 4 of the 13 rows
    assert (resize(wide, image_size=(8, 6)) == wide[:, 3:9]).all()
    assert resize(tall, image_size=(5, 9), channels=1).shape == (5, 9, 1)
    assert resize(picture(height=1, width=9), image_size=(4, 4)).shape == (4, 4, 3)
    assert resize(tall, image_size=(5, 9), mode="stretch").shape == (5, 9, 3)


def test_stretch_ignores_the_aspect():
    image = np.zeros((32, 96, 1), np.uint8)
    image[:, 72:] = 255  # the last quarter, which a crop would not show
    out = resize(image, image_size=16, mode="stretch")
    assert out.shape == (16, 16, 1)
    assert (out[:, :10] == 0).all() and (out[:, -2:] == 255).all()


def test_scaling_down_is_antialiased():
    # A one-pixel chequerboard has no content below its frequency: the mean is all that is left.
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    out = resize(board.astype(np.uint8)[:, :, None], image_size=8)
    assert np.abs(out.astype(int) - 127.5).max() < 8


def test_channels(picture):
    colour, grey = picture(1), picture(2, channels=1)
    assert (resize(grey, channels=3) == np.repeat(grey, 3, 2)).all()
    luma = resize(colour, channels=1)
    assert luma.shape == (8, 8, 1)
    assert np.abs(luma[:, :, 0] - colour @ [0.299, 0.587, 0.114]).max() <= 1
    assert resize(colour, image_size=4, channels=1).shape == (4, 4, 1)
    assert resize(grey, image_size=16, channels=3).shape == (16, 16, 3)
