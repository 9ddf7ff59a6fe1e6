"""A run as the sections of a report see it, and the small pieces of HTML that they share."""

from html import escape
from typing import NamedTuple

from gen_jax.data.dataset import Dataset
from gen_jax.errors import InputError
from gen_jax.report.figures import data_uri
from gen_jax.run import Run
from gen_jax.runtime import files
from gen_jax.runtime.directory import check_same_data
from gen_jax.runtime.logbook import read_records, read_rows
from gen_jax.sample import of_examples


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


def opened(run, room):
    """The Subject of a run, with `room` bytes for its pictures."""
    rows, timing = (_read(read_rows, run.path / f"{name}.jsonl") for name in ("metrics", "timing"))
    records = _read(read_records, run.path / "evaluations.jsonl")
    try:
        train, test = run.dataset("train"), run.dataset("test")
        check_same_data(train, run.path)
        absent = ""
    except InputError as error:
        train = test = None
        absent = f"The data of this run is not at hand ({error})."
    return Subject(run, rows, timing, records, train, test, absent, room)


def asked_by(subject, seeds):
    """The conditions of seeds where they are no labels: those of test examples."""
    about = subject.run.method.conditions.values()
    if subject.test is None and any(condition.kind != "label" for condition in about):
        raise InputError(f"{subject.run.path}: the captions, speech or images that it draws for are not at hand")
    return subject.test and of_examples(subject.run.method, subject.test, seeds)


def drawn(subject, count):
    """The samples of seeds 0 to count - 1."""
    return subject.run.sample(range(count), asked_by(subject, range(count)))


def read_json(path):
    """What the object in a JSON file holds; {} where there is none to read."""
    try:
        return files.read_json(path)
    except InputError:
        return {}


def name_of(subject):
    """The run's directory."""
    return subject.run.path.resolve().name


def asked_for(subject):
    """How the config was asked for; runs of a notebook have no name for it."""
    asked = read_json(subject.run.path / "overrides.json")
    overrides = asked.get("overrides")
    return {
        "config": str(asked.get("config") or subject.run.config.method),
        "overrides": overrides if isinstance(overrides, dict) else {},
    }


def note_of(text):
    """A sentence to the reader."""
    return f'<p class="note">{escape(text)}</p>'


def facts_of(pairs):
    """Names and values."""
    return f'<dl class="facts">{"".join(f"<dt>{escape(k)}</dt><dd>{v}</dd>" for k, v in pairs)}</dl>'


def image_of(subject, picture, share, alt, attributes=""):
    """An <img> of a uint8 [H, W, C] picture, or of several as an animation, in its share of the run's room."""
    pictures = picture if isinstance(picture, list) else [picture]
    uri = data_uri(pictures, int(subject.room * share))
    return f'<img src="{uri}" alt="{escape(alt)}" {attributes}>'


def _read(read, path):
    return read(path) if path.exists() else []
