"""report(runs): one self-contained HTML file on a run, or on several side by side.

Each section is a function of one run (a `Subject`) that returns HTML, or None where the run's Method cannot
do what the section shows: such a section is left out. What is missing for another reason, data that did not
travel with the run, say, is told in a sentence.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from string import Template

from gen_jax.config import flatten, to_json
from gen_jax.errors import InputError
from gen_jax.length import length
from gen_jax.report import images, numbers, tokens
from gen_jax.report.diagnose import diagnose
from gen_jax.report.subject import asked_for, facts_of, name_of, note_of, opened, read_json
from gen_jax.run import Run
from gen_jax.runtime.files import reason
from gen_jax.runtime.logbook import write_text
from gen_jax.version import __version__

# Of all pictures together; base64 makes them a third longer, and the page is to stay under 5 MB.
PICTURES = 3_300_000


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
    subjects = [opened(run, PICTURES // len(runs)) for run in runs]
    names = [escape(name_of(s)) for s in subjects]
    sections, links = [], []
    for anchor, title, lead, build in (
        ("overview", "Overview", "", _overview),
        (
            "diagnostics",
            "Diagnostics",
            "Rules of thumb over the recorded numbers; their thresholds are in the code.",
            None,
        ),
        ("steps", "Samples by step", "The same seeds at every step.", images.steps),
        ("reals", "Real and generated", "", images.reals),
        (
            "scores",
            "Scores",
            "The latest of each, with the protocol that it was measured under.",
            partial(numbers.scores, subjects),
        ),
        (
            "asked",
            "Asked for",
            "What a test example asks for: the example, and three samples drawn for it.",
            tokens.asked,
        ),
        ("completions", "Completions", "", tokens.completions),
        ("reconstructions", "Reconstructions", "Test images, each followed by what came back.", images.reconstructions),
        (
            "interpolation",
            "Interpolation",
            "From seed to seed on the sphere of latents, and round.",
            images.interpolation,
        ),
        (
            "neighbours",
            "Neighbours",
            "Each pair: a sample, and the training image nearest to it.",
            images.neighbours,
        ),
        (
            "traversals",
            "Traversals",
            "One dimension of the latents moved from \N{MINUS SIGN}3 to 3, the others held.",
            images.traversals,
        ),
        (
            "attention",
            "Attention",
            "What a place sees of the image's other tokens: the last layer, its first head.",
            tokens.attention,
        ),
        (
            "training",
            "Training",
            "What was recorded by step.",
            partial(numbers.training, subjects),
        ),
        (
            "evaluations",
            "Scores by step",
            "",
            partial(numbers.evaluations, subjects),
        ),
        ("config", "Configuration", "Fields that differ from the defaults of the method.", numbers.config),
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
    configs = " · ".join(dict.fromkeys(escape(asked_for(s)["config"]) for s in subjects))
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
        raise InputError(f"cannot write {out} ({reason(error)}); choose another --out") from error
    return out


def _overview(subject):
    run, path = subject.run, subject.run.path
    asked, env = asked_for(subject), read_json(path / "env.json")
    total = length(run.config).steps
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
    return f'<div class="card">{facts_of(pairs)}</div>'


def _shape(shape):
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


def _seconds(timing):
    """Seconds in the loop: the clock starts anew where a run was resumed, so that each part counts to its end."""
    seconds = [row["seconds"] for row in timing if "seconds" in row]
    return sum(a for a, b in zip(seconds, seconds[1:], strict=False) if b < a) + sum(seconds[-1:])


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s in the loop"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min in the loop" if minutes >= 90 else f"{minutes} min in the loop"


def _diagnostics(subject):
    verdicts = diagnose(subject.rows, subject.records, flatten(to_json(subject.run.config)))
    if not verdicts:
        return note_of("Nothing has been recorded yet that could be judged.")
    items = "".join(
        f'<li><span class="level {v.level}">{v.level}</span><span><strong>{escape(v.name)}.</strong>'
        f" {escape(v.sentence)}</span></li>"
        for v in verdicts
    )
    return f'<div class="card"><ul class="verdicts">{items}</ul></div>'
