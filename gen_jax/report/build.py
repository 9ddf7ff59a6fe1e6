"""report(runs): one self-contained HTML file on a run, or on several side by side.

Each section is a function of one run (a `Subject`) that returns HTML, or None where the run's Method cannot
do what the section shows: such a section is left out. What is missing for another reason, data that did not
travel with the run, say, is told in a sentence.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from gen_jax import randomness
from gen_jax.compare import along_training, differences, protocol
from gen_jax.config import base, flatten, to_json
from gen_jax.config.load import complete
from gen_jax.data.dataset import Dataset
from gen_jax.data.images import evenly
from gen_jax.diagnose import diagnose
from gen_jax.errors import InputError
from gen_jax.evaluate import as_seen
from gen_jax.metrics.neighbours import nearest
from gen_jax.pictures import grid, to_uint8
from gen_jax.report.figures import Curve, chart, data_uri, limits, number, thinned
from gen_jax.run import Run
from gen_jax.runtime.logbook import read_rows, write_text
from gen_jax.sample import BLOCK
from gen_jax.train import check_same_data
from gen_jax.version import __version__

# Of all pictures together; base64 makes them a third longer, and the page is to stay under 5 MB.
_PICTURES = 3_300_000
_STEPS = 16  # grids behind the slider
_SCANNED = 256  # samples whose nearest training images are looked for
_MOST_TRAINING = (10_000, 2**26)  # training images and numbers in them that are compared with
_PAIRS = 12
_TRAVERSALS = 6
_NAMED = 4  # fields of a protocol that a mark names
# What a record says of the model, or of the moment, rather than of how it was measured.


class Subject(NamedTuple):
    """One run with what lies in its directory, read once."""

    run: Run
    rows: list[dict]  # metrics.jsonl
    timing: list[dict]
    records: list[dict]  # evaluations.jsonl
    train: Dataset | None
    test: Dataset | None
    absent: str  # why there is no data; "" where there is
    room: int  # bytes for all pictures


def report(runs: Sequence[Run], out: Path | None = None) -> Path:
    """Writes one HTML file on `runs`, which needs nothing beside it: no network, no other file.

    Args:
      runs: opened runs (`gen_jax.load`), one or more; several stand side by side in columns, on equal axes.
      out: the file; report.html in the run's directory where None, comparison.html in that of the first of several.

    Returns:
      The file, under 5 MB.

    Raises:
      InputError: no run, a record in its directory that cannot be read, or a file that cannot be written.
    """
    if not runs:
        raise InputError("no run to report on; give at least one")
    out = Path(out) if out else runs[0].path / ("report.html" if len(runs) == 1 else "comparison.html")
    subjects = [_subject(run, _PICTURES // len(runs)) for run in runs]
    names = [escape(_name(s)) for s in subjects]
    sections, links = [], []
    for anchor, title, lead, build in (
        ("overview", "Overview", "", _overview),
        (
            "diagnostics",
            "Diagnostics",
            "Rules of thumb over the recorded numbers; their thresholds are in the code.",
            None,
        ),
        ("steps", "Samples by step", "The same seeds at every step.", _steps),
        ("reals", "Real and generated", "", _reals),
        (
            "scores",
            "Scores",
            "The latest of each, with the protocol that it was measured under.",
            partial(_scores, subjects),
        ),
        ("reconstructions", "Reconstructions", "Test images, each followed by what came back.", _reconstructions),
        ("interpolation", "Interpolation", "From seed to seed on the sphere of latents, and round.", _interpolation),
        (
            "neighbours",
            "Neighbours",
            "Each pair: a sample, and the training image nearest to it.",
            _neighbours,
        ),
        (
            "traversals",
            "Traversals",
            "One dimension of the latents moved from \N{MINUS SIGN}3 to 3, the others held.",
            _traversals,
        ),
        (
            "training",
            "Training",
            "What was recorded by step; pale: as it came, dark: its running mean.",
            partial(_training, subjects),
        ),
        ("evaluations", "Scores by step", "Dashed: the same score of real images.", partial(_evaluations, subjects)),
        ("config", "Configuration", "Fields that differ from the defaults of the method.", _config),
    ):
        parts = [(build or _diagnostics)(subject) for subject in subjects]
        if all(part is None for part in parts):
            continue
        parts = [part or "<p>This model cannot do that.</p>" for part in parts]
        if len(parts) > 1:
            parts = [f"<h3>{name}</h3>{part}" for name, part in zip(names, parts, strict=True)]
        columns = "".join(f'<div class="column">{part}</div>' for part in parts)
        sections.append(
            f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>'
            + (f"<p>{lead}</p>" if lead else "")
            + f'<div class="columns" style="--runs: {len(parts)}">{columns}</div></section>'
        )
        links.append(f'<li><a href="#{anchor}">{title}</a></li>')
    title = " and ".join(names)
    configs = " · ".join(dict.fromkeys(escape(_asked(s)["config"]) for s in subjects))
    body = (
        f'<header><h1>{title}</h1><p class="lead">{configs}</p></header>'
        f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav><main>{"".join(sections)}</main>'
        f"<footer><p>Generated images are AI-generated. Written by gen_jax {escape(__version__)}.</p></footer>"
    )
    template = Template(Path(__file__).with_name("page.html").read_text())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, template.substitute(title=f"{title} · gen_jax", body=body))
    except OSError as error:
        raise InputError(f"cannot write {out} ({error.strerror or error}); choose another --out") from error
    return out


def _subject(run, room):
    rows, timing, records = (_read(run.path / f"{name}.jsonl") for name in ("metrics", "timing", "evaluations"))
    try:
        train, test = run.dataset("train"), run.dataset("test")
        check_same_data(train, run.path)
        absent = ""
    except InputError as error:
        train = test = None
        absent = f"The data of this run is not at hand ({error})."
    return Subject(run, rows, timing, records, train, test, absent, room)


def _read(path):
    if not path.exists():
        return []
    try:
        return read_rows(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); mend or remove it") from error


def _json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _name(subject):
    return subject.run.path.resolve().name


def _asked(subject):
    """How the config was asked for; runs of a notebook have no name for it."""
    asked = _json(subject.run.path / "overrides.json")
    return {"config": asked.get("config") or subject.run.config.method, "overrides": asked.get("overrides") or {}}


def _note(text):
    return f'<p class="note">{escape(text)}</p>'


def _facts(pairs):
    return f'<dl class="facts">{"".join(f"<dt>{escape(k)}</dt><dd>{v}</dd>" for k, v in pairs)}</dl>'


def _image(subject, picture, share, alt, attributes=""):
    """An <img> of a uint8 [H, W, C] picture, or of several as an animation, in its share of the run's room."""
    pictures = picture if isinstance(picture, list) else [picture]
    uri = data_uri(pictures, int(subject.room * share))
    return f'<img src="{uri}" alt="{escape(alt)}" {attributes}>'


def _overview(subject):
    run, path = subject.run, subject.run.path
    asked, env = _asked(subject), _json(path / "env.json")
    total = run.config.train.steps
    last = subject.rows[-1]["step"] if subject.rows else run.step
    if (path / "DONE").exists():
        status = "finished"
    elif (path / "FAILED.txt").exists():
        lines = (path / "FAILED.txt").read_text().strip().splitlines()
        status = f"failed: {lines[-1] if lines else 'no reason was written'}"
    else:
        status = "unfinished; the same train command goes on from the last checkpoint"
    resumed = len(list(path.glob("env.resumed-*.json")))
    commit = env.get("git_commit")
    devices = [f"{n} \N{MULTIPLICATION SIGN} {name}" for name, n in Counter(env.get("devices", [])).items()]
    pairs = [
        ("Config", escape(asked["config"])),
        ("Changed", " ".join(f"<code>{escape(f'{k}={v}')}</code>" for k, v in asked["overrides"].items()) or "nothing"),
        ("Status", escape(status) + (f"; resumed {resumed} time{'s' * (resumed > 1)}" if resumed else "")),
        ("Steps", f"{last:,} of {total:,}; shown here: the checkpoint of step {run.step:,}, {run.weights} weights"),
        ("Time", _duration(_seconds(subject.timing)) if subject.timing else "not recorded"),
        ("Devices", escape(", ".join(devices)) or "not recorded"),
        ("Data", escape(f"{run.config.data.name}, {run.spec.size:,} training images of {_shape(run.spec.shape)}")),
        (
            "Version",
            escape(f"gen_jax {env.get('gen_jax', 'unknown')}, jax {env.get('packages', {}).get('jax', 'unknown')}"),
        ),
        (
            "Commit",
            f"<code>{escape(commit[:12])}</code>{', with changes not committed' if env.get('git_diff') else ''}"
            if commit
            else "not a checkout",
        ),
    ]
    return f'<div class="card">{_facts(pairs)}</div>'


def _shape(shape):
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


def _seconds(timing):
    """Seconds in the loop: the clock starts anew where a run was resumed, so that each part counts to its end."""
    seconds = [row["seconds"] for row in timing]
    return sum(a for a, b in zip(seconds, seconds[1:], strict=False) if b < a) + seconds[-1]


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s in the loop"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min in the loop" if minutes >= 90 else f"{minutes} min in the loop"


def _diagnostics(subject):
    verdicts = diagnose(subject.rows, subject.records)
    if not verdicts:
        return _note("Nothing has been recorded yet that could be judged.")
    items = "".join(
        f'<li><span class="level {v.level}">{v.level}</span><span><strong>{escape(v.name)}.</strong>'
        f" {escape(v.sentence)}</span></li>"
        for v in verdicts
    )
    return f'<div class="card"><ul class="verdicts">{items}</ul></div>'


def latest(records: Sequence[Mapping]) -> list[dict]:
    """The last record of each metric, weights and checkpoint, in order of the metric's first appearance.

    What was measured while training makes room for a later score of the final or the best checkpoint.
    """
    last = {}
    for record in records:
        # Older records name no checkpoint; they are of the last one.
        key = (record["metric"], record.get("weights"), record.get("checkpoint", "final"))
        last.pop(key, None)
        last[key] = record
    settled = {key[:2] for key in last if key[2] != "training"}
    order = list(dict.fromkeys(record["metric"] for record in records))
    kept = [r for key, r in last.items() if key[2] != "training" or key[:2] not in settled]
    return sorted(kept, key=lambda r: order.index(r["metric"]))


def _scores(subjects, subject):
    if not subject.records:
        command = f"gen-jax evaluate {subject.run.path}"
        return f'<p class="note">No score yet. Make them with <code>{escape(command)}</code></p>'
    rows = []
    for record in latest(subject.records):
        around = record.get("spread")
        error = f" ± {number(around, 2)}" if around is not None else ""
        if around is None and record.get("standard_error") is not None:
            error = f" ± {number(record['standard_error'], 2)} s.e."
        unit = f" {escape(str(record['unit']))}" if record.get("unit") else ""
        value = f"{number(record.get('value'))}{error}{unit}"
        if record.get("refused"):
            value = f'refused<span class="why">{escape(record["refused"])}</span>'
        real = record.get("floor", record.get("of_real_images"))
        where = f"step {record['step']:,}" if "step" in record else ""
        kind = " · ".join(str(record[k]) for k in ("checkpoint", "weights") if record.get(k))
        rows.append(
            f'<tr><th scope="row">{escape(record["metric"])}{_marks(subjects, subject, record)}</th>'
            f'<td class="figure">{value}</td>'
            f'<td class="figure">{number(real) if real is not None else ""}</td>'
            f'<td class="of">{where}<br><span class="note">{escape(kind)}</span></td>'
            f"<td><details><summary>protocol</summary>"
            f"{_facts((k, f'<code>{escape(str(v))}</code>') for k, v in protocol(record).items())}</details></td></tr>"
        )
    head = "".join(
        f'<th scope="col"{c}>{t}</th>'
        for t, c in (
            ("Score", ""),
            ("Value", ' class="figure"'),
            ("Real images", ' class="figure"'),
            ("Of", ""),
            ("Measured", ""),
        )
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Scores of {escape(_name(subject))}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">± is the spread over sampling seeds, or, marked s.e., the standard error over images.</p>'
    )


def _marks(subjects, subject, record):
    """What must be said before this number is compared with the others of its name."""
    told = {}
    for other in subjects:
        rivals = subject.records if other is subject else latest(other.records)
        # Judgements of training are quick ones; their curve is told of elsewhere.
        rivals = [r for r in rivals if r["metric"] == record["metric"] and r.get("checkpoint") != "training"]
        # Of the same weights; those of another run, where it has no such, of others too.
        same = [r for r in rivals if r.get("weights") == record.get("weights")]
        for rival in same if same or other is subject else rivals:
            fields = list(differences(record, rival))
            if fields:
                told[_name(other) if other is not subject else "an earlier one here"] = fields
    return "".join(
        f"<mark>measured otherwise than {escape(who)}: {escape(', '.join(fields[:_NAMED]))}"
        + (f" and {len(fields) - _NAMED} more</mark>" if len(fields) > _NAMED else "</mark>")
        for who, fields in told.items()
    )


def _steps(subject):
    if subject.run.method.sample is None:
        return None
    files = sorted(subject.run.path.glob("samples/step_*.png"))
    if not files:
        return _note("No grid was drawn while training; set train.sample_every.")
    files = [files[i] for i in thinned(len(files), _STEPS)]
    images = []
    for i, file in enumerate(files):
        name = f"step {int(file.stem.removeprefix('step_')):,}"
        hidden = "" if i == len(files) - 1 else "hidden"
        images.append(
            _image(subject, _opened(file), 0.45 / len(files), f"Samples at {name}", f'data-name="{name}" {hidden}')
        )
    last = len(files) - 1
    return (
        f'<div class="grids"><label class="slider"><span>Step</span>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1"><output></output></label>'
        f"{''.join(images)}</div>"
    )


def _opened(file):
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error}); remove it") from error


def _reals(subject):
    run = subject.run
    if run.method.sample is None:
        return None
    if (run.path / "reals.png").exists():
        reals = _opened(run.path / "reals.png")
    elif subject.train:
        reals = grid(subject.train.gather(evenly(subject.train.spec.size, 64))["image"])
    else:
        reals = None
    samples = _image(subject, grid(run.sample(seed=0, count=64)), 0.1, "Samples")
    figures = [f"<figure>{samples}<figcaption>Samples of seeds 0 to 63 at step {run.step:,}</figcaption></figure>"]
    if reals is None:
        return _note(subject.absent) + figures[0]
    picture = _image(subject, reals, 0.1, "Real images")
    figures.insert(0, f"<figure>{picture}<figcaption>Training images</figcaption></figure>")
    return f'<div class="tiles beside">{"".join(figures)}</div>'


def _reconstructions(subject):
    run, test = subject.run, subject.test
    if run.method.reconstruct is None:
        return None
    if test is None:
        return _note(subject.absent)
    index = evenly(test.spec.size, 32)
    batch = as_seen(test, {**test.gather(index), "index": index}, seed=0)
    label = batch["condition"]["label"] if run.config.model.get("conditional") else None
    again = run.reconstruct(batch["image"], label)
    pairs = np.stack([batch["image"], again], axis=1).reshape(-1, *again.shape[1:])
    picture = _image(subject, grid(pairs, columns=8), 0.08, "Test images and their reconstructions")
    caption = "Left of each pair the test image as the model sees it, right the reconstruction"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _interpolation(subject):
    run = subject.run
    if run.method.decode is None or run.method.latents is None:
        return None
    loops = [run.interpolate(range(first, first + 3), frames=12) for first in (0, 3, 6, 9)]
    frames = [grid(np.stack(images), columns=4) for images in zip(*loops, strict=True)]
    alt = "Four loops, each through three seeds"
    still = data_uri(frames[:1], int(subject.room * 0.02))
    moving = _image(subject, frames, 0.13, alt)
    # Who asks for less motion gets the first frame.
    return (
        f'<figure><picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">{moving}</picture>'
        f"<figcaption>{alt}: 0 to 2, 3 to 5, 6 to 8, 9 to 11</figcaption></figure>"
    )


def _neighbours(subject):
    run, train, test = subject.run, subject.train, subject.test
    if run.method.sample is None:
        return None
    if train is None:
        return _note(subject.absent)
    most, numbers = _MOST_TRAINING
    index = evenly(train.spec.size, max(1, min(most, numbers // int(np.prod(train.spec.shape)))))
    known = train.gather(index)["image"]
    samples = run.sample(seed=0, count=_SCANNED)
    tests = test.gather(evenly(test.spec.size, _SCANNED))["image"]
    which, distance = nearest(_flat(samples), _flat(known))
    _, usual = nearest(_flat(tests), _flat(known))
    figures = []
    for i in np.argsort(distance)[:_PAIRS]:
        pair = grid(np.stack([samples[i], known[which[i]]]), columns=2)
        picture = _image(subject, pair, 0.08 / _PAIRS, f"Sample of seed {i} and its nearest training image")
        figures.append(f"<figure>{picture}<figcaption><b>{number(distance[i])}</b> seed {i}</figcaption></figure>")
    compared = f"{len(known):,} training images" + ("" if len(known) == train.spec.size else f" of {train.spec.size:,}")
    return (
        f'<div class="tiles pairs">{"".join(figures)}</div>'
        f'<p class="note">The {len(figures)} closest of {_SCANNED} samples, by Euclidean distance of pixels in [0, 1]'
        f" to {compared}. The median over all these samples is {number(float(np.median(distance)))}; of"
        f" {len(tests)} test images to the same training images it is {number(float(np.median(usual)))}. Samples much"
        " closer than test images are copies.</p>"
    )


def _flat(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255.0


def _traversals(subject):
    run = subject.run
    if run.method.decode is None or run.method.latents is None:
        return None
    decode, latents = jax.jit(run.method.decode), jax.jit(run.method.latents)
    start = np.asarray(latents(run.variables, randomness.image_keys(np.arange(1))))[0]
    conditional = run.config.model.get("conditional")

    def images(points):
        """uint8 [N, H, W, C] of latents [N, Z], in blocks of one size: one compilation."""
        out = []
        for first in range(0, len(points), BLOCK):
            part = points[np.minimum(np.arange(first, first + BLOCK), len(points) - 1)]
            condition = {"label": np.zeros(BLOCK, np.int32)} if conditional else None
            out.append(to_uint8(decode(run.variables, part, condition)))
        return np.concatenate(out)[: len(points)]

    def moved(dimension, value):
        point = start.copy()
        point[dimension] = value
        return point

    size = len(start)
    ends = images(np.stack([moved(d, v) for v in (-3, 3) for d in range(size)])).astype(np.float32) / 255.0
    effect = np.abs(ends[size:] - ends[:size]).reshape(size, -1).mean(axis=1)
    strips = []
    chosen = np.argsort(-effect, kind="stable")[:_TRAVERSALS]
    for d in chosen:
        strip = grid(images(np.stack([moved(d, v) for v in range(-3, 4)])), columns=7)
        picture = _image(subject, strip, 0.07 / len(chosen), f"Latent {d} from -3 to 3")
        caption = f"<b>latent {d}</b><br>effect {number(float(effect[d]))}"
        strips.append(f'<figure class="strip"><figcaption>{caption}</figcaption>{picture}</figure>')
    return (
        "".join(strips) + f'<p class="note">The {len(strips)} of {size} latents of largest effect at seed 0: the mean'
        " absolute difference between the two ends, of a range of 1."
        + (" All of class 0." if conditional else "")
        + "</p>"
    )


def _training(subjects, subject):
    curves = _losses(subject)
    if not curves:
        return _note("No row of metrics.jsonl yet; the first comes at step train.log_every.")
    return _charts(curves, [_losses(s) for s in subjects])


def _losses(subject):
    """Curves by name: every recorded number, and what the clock says."""
    named = [(subject.rows, name) for name in dict.fromkeys(n for row in subject.rows for n in row) if name != "step"]
    named += [(subject.timing, "images_per_second")]
    curves = {}
    for rows, name in named:
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            curves[name.replace("_", " ")] = Curve(*zip(*points, strict=True))
    return curves


def _evaluations(subjects, subject):
    curves = _by_step(subject)
    if not curves:
        if not subject.records:
            return None
        return _note("Measured at one step only; two make a curve.")
    return _charts(curves, [_by_step(s) for s in subjects])


def _by_step(subject):
    """Curves of the metrics that were measured at two steps or more, by name and, where there are both, weights."""
    groups = {}
    for record in along_training(subject.records):
        if "step" in record:
            group = groups.setdefault((record["metric"], record.get("weights", "")), {})
            group[record["step"]] = record  # the last word on a step
    both = {metric for metric, weights in groups if sum(m == metric for m, _ in groups) > 1}
    curves = {}
    for (metric, weights), group in groups.items():
        points = [group[step] for step in sorted(group)]
        if len(points) < 2 or all(r.get("value") is None for r in points):
            continue
        mixed = any(differences(points[-1], r) for r in points)
        name = metric + (f", {weights} weights" if metric in both else "") + (" (protocols differ)" if mixed else "")
        floors = [r.get("floor", r.get("of_real_images")) for r in points]
        floors = [f for f in floors if f is not None]
        curves[name] = Curve(
            [r["step"] for r in points],
            [np.nan if r.get("value") is None else r["value"] for r in points],
            [r.get("spread") or 0.0 for r in points],
            floors[-1] if floors else None,
        )
    return curves


def _charts(curves, of_all):
    """Small charts; of several runs, curves of one name share their axes."""
    figures = []
    for name, curve in curves.items():
        shared = [other[name] for other in of_all if name in other]
        if not np.isfinite(curve.values).any():
            figures.append(f"<figure><figcaption><b>{escape(name)}</b> has no finite value</figcaption></figure>")
            continue
        last = f"{number(curve.values[-1])} at step {curve.steps[-1]:,}"
        figures.append(
            f'<figure class="card">{chart(name, curve, limits(shared))}'
            f"<figcaption><b>{escape(name)}</b> {last}</figcaption></figure>"
        )
    return f'<div class="tiles">{"".join(figures)}</div>'


def _config(subject):
    config = flatten(to_json(subject.run.config))
    default = flatten(_defaults(subject.run.config))
    differ = {k: v for k, v in config.items() if k not in default or default[k] != v}
    first = _table(subject, differ, default) if differ else _note("None: every field is at its default.")
    return (
        f"{first}<br><details><summary>All {len(config)} fields</summary>{_table(subject, config, default)}</details>"
    )


def _defaults(config):
    """The config that the method has when nothing but the architectures is chosen."""
    plain = base(config.method)
    for section, chosen in config.model.items():
        if hasattr(chosen, "keys") and "name" in chosen:
            plain.model[section] = {"name": chosen.name}
    complete(plain)
    values = to_json(plain)
    for chosen in values["model"].values():
        if isinstance(chosen, dict):
            chosen.pop("name", None)  # always worth telling
    return values


def _table(subject, fields, default):
    rows = "".join(
        f'<tr><th scope="row" class="mono">{escape(k)}</th><td class="mono">{escape(str(v))}</td>'
        f'<td class="mono note">{escape(str(default[k])) if k in default and default[k] != v else ""}</td></tr>'
        for k, v in fields.items()
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Configuration of {escape(_name(subject))}"><table>'
        '<thead><tr><th scope="col">Field</th><th scope="col">Here</th><th scope="col">Default</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
