"""Pictures and curves as text that a page can hold: data URIs and inline SVG."""

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from gen_jax.errors import InputError

_POINTS = 300  # a curve of more is drawn no better on a screen


class Curve(NamedTuple):
    """One curve: values [N] at steps [N], perhaps with spreads [N] around them and a level to compare with."""

    steps: Sequence[float]
    values: Sequence[float]
    spreads: Sequence[float] = ()
    floor: float | None = None


def data_uri(pictures: Sequence[np.ndarray], most_bytes: int, milliseconds: int = 80) -> str:
    """A WebP data URI of one picture, or of an endless animation of several.

    Lossless if that fits into `most_bytes`; then ever coarser, and at last smaller, until it does.

    Args:
      pictures: uint8 [H, W, C] of one shape, C 1 or 3.
      most_bytes: of the file; the URI is a third longer.

    Raises:
      InputError: no picture, or too little room for any.
    """
    if not len(pictures):
        raise InputError("no picture to show; give at least one")
    images = [Image.fromarray(p[..., 0] if p.shape[-1] == 1 else p).convert("RGB") for p in pictures]
    # Samples of an image are judged at the size of a screen, not beyond.
    images = [_within(image, 1024) for image in images]
    while min(images[0].size) >= 8:
        for options in ({"lossless": True}, {"quality": 90}, {"quality": 70}, {"quality": 40}):
            file = io.BytesIO()
            more = {"save_all": True, "append_images": images[1:], "duration": milliseconds, "loop": 0}
            images[0].save(file, "WEBP", **options, **(more if len(images) > 1 else {}))
            if file.tell() <= most_bytes:
                return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
        images = [_within(image, max(image.size) // 2) for image in images]
    raise InputError(f"a picture does not fit into {most_bytes} bytes; report fewer runs at once")


def _within(image, side):
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    return image.resize([max(1, round(scale * n)) for n in image.size], Image.Resampling.LANCZOS)


def thinned(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. count - 1, evenly spaced, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def limits(curves: Sequence[Curve]) -> tuple[float, float, float, float]:
    """First step, last step, lowest and highest value: axes that hold all `curves`, spreads and floors too.

    Raises:
      InputError: no finite value in any of them.
    """
    points = [
        (s, v + sign * d)
        for c in curves
        for s, v, d in zip(c.steps, c.values, c.spreads or [0.0] * len(c.steps), strict=True)
        for sign in (-1, 1)
        if math.isfinite(v)
    ]
    if not points:
        raise InputError("a curve without a finite value; leave it out")
    steps, values = zip(*points, strict=True)
    values = [*values, *(c.floor for c in curves if c.floor is not None)]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return min(steps), max(steps), low - room, high + room


def chart(name: str, curve: Curve, axes: tuple[float, float, float, float]) -> str:
    """An inline SVG of one curve on the given axes (of `limits`), its words for who cannot see it included.

    A long noisy curve is drawn pale with its running mean over a twentieth of its length on top. It takes its
    colours from the page: classes `axis`, `raw`, `line`, `dot`, `spread`, `floor`.
    """
    first, last, low, high = axes
    width, height, left, right, top, bottom = 360, 200, 52, 20, 10, 26

    def x(step):
        return left + (width - left - right) * ((step - first) / (last - first) if last > first else 0.5)

    def y(value):
        return height - bottom - (height - top - bottom) * (value - low) / (high - low)

    values = np.asarray(curve.values, np.float64)
    long = is_long(curve)
    parts = []
    for tick in ticks(low, high, 4):
        parts.append(f'<path class="axis" d="M{left} {y(tick):.1f}H{width - right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{label(tick)}</text>')
    for tick in ticks(first, last, 4) if last > first else [first]:
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{label(tick)}</text>')
    if curve.floor is not None:
        parts.append(f'<path class="floor" d="M{left} {y(curve.floor):.1f}H{width - right}"/>')
    for i in thinned(len(curve.spreads), _POINTS):
        step, value, spread = curve.steps[i], values[i], curve.spreads[i]
        if spread and math.isfinite(value):
            parts.append(f'<path class="spread" d="M{x(step):.1f} {y(value - spread):.1f}V{y(value + spread):.1f}"/>')
    parts.append(_path("raw" if long else "line", [x(s) for s in curve.steps], [y(v) for v in values]))
    if long:
        parts.append(_path("line", [x(s) for s in curve.steps], [y(v) for v in _running_mean(values)]))
    if len(values) <= 12:
        dots = [(x(s), y(v)) for s, v in zip(curve.steps, values, strict=True) if math.isfinite(v)]
        parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in dots]
    finite = values[np.isfinite(values)]
    words = f"{name}: from {number(values[0])} at step {curve.steps[0]} to {number(values[-1])} at {curve.steps[-1]}"
    if len(finite):
        words += f", lowest {number(finite.min())}, highest {number(finite.max())}"
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'


def is_long(curve: Curve) -> bool:
    """Whether a curve is drawn with its running mean."""
    return len(curve.values) >= 60 and bool(np.isfinite(curve.values).all())


def _path(kind, xs, ys):
    parts, pen = [], "M"
    for i in thinned(len(xs), _POINTS):
        if math.isfinite(ys[i]):
            parts.append(f"{pen}{xs[i]:.1f} {ys[i]:.1f}")
            pen = "L"
        else:
            pen = "M"  # a hole where there is no number
    return f'<path class="{kind}" d="{"".join(parts)}"/>'


def _running_mean(values):
    """The mean of a centred window, shorter at both ends, so that nothing is shifted."""
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    start, stop = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return (sums[stop] - sums[start]) / (stop - start)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], about so many, a step of 1, 2 or 5 times a power of ten apart."""
    if not low < high:
        raise InputError(f"no ticks between {low} and {high}; the axis needs a length")
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.99)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def label(value: float) -> str:
    """A tick in few characters: 20k, 0.5, -1.5."""
    if value and abs(value) >= 10_000:
        return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"
    return f"{round(value, 12):.6g}".replace("-", "\N{MINUS SIGN}")


def number(value: float | None, digits: int = 4) -> str:
    """A value for a reader: so many significant digits, and words where there is no number."""
    if value is None or not math.isfinite(value):
        return "no number"
    text = f"{value:,.0f}" if value == int(value) or abs(value) >= 10_000 else f"{value:.{digits}g}"
    return text.replace("-", "\N{MINUS SIGN}")
