"""The run that a verb is about, and what its pictures are called and say of themselves."""

import re

from gen_jax.command import command
from gen_jax.errors import InputError

OPTIONS = ("guidance", "top_k", "top_p", "steps")  # of `sample`, for the models that have them


def opened(path, step=None, average=True):
    """A run by its directory."""
    from gen_jax.run import load
    from gen_jax.runtime.compilation import enable_cache

    enable_cache()
    return load(path, step, average)


def asked(arguments):
    """The run that the flags name, at the checkpoint and with the weights that they name."""
    if arguments.run and arguments.run_flag and arguments.run != arguments.run_flag:
        raise InputError(f"two runs: {arguments.run} and --run={arguments.run_flag}; give one")
    if getattr(arguments, "sign", None):
        from gen_jax.provenance import check_identity

        check_identity(arguments.sign)
    run = arguments.run or arguments.run_flag
    if not run:
        example = command("VERB", "runs/0001-gan_digits")
        raise InputError(f"which run? give its directory before the flags, as in: {example}")
    return opened(run, arguments.step, average=not arguments.raw)


def record_of(run, **choices):
    """What a picture of the run says of itself."""
    from gen_jax.provenance.pictures import record

    return record(run.path, run.step, run.weights, **choices)


def default_name(run, record, name, suffix=""):
    """A name in the run's samples/ that tells apart what is different."""
    parts = [name, f"step{run.step:06d}", *(["best"] if run.checkpoint == "best" else [])]
    averaged = run.state is not None and run.state.average is not None
    parts += [*(["raw"] if averaged and run.weights == "raw" else [])]
    parts += [tag(re.sub(r"[^A-Za-z0-9=.-]+", "-", record["Condition"]))] if "Condition" in record else []
    parts += [f"temperature{record['Temperature']:g}"] if record.get("Temperature", 1.0) != 1.0 else []
    parts += [f"{name}{record[name.capitalize()]:g}" for name in (*OPTIONS, "best_of") if name.capitalize() in record]
    parts += [f"frames{record['Frames']}"] if record.get("Frames", 20) != 20 else []
    return run.path / "samples" / ("_".join(parts) + suffix)


def tag(text):
    """A text as a part of a file's name."""
    return text if len(text) <= 40 else f"{text[:37]}..."
