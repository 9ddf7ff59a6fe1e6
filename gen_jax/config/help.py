"""The fields of a config, for `--help`."""

from gen_jax.config.fields import FIELDS


def fields_help() -> str:
    """One line a field: the flag, its type, its meaning."""
    lines = ["fields of a config (gen-jax config --config=NAME shows their values):"]
    for path, field in FIELDS.items():
        if not path.startswith("*"):
            kind = field.kind if isinstance(field.kind, str) else field.kind.__name__
            lines.append(f"  --config.{path.replace('*', 'NETWORK')}={kind.upper().replace(' ', '_')}  {field.meaning}")
    return "\n".join(lines).replace("%", "%%")
