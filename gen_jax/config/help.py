"""The fields of a config, for `--help`."""

from gen_jax.config import fields
from gen_jax.config.load import load


def fields_help(name: str) -> str:
    """One line a field of the config called `name`: the flag, its type, its meaning."""
    lines = [f"fields of {name} (--config=NAME --help shows another's; gen-jax config their values):"]
    for path, field in fields.rows(load(name)).items():
        lines.append(f"  --config.{path}={field.described.upper().replace(' ', '_')}  {field.meaning}")
    return "\n".join(lines).replace("%", "%%")
