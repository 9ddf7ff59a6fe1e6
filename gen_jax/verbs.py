"""What each verb does, given its flags. Results go to stdout, progress to stderr; returns the exit status.

Imports stand inside the verbs: `gen-jax list` should not wait for what only training needs.
"""

import json
import shlex
import sys
from pathlib import Path

from gen_jax.errors import InputError

MOST_SEEDS = 100_000


def train(arguments):
    """Trains a config, or goes on with a run."""
    config = _config(arguments)
    _start(arguments)
    from gen_jax.runtime import logbook
    from gen_jax.train import Failed, Interrupted, check_same_run, train

    overrides = dict(arguments.overrides)
    if arguments.dry_run:
        from gen_jax.dry_run import describe

        if arguments.workdir:
            check_same_run(config, Path(arguments.workdir))
        print(describe(config))
        return 0
    name = Path(arguments.config.partition(":")[0]).stem
    if arguments.workdir:
        workdir = Path(arguments.workdir)
    elif arguments.coordinator:
        raise InputError("--coordinator: several processes need one --workdir, on storage that all of them see")
    else:
        short = "-".join(f"{path.rpartition('.')[2]}{value}" for path, value in overrides.items())
        workdir = logbook.create(Path("runs"), name + (f"-{short}" if short else ""))
    try:
        train(config, workdir, say=True, name=arguments.config, overrides=overrides)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(
            f"saved at step {error.step}; go on with: {_again(arguments, overrides, workdir)}",
            file=sys.stderr,
        )
        return 128 + error.signum
    except BaseException:
        # A directory that was made for a run that never began is not left behind.
        if not arguments.workdir and not (workdir / "config.json").exists():
            _remove_empty(workdir)
        raise
    return 0


def _again(arguments, overrides, workdir):
    changed = [f"--config.{path}={value}" for path, value in overrides.items()]
    return shlex.join(["gen-jax", "train", f"--config={arguments.config}", *changed, f"--workdir={workdir}"])


def _remove_empty(workdir):
    for path in sorted(workdir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    workdir.rmdir()


def show_config(arguments):
    """Prints the resolved config."""
    from gen_jax.config import flatten
    from gen_jax.config.fields import find

    config = _config(arguments)
    if arguments.json:
        print(json.dumps(flatten(config), indent=1, sort_keys=True))
        return 0
    for path, value in flatten(config).items():
        field = find(path)
        kind = field.kind if isinstance(field.kind, str) else field.kind.__name__
        print(f"{f'--config.{path}={value}':<50} {kind}: {field.meaning}")
    return 0


def show_list(arguments):
    """Prints what there is to choose from."""
    from gen_jax import data, methods, metrics, networks
    from gen_jax.config import shipped
    from gen_jax.data import tfds
    from gen_jax.losses.adversarial import OBJECTIVES
    from gen_jax.methods.vae import LIKELIHOODS
    from gen_jax.optimizers import OPTIMIZERS

    def show(title, names):
        print(f"{title:16} {', '.join(sorted(names))}")

    show("configs", shipped())
    show("methods", methods.METHODS)
    show("objectives", OBJECTIVES)
    show("likelihoods", LIKELIHOODS)
    for title in ("generators", "discriminators", "encoders", "decoders"):
        show(title, getattr(networks, title.upper()))
    show("optimizers", OPTIMIZERS)
    show("metrics", metrics.__all__)
    show("prepared sets", tfds.prepared())
    for name, meaning in data.SOURCES.items():
        print(f"{'data.name':16} {name}: {meaning}")
    return 0


def prepare(arguments):
    """Prepares a TFDS set."""
    from gen_jax.data.prepare import prepare

    print(prepare(arguments.name, arguments.data_dir))
    return 0


def sample(arguments):
    """Draws images by seed."""
    from gen_jax.pictures import grid, write_png

    run = _load(arguments)
    if arguments.columns < 0:
        raise InputError(f"--columns={arguments.columns}: must be >= 0")
    seeds = _seeds(arguments.seeds)
    images = run.sampler.sample(run.variables, seeds, arguments.label, arguments.temperature)
    record = _record(run, label=arguments.label, temperature=arguments.temperature)
    if arguments.each:
        folder = Path(arguments.out or _default(run, record, "each"))
        for seed, image in zip(seeds, images, strict=True):
            write_png(folder / f"seed_{seed:06d}.png", image, {**record, "Seed": seed})
        print(folder)
        return 0
    out = Path(arguments.out or _default(run, record, f"seeds_{_tag(arguments.seeds)}", ".png"))
    write_png(out, grid(images, arguments.columns), {**record, "Seeds": arguments.seeds})
    print(out)
    return 0


def interpolate(arguments):
    """Animates the way between seeds."""
    from gen_jax.pictures import grid, write_animation

    run = _load(arguments)
    seeds = _seeds(arguments.seeds)
    if len(seeds) < 2:
        raise InputError(f"--seeds={arguments.seeds}: an interpolation needs at least two")
    if arguments.frames < 2:
        raise InputError(f"--frames={arguments.frames}: must be >= 2")
    images = run.interpolate(seeds, arguments.frames, arguments.label)
    record = {**_record(run, label=arguments.label), "Seeds": arguments.seeds, "Frames": arguments.frames}
    out = Path(arguments.out or _default(run, record, f"interpolation_{_tag(arguments.seeds)}", ".webp"))
    write_animation(out, [grid(image[None]) for image in images], record)
    print(out)
    return 0


def reconstruct(arguments):
    """Shows test images beside their reconstructions."""
    import numpy as np

    from gen_jax.pictures import grid, write_png

    run = _load(arguments)
    dataset = run.dataset("test")
    count = min(32, dataset.spec.size) if arguments.count is None else arguments.count
    if not 1 <= count <= dataset.spec.size:
        raise InputError(f"--count={count}: the test split has {dataset.spec.size} images")
    from gen_jax.data.images import evenly
    from gen_jax.evaluate import as_seen

    index = evenly(dataset.spec.size, count)
    batch = as_seen(dataset, {**dataset.gather(index), "index": index}, seed=0)
    images = run.sampler.reconstruct(run.variables, batch["image"], batch.get("condition"))
    pairs = np.stack([batch["image"], images], axis=1).reshape(-1, *images.shape[1:])
    record = _record(run)
    out = Path(arguments.out or _default(run, record, "reconstructions", ".png"))
    columns = 2 * max(1, round((count / 2) ** 0.5))
    write_png(
        out,
        grid(pairs, columns),
        {**record, "Title": "test image left, reconstruction right"},
    )
    print(out)
    return 0


def evaluate(arguments):
    """Scores a run and prints the records."""
    from gen_jax.evaluate import evaluate

    run = _load(arguments)
    records = evaluate(
        run, seed=arguments.seed, samples=arguments.samples, count=arguments.count, limit=arguments.limit
    )
    print(json.dumps(records, indent=1))
    return 0


def _config(arguments):
    from gen_jax.config import load

    return load(arguments.config, arguments.overrides)


def _start(arguments):
    """Joins the other processes, if there are any, before JAX looks for devices."""
    from gen_jax.runtime import compilation, distributed

    compilation.enable_cache()
    distributed.join(arguments.coordinator, arguments.processes, arguments.process)


def _load(arguments):
    from gen_jax.run import load
    from gen_jax.runtime.compilation import enable_cache

    enable_cache()
    if arguments.run and arguments.run_flag and arguments.run != arguments.run_flag:
        raise InputError(f"two runs: {arguments.run} and --run={arguments.run_flag}; give one")
    run = arguments.run or arguments.run_flag
    if not run:
        raise InputError("which run? give its directory, as in: gen-jax sample runs/0001-gan_digits")
    return load(run, arguments.step, average=not arguments.raw)


def _seeds(text):
    """[0, 1, 2, 7] from "0-2,7"."""
    seeds = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            numbers = range(int(first), int(last if dash else first) + 1)
            if len(numbers) + len(seeds) > MOST_SEEDS:
                raise InputError(f"--seeds={text}: ask for at most {MOST_SEEDS:,} at once")
            seeds += numbers
    except InputError:
        raise
    except ValueError:
        raise InputError(f"--seeds={text}: expected numbers and ranges, as in 0-15 or 3,7,9") from None
    if not seeds:
        raise InputError(f"--seeds={text}: no seed in it; ranges go upwards, as in 0-15")
    return seeds


def _tag(text):
    return text if len(text) <= 40 else f"{text[:37]}..."


def _record(run, **choices):
    """What a picture says of itself: all that, with its seed, makes it again."""
    import hashlib

    config = hashlib.sha256((run.path / "config.json").read_bytes()).hexdigest()
    told = {name.capitalize(): value for name, value in choices.items() if value is not None}
    return {"Comment": "AI-generated", "Config-SHA256": config, "Step": run.step, "Weights": run.weights, **told}


def _default(run, record, name, suffix=""):
    """A name in the run's samples/ that tells apart what is different."""
    parts = [name, f"step{run.step:06d}", *(["raw"] if run.state.average and run.weights == "raw" else [])]
    parts += [f"label{record['Label']}"] if "Label" in record else []
    parts += [f"temperature{record['Temperature']:g}"] if record.get("Temperature", 1.0) != 1.0 else []
    parts += [f"frames{record['Frames']}"] if record.get("Frames", 20) != 20 else []
    return run.path / "samples" / ("_".join(parts) + suffix)
