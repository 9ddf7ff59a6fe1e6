"""The sections of a report that show numbers: scores with their protocol, curves, the config."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from gen_jax.command import command
from gen_jax.config import base, flatten, to_json
from gen_jax.config.load import complete
from gen_jax.evaluation.compare import along_training, differences, protocol
from gen_jax.evaluation.scores import better
from gen_jax.report.figures import Curve, chart, is_long, limits, number
from gen_jax.report.subject import facts_of, name_of, note_of

_NAMED = 4  # fields of a protocol that a mark names


def scores(subjects, subject):
    """The latest of each score, with its protocol on demand."""
    if not subject.records:
        line = command("evaluate", subject.run.path)
        return f'<p class="note">No score yet. Make them with <code>{escape(line)}</code></p>'
    rows = []
    for record in latest(subject.records):
        around = record.get("spread")
        error = f" ± {number(around, 2)}" if around is not None else ""
        if around is None and record.get("standard_error") is not None:
            error = f" ± {number(record['standard_error'], 2)} s.e."
        unit = f" {escape(str(record['unit']))}" if record.get("unit") else ""
        warned = f"<mark>{escape(record['warning'])}</mark>" if record.get("warning") else ""
        value = f"{number(record.get('value'))}{error}{unit}"
        if record.get("refused"):
            value = f'refused<span class="why">{escape(record["refused"])}</span>'
        real = record.get("floor", record.get("of_real_images"))
        where = f"step {record['step']:,}" if "step" in record else ""
        kind = [str(record[k]) for k in ("checkpoint", "weights") if record.get(k)]
        kind = " · ".join([*kind, *(["quick"] if _quick(record) else [])])
        rows.append(
            f'<tr><th scope="row">{escape(record["metric"])}{_marks(subjects, subject, record)}{warned}</th>'
            f'<td class="of note">{better(record["metric"])}</td><td class="figure">{value}</td>'
            f'<td class="figure">{number(real) if real is not None else ""}</td>'
            f'<td class="of">{where}<br><span class="note">{escape(kind)}</span></td>'
            f"<td><details><summary>protocol</summary>"
            f"{facts_of((k, f'<code>{escape(str(v))}</code>') for k, v in protocol(record).items())}"
            "</details></td></tr>"
        )
    head = "".join(
        f'<th scope="col"{c}>{t}</th>'
        for t, c in (
            ("Score", ""),
            ("Better", ""),
            ("Value", ' class="figure"'),
            ("Real images", ' class="figure"'),
            ("Of", ""),
            ("Measured", ""),
        )
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Scores of {escape(name_of(subject))}"><table>'
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
        # Of the same weights and as quick; those of another run, where it has no such, of others too.
        kind = lambda r: (r.get("weights"), _quick(r))
        same = [r for r in rivals if kind(r) == kind(record)]
        for rival in same if same or other is subject else rivals:
            fields = list(differences(record, rival))
            if fields:
                told[name_of(other) if other is not subject else "an earlier one here"] = fields
    return "".join(
        f"<mark>measured otherwise than {escape(who)}: {escape(', '.join(fields[:_NAMED]))}"
        + (f" and {len(fields) - _NAMED} more</mark>" if len(fields) > _NAMED else "</mark>")
        for who, fields in told.items()
    )


def latest(records: Sequence[Mapping]) -> list[dict]:
    """The last record of each metric, weights and checkpoint, whole and quick, in order of the metrics' appearance.

    What was measured while training makes room for a later score of the final or the best checkpoint.
    """
    last = {}
    for record in records:
        # Older records name no checkpoint; they are of the last one.
        key = (record["metric"], record.get("weights"), record.get("checkpoint", "final"), _quick(record))
        last.pop(key, None)
        last[key] = record
    settled = {key[:2] for key in last if key[2] != "training"}
    order = list(dict.fromkeys(record["metric"] for record in records))
    kept = [r for key, r in last.items() if key[2] != "training" or key[:2] not in settled]
    return sorted(kept, key=lambda r: order.index(r["metric"]))


def _quick(record):
    return bool(record.get("protocol", {}).get("quick"))


def training(subjects, subject):
    """Curves of what was recorded by step."""
    curves = _losses(subject)
    if not curves:
        return note_of("No row of metrics.jsonl yet; the first comes at step train.log_every.")
    smoothed = any(map(is_long, curves.values()))
    note = note_of("Pale: as it came, dark: its running mean.") if smoothed else ""
    return note + _charts(curves, [_losses(s) for s in subjects])


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


def evaluations(subjects, subject):
    """Curves of the scores by step."""
    curves = _by_step(subject)
    if not curves:
        if not subject.records:
            return None
        return note_of("Measured at one step only; two make a curve.")
    dashed = any(curve.floor is not None for curve in curves.values())
    note = note_of("Dashed: the same score of real images.") if dashed else ""
    return note + _charts(curves, [_by_step(s) for s in subjects])


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


def config(subject):
    """The fields that differ from the defaults, the others on demand."""
    config = flatten(to_json(subject.run.config))
    default = flatten(_defaults(subject.run.config))
    differ = {k: v for k, v in config.items() if k not in default or default[k] != v}
    first = _table(subject, differ, default) if differ else note_of("None: every field is at its default.")
    return (
        f"{first}<br><details><summary>All {len(config)} fields</summary>{_table(subject, config, default)}</details>"
    )


def _defaults(config):
    """The config that the method has when nothing but the architectures is chosen."""
    plain = base(config.method)
    for section, chosen in config.get("model", {}).items():
        if hasattr(chosen, "keys") and "name" in chosen:
            plain.model[section] = {"name": chosen.name}
    complete(plain)
    values = to_json(plain)
    for chosen in values.get("model", {}).values():
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
        f'<div class="scroll" tabindex="0" role="region" aria-label="Configuration of {escape(name_of(subject))}">'
        "<table>"
        '<thead><tr><th scope="col">Field</th><th scope="col">Here</th><th scope="col">Default</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
