"""The verbs: flags in, one-line errors out.

    gen-jax VERB [RUN] [--flag=value] [--config.field=value]

Machine-readable results go to stdout, progress to stderr. Exit 0: done; 1: the run failed; 2: the input
was refused before any work; 130 / 143: stopped by Ctrl-C / SIGTERM, saved.
"""

import argparse
import difflib
import json
import logging
import os
import sys
from pathlib import Path

from gen_jax.errors import InputError
from gen_jax.version import __version__


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing its usage, and answers a typo with what was meant."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def error(self, message):
        raise InputError(message)


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status and prints at most one error line."""
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax and TFDS talk at every call
    try:
        return _run(argv) or 0
    except InputError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of stdout has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _run(argv):
    helping = any(word in ("-h", "--help") for word in argv)
    verbs = {name: (parser, function) for name, parser, function in _verbs(helping)}
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(__doc__.split("\n\n")[0] + "\n")
        print("  gen-jax VERB --help shows the flags of a verb\n")
        for name, (parser, _) in verbs.items():
            print(f"  {name:12} {parser.description.splitlines()[0]}")
        return 0
    if argv[0] == "--version":
        print(f"gen_jax {__version__}")
        return 0
    if argv[0] not in verbs:
        near = difflib.get_close_matches(argv[0], verbs, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(verbs)}"
        raise InputError(f"no verb {argv[0]!r}; {hint}")
    parser, function = verbs[argv[0]]
    overrides, rest = _split(argv[1:])
    arguments, unknown = parser.parse_known_args(rest)
    for word in unknown:
        raise InputError(_unexpected(word, parser))
    takes_config = hasattr(arguments, "config")
    if overrides and not takes_config:
        raise InputError(f"--config.{overrides[0][0]}: {argv[0]} reads the config of its run; leave it out")
    if takes_config:
        arguments.overrides = overrides
    return function(arguments)


def _split(words):
    """Takes --config.field=value (or --config.field value) out of the words."""
    overrides, rest = [], []
    words = iter(words)
    for word in words:
        if not word.startswith("--config."):
            rest.append(word)
            continue
        path, equals, value = word.removeprefix("--config.").partition("=")
        if not equals:
            value = next(words, None)
            if value is None or value.startswith("--"):
                raise InputError(f"{word}: a value is missing; write {word}=VALUE")
        overrides.append((path, value))
    return overrides, rest


def _unexpected(word, parser):
    if word.startswith("--"):
        flags = [o for action in parser._actions for o in action.option_strings]
        near = difflib.get_close_matches(word.partition("=")[0], flags, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are: {', '.join(f for f in flags if f[:2] == '--')}"
        return f"unknown flag {word.partition('=')[0]}; {known}"
    if "=" in word and "." in word.partition("=")[0]:
        return f"unexpected argument {word!r}; did you mean --config.{word}?"
    return f"unexpected argument {word!r}; see --help"


# Verbs on a config ---------------------------------------------------------------------------------


def _train(arguments):
    config = _config(arguments)
    _start(arguments)
    from gen_jax.runtime import logbook
    from gen_jax.train import Interrupted, NonFinite, check_same_run, train

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
    else:
        short = "-".join(f"{path.rpartition('.')[2]}{value}" for path, value in overrides.items())
        workdir = logbook.create(Path("runs"), name + (f"-{short}" if short else ""))
    try:
        train(config, workdir, say=True, name=arguments.config, overrides=overrides)
    except NonFinite as error:
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
    changed = "".join(f" --config.{path}={value}" for path, value in overrides.items())
    return f"gen-jax train --config={arguments.config}{changed} --workdir={workdir}"


def _remove_empty(workdir):
    for path in sorted(workdir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    workdir.rmdir()


def _show_config(arguments):
    from gen_jax.config import flatten
    from gen_jax.config.fields import find

    config = _config(arguments)
    if arguments.json:
        print(json.dumps(flatten(config), indent=1, sort_keys=True))
        return 0
    for path, value in flatten(config).items():
        field = find(path)
        kind = field.kind if isinstance(field.kind, str) else field.kind.__name__
        print(f"--config.{path}={value!s:<24} {kind}: {field.meaning}")
    return 0


def _list(arguments):
    from gen_jax import data, methods, networks
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
    show("prepared sets", tfds.prepared())
    for name, meaning in data.SOURCES.items():
        print(f"{'data.name':16} {name}: {meaning}")
    return 0


def _prepare(arguments):
    from gen_jax.data.prepare import prepare

    print(prepare(arguments.name, arguments.data_dir))
    return 0


# Verbs on a run ------------------------------------------------------------------------------------


def _sample(arguments):
    from gen_jax.pictures import grid, write_png

    run = _load(arguments)
    seeds = _seeds(arguments.seeds)
    images = run.sampler.sample(run.variables, seeds, arguments.label, arguments.temperature)
    record = _record(run, arguments)
    if arguments.each:
        folder = Path(arguments.out or run.path / "samples" / f"each_step{run.step:06d}")
        for seed, image in zip(seeds, images, strict=True):
            write_png(folder / f"seed_{seed:06d}.png", image, {**record, "Seed": seed})
        print(folder)
        return 0
    out = Path(arguments.out or run.path / "samples" / f"seeds_{_tag(arguments.seeds)}_step{run.step:06d}.png")
    write_png(out, grid(images, arguments.columns), {**record, "Seeds": arguments.seeds})
    print(out)
    return 0


def _interpolate(arguments):
    from gen_jax.pictures import grid, write_animation

    run = _load(arguments)
    seeds = _seeds(arguments.seeds)
    if len(seeds) < 2:
        raise InputError(f"--seeds={arguments.seeds}: an interpolation needs at least two")
    if arguments.frames < 2:
        raise InputError(f"--frames={arguments.frames}: must be >= 2")
    images = run.interpolate(seeds, arguments.frames, arguments.label)
    out = Path(arguments.out or run.path / "samples" / f"interpolation_{_tag(arguments.seeds)}.webp")
    write_animation(out, [grid(image[None]) for image in images])
    print(out)
    return 0


def _reconstruct(arguments):
    import numpy as np

    from gen_jax.pictures import grid, write_png

    run = _load(arguments)
    dataset = run.dataset("test")
    count = min(32, dataset.spec.size) if arguments.count is None else arguments.count
    if not 1 <= count <= dataset.spec.size:
        raise InputError(f"--count={count}: the test split has {dataset.spec.size} images")
    from gen_jax.evaluate import transformed

    batch = transformed(dataset, np.arange(count), seed=0)
    images = run.sampler.reconstruct(run.variables, batch["image"], batch.get("condition"))
    pairs = np.stack([batch["image"], images], axis=1).reshape(-1, *images.shape[1:])
    out = Path(arguments.out or run.path / "samples" / f"reconstructions_step{run.step:06d}.png")
    columns = 2 * max(1, round((count / 2) ** 0.5))
    write_png(
        out,
        grid(pairs, columns),
        {**_record(run, arguments), "Title": "test image left, reconstruction right"},
    )
    print(out)
    return 0


def _evaluate(arguments):
    from gen_jax.evaluate import evaluate

    run = _load(arguments)
    records = evaluate(
        run, seed=arguments.seed, samples=arguments.samples, count=arguments.count, limit=arguments.limit
    )
    print(json.dumps(records, indent=1))
    return 0


# What the verbs share ------------------------------------------------------------------------------


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
            seeds += range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise InputError(f"--seeds={text}: expected numbers and ranges, as in 0-15 or 3,7,9") from None
    if not seeds:
        raise InputError(f"--seeds={text}: no seed in it; ranges go upwards, as in 0-15")
    if len(seeds) > 100_000:
        raise InputError(f"--seeds={text}: {len(seeds):,} images; ask for at most 100,000 at once")
    return seeds


def _tag(text):
    return text if len(text) <= 40 else f"{text[:37]}..."


def _record(run, arguments):
    """What a picture says of itself."""
    import hashlib

    config = hashlib.sha256((run.path / "config.json").read_bytes()).hexdigest()
    weights = "raw" if arguments.raw else "average"
    return {"Comment": "AI-generated", "Config-SHA256": config, "Step": run.step, "Weights": weights}


def _verbs(helping):
    def verb(name, function, text):
        return name, _Parser(prog=f"gen-jax {name}", description=text), function

    def on_config(name, function, text):
        from gen_jax.config.help import fields_help

        name, parser, function = verb(name, function, text)
        parser.add_argument("--config", default="gan_digits", metavar="NAME|FILE.py[:ARG]", help="default: gan_digits")
        if helping:
            parser.epilog = fields_help()
        return name, parser, function

    def on_run(name, function, text):
        name, parser, function = verb(name, function, text)
        parser.add_argument("run", nargs="?", help="the run directory")
        parser.add_argument("--run", dest="run_flag", metavar="RUN", help="the same, as a flag")
        parser.add_argument("--step", type=int, help="checkpoint; default: the latest")
        parser.add_argument("--raw", action="store_true", help="the raw weights, not their average")
        return name, parser, function

    train = on_config("train", _train, "Train a config; the same command with the same --workdir goes on.")
    train[1].add_argument("--workdir", help="the run directory; default: a new runs/NNNN-...")
    train[1].add_argument("--dry_run", action="store_true", help="show shapes, sizes and cost, compile one step, exit")
    train[1].add_argument("--coordinator", help="HOST:PORT of process 0, or auto (Slurm, Cloud TPU, ...)")
    train[1].add_argument("--processes", type=int, help="how many processes, where --coordinator is an address")
    train[1].add_argument("--process", type=int, help="which one this is, from 0")
    show = on_config("config", _show_config, "Show the resolved config: every field with its type and meaning.")
    show[1].add_argument("--json", action="store_true", help="as JSON")
    yield train
    yield show
    yield verb("list", _list, "List methods, objectives, networks, data sets and configs.")
    prepare = verb("prepare", _prepare, "Put a TFDS data set on disk in ArrayRecord form (needs TensorFlow).")
    prepare[1].add_argument("name", help="as TFDS calls it: mnist, cifar10, ...")
    prepare[1].add_argument("--data_dir", help="default: $TFDS_DATA_DIR or ~/tensorflow_datasets")
    yield prepare
    sample = on_run("sample", _sample, "Draw images by seed into a PNG grid.")
    sample[1].add_argument("--seeds", default="0-15", help="such as 0-15 or 3,7,9; default: 0-15")
    sample[1].add_argument("--out", help="the file (the folder, with --each); default: in the run's samples/")
    sample[1].add_argument("--each", action="store_true", help="one PNG an image, at its own size")
    sample[1].add_argument("--columns", type=int, default=0, help="of the grid; default: about a square")
    sample[1].add_argument("--label", type=int, help="class, for a conditional model; default: by seed")
    sample[1].add_argument("--temperature", type=float, default=1.0, help="scale of the latent noise")
    yield sample
    interpolate = on_run("interpolate", _interpolate, "Animate spherical interpolations between seeds (WebP).")
    interpolate[1].add_argument("--seeds", default="0-3", help="the corners; default: 0-3")
    interpolate[1].add_argument("--frames", type=int, default=20, help="from each seed to the next")
    interpolate[1].add_argument("--label", type=int, help="class, for a conditional model")
    interpolate[1].add_argument("--out", help="a .webp or .gif; default: in the run's samples/")
    yield interpolate
    reconstruct = on_run("reconstruct", _reconstruct, "Show test images beside their reconstructions.")
    reconstruct[1].add_argument("--count", type=int, help="how many test images; default: 32")
    reconstruct[1].add_argument("--out", help="the PNG; default: in the run's samples/")
    yield reconstruct
    evaluate = on_run("evaluate", _evaluate, "Score a run under a recorded protocol; JSON on stdout.")
    evaluate[1].add_argument("--seed", type=int, default=0, help="of samples, noise and binarisation")
    evaluate[1].add_argument("--samples", type=int, default=1000, help="importance samples an image (k)")
    evaluate[1].add_argument("--count", type=int, default=256, help="images generated")
    evaluate[1].add_argument("--limit", type=int, default=0, help="test images for the likelihood; 0: all")
    yield evaluate
