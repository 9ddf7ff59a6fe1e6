"""Pictures and curves as text: what goes in can be read out of them again."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from gen_jax.errors import InputError
from gen_jax.report.figures import Curve, chart, data_uri, label, limits, number, thinned, ticks

RNG = np.random.default_rng(0)


def opened(uri):
    head, text = uri.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_comes_back_bit_for_bit_where_there_is_room(channels):
    picture = RNG.integers(0, 256, (40, 60, channels), np.uint8)
    back = np.asarray(opened(data_uri([picture], 100_000)).convert("RGB"))
    np.testing.assert_array_equal(back, np.broadcast_to(picture, (40, 60, 3)))


def test_an_animation_loops_for_ever_and_keeps_its_frames():
    frames = list(RNG.integers(0, 256, (5, 16, 16, 1), np.uint8))
    animation = opened(data_uri(frames, 100_000))
    assert animation.n_frames == 5 and animation.info["loop"] == 0
    animation.seek(3)
    np.testing.assert_array_equal(np.asarray(animation.convert("RGB"))[..., :1], frames[3])


def test_a_picture_never_takes_more_room_than_it_is_given():
    picture = RNG.integers(0, 256, (512, 512, 3), np.uint8)  # noise: the hardest there is
    for room in (300_000, 20_000, 2_000):
        uri = data_uri([picture], room)
        assert len(base64.b64decode(uri.split(",")[1])) <= room
    with pytest.raises(InputError, match="fewer runs"):
        data_uri([picture], 10)
    with pytest.raises(InputError, match="no picture"):
        data_uri([], 1000)


def test_thinned_keeps_both_ends():
    assert thinned(5, 9) == [0, 1, 2, 3, 4] and thinned(0, 9) == []
    for count in (10, 100, 1001):
        kept = thinned(count, 9)
        assert kept[0] == 0 and kept[-1] == count - 1 and len(kept) == 9 and kept == sorted(set(kept))


def test_ticks_are_round_and_inside():
    assert ticks(0, 1, 4) == [0, 0.5, 1]
    assert ticks(-1.1, 0.9, 4) == [-1, -0.5, 0, 0.5]
    for low, high in ((-3.7, 12.1), (1e-5, 3e-5), (0, 4000), (99.9, 100.1)):
        found = ticks(low, high, 4)
        assert 2 <= len(found) <= 9 and low <= found[0] and found[-1] <= high
        step = found[1] - found[0]
        assert f"{step:.0e}"[0] in "125" and np.allclose(np.diff(found), step)
    with pytest.raises(InputError, match="length"):
        ticks(1, 1, 4)


def test_labels_and_numbers():
    assert [label(v) for v in (0.0, 0.30000000000000004, 20_000, -1.5)] == ["0", "0.3", "20k", "\u22121.5"]
    assert [number(v) for v in (0.123456, 12345.6, 10, None, float("nan"), -2.5)] == [
        "0.1235",
        "12,346",
        "10",
        "no number",
        "no number",
        "\u22122.5",
    ]


def points(svg, kind):
    """The points [N, 2] of the path of this class, in the SVG's own units."""
    path = next(p for p in ElementTree.fromstring(svg).iter("path") if p.get("class") == kind)
    return np.array([[float(n) for n in pair.split()] for pair in re.split("[ML]", path.get("d"))[1:]])


def test_a_chart_draws_the_numbers():
    curve = Curve([10, 20, 40], [1.0, 3.0, 2.0], [0.1, 0.0, 0.2], floor=0.5)
    axes = limits([curve])
    assert axes[:2] == (10, 40) and axes[2] < 0.5 and axes[3] > 3.0
    drawn = points(chart("a", curve, axes), "line")
    # To the scale of the axes: positions are an affine function of what was measured.
    x, y = drawn.T
    np.testing.assert_allclose((x - x[0]) / (x[-1] - x[0]), [0, 1 / 3, 1], atol=1e-3)
    np.testing.assert_allclose((y - y[0]) / (y[1] - y[0]), [0, 1, 0.5], atol=2e-3)
    assert y[1] < y[0], "up is more"
    # Inside the frame (the numbers of the axes stand left of it and below), and most of its height is used.
    assert y.min() >= 0 and y.max() <= 175 and np.ptp(y) > 100 and x.min() >= 40 and x.max() <= 350
    shifted = curve._replace(values=[1001.0, 1003.0, 1002.0], floor=1000.5)
    np.testing.assert_allclose(points(chart("a", shifted, limits([shifted])), "line"), drawn, atol=0.11)
    svg = chart("a", curve, axes)
    assert svg.count('class="spread"') == 2 and svg.count('class="floor"') == 1


def test_charts_of_two_runs_on_one_pair_of_axes_can_be_compared():
    short, long = Curve([0, 50], [1.0, 2.0]), Curve([0, 100], [1.0, 5.0])
    axes = limits([short, long])
    a, b = (points(chart("a", c, axes), "line") for c in (short, long))
    np.testing.assert_allclose(a[0], b[0])
    np.testing.assert_allclose((a[1] - a[0]) / (b[1] - b[0]), [0.5, 0.25], atol=1e-3)


def test_a_hole_is_left_where_there_is_no_number():
    curve = Curve([1, 2, 3, 4], [1.0, float("nan"), 2.0, 3.0])
    svg = chart("a", curve, limits([curve]))
    path = next(p for p in ElementTree.fromstring(svg).iter("path") if p.get("class") == "line").get("d")
    assert path.count("M") == 2 and path.count("L") == 1 and "nan" not in svg
    with pytest.raises(InputError, match="finite"):
        limits([Curve([1], [float("nan")])])


def test_one_point_and_a_constant_can_be_drawn():
    for curve in (Curve([5], [2.0]), Curve([5, 6], [0.0, 0.0]), Curve([5, 6], [1e9, 1e9])):
        ElementTree.fromstring(chart("a", curve, limits([curve])))


def test_a_long_curve_is_thinned_and_smoothed_without_a_shift():
    time = np.arange(5000)
    curve = Curve(time, 3.0 * time)
    svg = chart("a", curve, limits([curve]))
    assert len(svg) < 15_000
    raw, smooth = points(svg, "raw"), points(svg, "line")
    # The centred mean of a straight line is that line, away from the ends.
    np.testing.assert_allclose(raw[20:-20], smooth[20:-20], atol=0.11)


def test_words_of_a_chart_are_escaped():
    curve = Curve([1, 2], [1.0, 2.0])
    svg = chart('<b>"&', curve, limits([curve]))
    assert ElementTree.fromstring(svg).get("aria-label").startswith('<b>"&: from 1 at step 1 to 2 at 2')
