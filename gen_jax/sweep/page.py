"""report.html of a sweep: the ranking, what the metric depends on, curves, samples; one page that needs no network."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

import gen_jax.report
from gen_jax.errors import InputError
from gen_jax.report.figures import Curve, data_uri, label, limits, number, thinned, ticks
from gen_jax.runtime.logbook import write_text
from gen_jax.sweep.grammar import short_names
from gen_jax.sweep.plan import Plan, brief
from gen_jax.sweep.prune import mean_curve
from gen_jax.sweep.results import Cell, Results, names_of
from gen_jax.sweep.state import curve
from gen_jax.version import __version__

_SHOWN = 4  # cells whose samples are shown
_CURVES = 60  # cells whose curves are drawn
_PICTURES = 3_000_000  # bytes of all pictures


def write(folder: Path, plan: Plan, results: Results, importance: Mapping[str, float]) -> Path:
    """Writes the page.

    Args:
      importance: field -> its share of what the metric varies by; empty where it is not known.
    """
    sections = [
        ("cells", "Cells", "Ranked by the mean over seeds; +- is their standard deviation.", _table(results)),
        ("fields", "Fields", "A line a cell; the best stands out.", _parallel(results)),
        ("importance", "Importance", "Shares of what the metric varies by (PED-ANOVA).", _importance(importance)),
        ("curves", "Learning curves", "Means over the seeds; the best cell stands out.", _curves(results)),
        ("samples", "Samples", "Of the best cells, the first seed of each at its last step.", _samples(results)),
    ]
    shown = [section for section in sections if section[3]]
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _, _ in shown)
    body = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>'
        f'<p>{lead}</p><div class="columns" style="--runs: 1"><div class="column">{part}</div></div></section>'
        for anchor, title, lead, part in shown
    )
    name = escape(folder.resolve().name)
    fixed = " ".join(f"{path}={text}" for path, text in plan.fixed)
    lead = f"{escape(plan.config)} {escape(fixed)} · {_counted(results)}"
    page = (
        f'<header><h1>{name}</h1><p class="lead">{lead}</p></header>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        f"<footer><p>Generated images are AI-generated. Written by gen_jax {escape(__version__)}.</p></footer>"
    )
    template = Template(Path(gen_jax.report.__file__).with_name("page.html").read_text())
    write_text(folder / "report.html", template.substitute(title=f"{name} · gen_jax", body=page))
    return folder / "report.html"


def _counted(results):
    states = [row.seen.state for cell in results.cells for row in cell.rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(results.cells)} cells, {len(states)} runs: {counts}"


def _told(names, cell):
    """The values of a cell by the short names of their fields."""
    return ", ".join(f"{names[path]}={brief(text)}" for path, text in cell.swept)


def _table(results):
    names = names_of(results)
    figure = lambda value: f'<td class="figure">{"" if value is None else number(value)}</td>'
    head = ["", "cell", *names.values(), results.metric or "value", "+-", "seeds", ""]
    rows = []
    for cell in results.cells:
        swept = "".join(f"<td>{escape(brief(dict(cell.swept).get(path, '')))}</td>" for path in names)
        done = sum(row.seen.state == "done" for row in cell.rows)
        why = next((row.seen.why for row in cell.rows if row.seen.why and row.seen.state != "done"), "")
        rows.append(
            f'<tr><th scope="row">{cell.rank or ""}</th><td>{cell.number:04d}</td>{swept}{figure(cell.mean)}'
            f'{figure(cell.spread)}<td class="figure">{done} of {len(cell.rows)}</td><td>{escape(why[:120])}</td></tr>'
        )
    heads = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _whole(results) -> list[Cell]:
    """The ranked cells, the best last, so that it is drawn on top."""
    return [cell for cell in results.cells if cell.rank][::-1]


def _parallel(results):
    """Parallel coordinates: an axis a field and one for the metric."""
    cells, names = _whole(results), names_of(results)
    if len(cells) < 2 or not names:
        return ""
    width, height, left, right, top, bottom = 720, 300, 60, 60, 34, 16
    columns = [*names, None]
    across = [left + (width - left - right) * i / (len(columns) - 1) for i in range(len(columns))]
    parts, words_on_top, places = [], [], []
    readable = 'style="paint-order: stroke; stroke: var(--paper); stroke-width: 5"'
    for x, path in zip(across, columns, strict=True):
        values = [cell.mean if path is None else dict(cell.swept).get(path, "") for cell in cells]
        where, marks = _axis(values)
        y = lambda share: height - bottom - (height - top - bottom) * share
        places.append([y(share) for share in where])
        name = results.metric if path is None else names[path]
        parts.append(f'<path class="axis" d="M{x:.1f} {top}V{height - bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="14" text-anchor="middle">{escape(name)}</text>')
        # Values stand left of their axis, but those of the last: lines come from the left.
        anchor, shift = ("start", 6) if path is None else ("end", -6)
        for text, share in marks:
            at = f'x="{x + shift:.1f}" y="{y(share) + 4:.1f}"'
            words_on_top.append(f'<text {at} text-anchor="{anchor}" {readable}>{escape(text[:14])}</text>')
    for i, cell in enumerate(cells):
        points = "L".join(f"{x:.1f} {column[i]:.1f}" for x, column in zip(across, places, strict=True))
        title = f"<title>{escape(f'{_told(names, cell)}: {results.metric} {number(cell.mean)}')}</title>"
        parts.append(f'<path class="{"line" if cell.rank == 1 else "raw"}" d="M{points}">{title}</path>')
    parts += words_on_top
    best = cells[-1]
    words = f"Parallel coordinates of {len(cells)} cells; best: " + ", ".join(f"{p}={t}" for p, t in best.swept)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'


def _axis(values: Sequence) -> tuple[list[float], list[tuple[str, float]]]:
    """Shares of the height for values, and what is written beside the axis; numbers of decades by their logarithm."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        texts = list(dict.fromkeys(values))
        place = {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}
        return [place[value] for value in values], list(place.items())
    low, high = min(numbers), max(numbers)
    scale = math.log if low > 0 and high / low >= 30 else float
    low, high = scale(low), scale(high)
    share = lambda x: (scale(x) - low) / (high - low) if high > low else 0.5
    distinct = sorted(set(numbers))
    marks = distinct if len(distinct) <= 8 else [distinct[0], distinct[-1]]
    return [share(x) for x in numbers], [(f"{x:.3g}", share(x)) for x in marks]


def _importance(shares):
    if not shares:
        return ""
    names, width, row = short_names(shares), 720, 30
    parts = []
    for i, (path, share) in enumerate(sorted(shares.items(), key=lambda pair: -pair[1])):
        y, length = row * i, 440 * share
        parts.append(f'<text x="150" y="{y + 20}" text-anchor="end">{escape(names[path])}</text>')
        parts.append(f'<rect class="dot" x="160" y="{y + 6}" width="{max(length, 1):.1f}" height="18" rx="3"/>')
        parts.append(f'<text x="{168 + length:.1f}" y="{y + 20}">{share:.0%}</text>')
    words = ", ".join(f"{names[path]} {share:.0%}" for path, share in shares.items())
    svg = f'viewBox="0 0 {width} {row * len(shares)}" role="img" aria-label="{escape(words)}"'
    return f"<svg {svg}>{''.join(parts)}</svg>"


def _curves(results):
    if not results.metric:
        return ""
    ordered = [cell for cell in results.cells if cell.rank] + [cell for cell in results.cells if not cell.rank]
    drawn = []
    for cell in ordered[:_CURVES]:
        found = mean_curve([curve(row.run.path, results.metric) for row in cell.rows])
        if len(found) > 1:
            drawn.append((cell, Curve(list(found), list(found.values()))))
    try:
        first, last, low, high = limits([one for _, one in drawn])
    except (InputError, ValueError):
        return ""
    width, height, left, right, top, bottom = 720, 320, 60, 20, 10, 28
    x = lambda step: left + (width - left - right) * (step - first) / ((last - first) or 1)
    y = lambda value: height - bottom - (height - top - bottom) * (value - low) / (high - low)
    parts = []
    for tick in ticks(low, high, 5):
        parts.append(f'<path class="axis" d="M{left} {y(tick):.1f}H{width - right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{label(tick)}</text>')
    for tick in ticks(first, last, 6):
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{label(tick)}</text>')
    names = names_of(results)
    for cell, one in drawn[::-1]:
        points = "L".join(f"{x(one.steps[i]):.1f} {y(one.values[i]):.1f}" for i in thinned(len(one.steps), 300))
        told = _told(names, cell) or f"cell {cell.number}"
        parts.append(
            f'<path class="{"line" if cell.rank == 1 else "raw"}" d="M{points}"><title>{escape(told)}</title></path>'
        )
    left_out = len(ordered) - len(drawn)
    note = f'<p class="note">{left_out} cells are not drawn.</p>' if left_out else ""
    words = f"{results.metric} by step of {len(drawn)} cells"
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>{note}'


def _samples(results):
    names, figures = names_of(results), []
    for cell in [cell for cell in results.cells if cell.rank][:_SHOWN]:
        grids = sorted((cell.rows[0].run.path / "samples").glob("step_*.png"))
        try:
            with Image.open(grids[-1]) as image:
                picture = np.asarray(image.convert("RGB"))
        except (IndexError, OSError, ValueError, SyntaxError):  # none was drawn, or it cannot be read
            continue
        told = _told(names, cell)
        caption = f"<b>{cell.rank}.</b> {escape(told)} · {escape(results.metric)} {number(cell.mean)}"
        uri = data_uri([picture], _PICTURES // _SHOWN)
        figures.append(
            f'<figure><img src="{uri}" alt="{escape(f"Samples of {told}")}"><figcaption>{caption}</figcaption></figure>'
        )
    return f'<div class="tiles beside">{"".join(figures)}</div>' if figures else ""
