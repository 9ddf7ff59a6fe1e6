"""Every field that a config may have, gathered from where each is written.

A field stands beside the code that it is about: in data/, in optimizers.py, in the file of its method or network. The
gathered rows are the schema: configs are completed and checked by them, `gen-jax config` prints from them, and a typo
is answered from them.
"""

from collections.abc import Mapping

from gen_jax import data, own, schedules
from gen_jax.field import Field, flatten, settings

SHARED = {
    "seed": Field(0, "seed of every random choice but the data order", least=0, most=2**32 - 1),
    "method": Field("", "generative family"),
    **{f"data.{name}": field for name, field in data.FIELDS.items()},
    "evaluate.extractor": Field(
        "",
        "what sees the samples while training; empty: by the data",
        choices=("", "classifier", "random", "pixels"),
    ),
    "evaluate.count": Field(1000, "samples scored while training; at most as many as test images", least=2),
    "evaluate.best": Field("", "metric whose best weights are kept in best/; empty: the Frechet distance"),
    "mesh.devices": Field(-1, "devices along the data axis; -1: all", least=-1),
    "mesh.shard_above": Field(
        0, "arrays of the state with more elements than this are split over the devices; 0: none is", least=0
    ),
}


def of_method(method: str) -> dict[str, Field]:
    """The rows of a method, those of its networks left out: dotted path -> Field, with the method's own defaults."""
    from gen_jax.methods import METHODS, family

    module = family(method)
    rows = {**SHARED, **module.FIELDS}
    rows["method"] = Field(method, SHARED["method"].meaning, choices=METHODS)
    for path, default in getattr(module, "DEFAULTS", {}).items():
        rows[path] = rows[path]._replace(default=default)
    return rows


def of_network(section: str, table: Mapping, name: str) -> dict[str, Field]:
    """The rows of the network called `name` in `table`, which stands in config.model[section]."""
    rows = {f"model.{section}.name": Field(name, "architecture of this network", choices=table)}
    return rows | {f"model.{section}.{field}": row for field, row in settings(own.pick(table, name)).items()}


def networks(method: str) -> dict[str, Mapping]:
    """The sections of config.model that hold a network, each with its architectures by name."""
    from gen_jax.methods import family

    return getattr(family(method), "NETWORKS", {})


def rows(config: Mapping) -> dict[str, Field]:
    """All rows of a config: its method's, those of the architectures that it chose, those of the user's own pieces.

    A config that is not complete yet has the rows of the first architecture where it names none.
    """
    found = of_method(config["method"])
    for section, table in networks(config["method"]).items():
        name = config.get("model", {}).get(section, {}).get("name")
        known = name in table or own.is_reference(name)
        found |= of_network(section, table, name if known else next(iter(table)))
    return of_pieces(config) | found


def of_pieces(config: Mapping) -> dict[str, Field]:
    """The rows beside the user's own objective, data source, ...: those of the section that names the piece."""
    found = {}
    for path, value in flatten(config).items():
        section, _, rest = path.partition(".")
        if rest and section != "model" and own.is_reference(value):
            found |= own.rows(value, section)
    return found


def find(rows: Mapping[str, Field], path: str) -> Field | None:
    """The Field of a dotted path, None if there is none; below a field that may be a schedule, the schedule's own."""
    parent, _, last = path.rpartition(".")
    if path not in rows and parent in rows and rows[parent].schedule and last in schedules.FIELDS:
        field = schedules.FIELDS[last]
        # The bounds of the number hold for the values that the schedule goes through.
        return field._replace(least=rows[parent].least, most=rows[parent].most) if last in ("start", "end") else field
    return rows.get(path)
