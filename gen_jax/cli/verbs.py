"""What each verb does, given its flags. Results go to stdout, progress to stderr; returns the exit status.

Imports stand inside the verbs: `gen-jax list` should not wait for what only training needs.
"""

import contextlib
import json
import sys
from pathlib import Path

from gen_jax.cli.runs import asked, default_name, opened, record_of
from gen_jax.command import command
from gen_jax.errors import InputError, Interrupted

RUNS = Path("runs")


def train(arguments):
    """Trains a config, or goes on with a run."""
    config = _config(arguments)
    _start(arguments)
    from gen_jax.config import to_json
    from gen_jax.config.load import split_name
    from gen_jax.evaluation.during_training import observers
    from gen_jax.length import length
    from gen_jax.observers import profile
    from gen_jax.runtime import logbook, watch
    from gen_jax.runtime.directory import check_same_run, newest_unfinished
    from gen_jax.train import Failed, train

    overrides = dict(arguments.overrides)
    watching = [*observers(config), *([profile(*_steps(arguments.profile))] if arguments.profile else [])]
    if arguments.dry_run:
        from gen_jax.cli.dry_run import describe

        if arguments.workdir:
            check_same_run(to_json(config), length(config).steps, Path(arguments.workdir))
        print(describe(config))
        return 0
    name = Path(split_name(arguments.config)[0]).stem
    if arguments.workdir and arguments.resume:
        raise InputError(f"--resume: looks for a run in {RUNS}, and --workdir names one; give one of them")
    if arguments.workdir:
        workdir = Path(arguments.workdir)
    elif arguments.resume:
        workdir = newest_unfinished(to_json(config), length(config).steps, RUNS)
    elif arguments.coordinator:
        raise InputError("--coordinator: several processes need one --workdir, on storage that all of them see")
    else:
        with contextlib.suppress(InputError):
            unfinished = newest_unfinished(to_json(config), length(config).steps, RUNS)
            print(
                f"a new run; {unfinished} is an unfinished one of this config: --resume goes on with it",
                file=sys.stderr,
            )
        short = "-".join(f"{path.rpartition('.')[2]}{value}" for path, value in overrides.items())
        workdir = logbook.create(RUNS, name + (f"-{short}" if short else ""))
    try:
        train(config, workdir, observers=watching, say=True, name=arguments.config, overrides=overrides)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(
            f"saved at step {error.step}; go on with: {_again(arguments, overrides, workdir)}",
            file=sys.stderr,
        )
        watch.agreed()
        return 128 + error.signum
    except BaseException as error:
        if not isinstance(error, InputError):
            watch.settle()
        # A directory that was made for a run that never began is not left behind.
        if not (arguments.workdir or arguments.resume or (workdir / "config.json").exists()):
            _remove_empty(workdir)
        raise
    watch.agreed()
    return 0


def sweep(arguments):
    """Trains many runs, or goes on with them."""
    from gen_jax.cli.sweep import sweep

    return sweep(arguments)


def _again(arguments, overrides, workdir):
    changed = [f"--config.{path}={value}" for path, value in overrides.items()]
    return command("train", f"--config={arguments.config}", *changed, f"--workdir={workdir}")


def _remove_empty(workdir):
    for path in sorted(workdir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    workdir.rmdir()


def _steps(text):
    """(100, 105) of --profile=100:105."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise InputError(f"--profile={text}: expected FIRST:LAST, two steps, as in 100:105")
    return int(first), int(last)


def bench(arguments):
    """Prints a roofline line of the update."""
    from gen_jax.cli.bench import rooflines
    from gen_jax.runtime.compilation import enable_cache
    from gen_jax.saved import known

    enable_cache()
    home = Path(arguments.run) if arguments.run else None
    if home and (arguments.overrides or arguments.config != "gan_digits"):
        raise InputError(f"{home} has its own config; leave --config out")
    for line in rooflines(known(home).config if home else _config(arguments), home):
        print(line, flush=True)
    return 0


def show_config(arguments):
    """Prints the resolved config."""
    from gen_jax.config import fields, flatten

    config = _config(arguments)
    if arguments.json:
        print(json.dumps(flatten(config), indent=1, sort_keys=True))
        return 0
    rows = fields.rows(config)
    for path, value in flatten(config).items():
        field = fields.find(rows, path)
        print(f"{f'--config.{path}={value}':<50} {field.described}: {field.meaning}")
    return 0


def show_list(arguments):
    """Prints what there is to choose from."""
    from gen_jax import data, methods, metrics
    from gen_jax.config import fields, shipped
    from gen_jax.data import tfds
    from gen_jax.optimizers import OPTIMIZERS

    def show(title, names, of=""):
        print(f"{title:16} {of}{', '.join(sorted(names))}")

    show("configs", shipped())
    show("methods", methods.METHODS)
    for method in methods.METHODS:
        for section, table in fields.networks(method).items():
            show(method, table, f"model.{section}.name: ")
        for path, field in fields.of_method(method).items():
            if path.startswith("objective.") and field.choices:
                show(method, field.choices, f"{path}: ")
    show("optimizers", OPTIMIZERS)
    show("metrics", metrics.METRICS)
    show("prepared sets", tfds.prepared())
    for name, meaning in data.SOURCES.items():
        print(f"{'data.name':16} {name}: {meaning}")
    return 0


def prepare(arguments):
    """Prepares a TFDS set."""
    from gen_jax.data.prepare import prepare

    print(prepare(arguments.name, arguments.data_dir))
    return 0


def evaluate(arguments):
    """Scores a run and prints the records."""
    from gen_jax.evaluation.compare import beside, by_checkpoint, table
    from gen_jax.runtime.files import write_whole
    from gen_jax.runtime.progress import Stages

    out = Path(arguments.out) if arguments.out else None
    if out and out.is_dir():
        raise InputError(f"--out={out}: is a directory; name a file in it")
    run = asked(arguments)
    with Stages() as tell:
        records = run.evaluate(
            seed=arguments.seed,
            seeds=arguments.seeds,
            importance_samples=arguments.importance_samples,
            images=arguments.images,
            limit=arguments.limit,
            extractor=arguments.extractor,
            weights=arguments.weights,
            classification_accuracy=arguments.classification_accuracy,
            quick=arguments.quick,
            tell=tell,
        )
    name = run.path.resolve().name
    columns = {f"{name} {which}": found for which, found in by_checkpoint(records).items()}
    _show(arguments, records, lambda: table(beside(columns)))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, (json.dumps(records, indent=1) + "\n").encode())
    return 0


def _show(arguments, value, table):
    """JSON where a program reads, or where it is asked for; on a terminal a table."""
    print(table() if sys.stdout.isatty() and not arguments.json else json.dumps(value, indent=1))


def compare(arguments):
    """Prints the scores of several runs in one table."""
    from gen_jax.evaluation.compare import compare, configs, configs_table, short_names, table

    runs = [Path(run) for run in arguments.runs]
    rows, differing = compare(runs), configs(runs)
    told = lambda: f"{table(rows)}\n\n{configs_table(differing, short_names(runs))}"
    _show(arguments, {"scores": rows, "configs": differing}, told)
    return 0


def export_dataset(arguments):
    """Writes generated images as a data set."""
    from gen_jax.export.dataset import export_dataset
    from gen_jax.runtime.progress import Stages

    run = asked(arguments)
    if arguments.seed + arguments.count > 2**32:
        raise InputError(f"--seed={arguments.seed}: of {arguments.count} images; must be <= {2**32 - arguments.count}")
    name = f"dataset_seed{arguments.seed}_count{arguments.count}"
    out = Path(arguments.out or run.path / default_name(run, record_of(run), name).name)
    options = {"count": arguments.count, "seed": arguments.seed, "name": arguments.name, "keys": arguments.sign}
    with Stages() as tell:
        export_dataset(run, out, **options, record=record_of(run), tell=tell)
    print(out)
    return 0


def report(arguments):
    """Writes one HTML page of one or several runs."""
    from gen_jax.report import report

    runs = [opened(path, arguments.step) for path in arguments.runs]
    print(report(runs, Path(arguments.out) if arguments.out else None))
    return 0


def study(arguments):
    """Makes a page on which people judge images, or scores their answers."""
    from gen_jax import study

    if arguments.action == "score":
        if not arguments.key:
            raise InputError("--key: give the .key.json that study make wrote beside the page")
        paths = [Path(path) for path in arguments.paths]
        found = study.score(paths, Path(arguments.key))
        print(json.dumps(found, indent=1))
        return 0
    from gen_jax.data.images import evenly
    from gen_jax.evaluation.compare import short_names
    from gen_jax.sample import of_examples

    paths = [Path(path) for path in arguments.paths]
    names = [*short_names(paths), *(["real"] if arguments.real or arguments.kind == "real_or_fake" else [])]
    needed = study.images_needed(arguments.kind, names, arguments.trials)
    runs = [opened(path) for path in paths]
    test = runs[0].dataset("test") if "real" in needed else None
    if test and needed["real"] > test.spec.size:  # said before anything is drawn
        most = study.most_trials(arguments.kind, names, test.spec.size)
        hint = f"use --trials={most} or fewer" if most else "they are too few for any study"
        shows = f"shows {needed['real']} real images, the test split has {test.spec.size}"
        raise InputError(f"--trials={arguments.trials}: {shows}; {hint}")

    def drawn(run, count):
        seeds = range(arguments.seed, arguments.seed + count)
        return run.sample(seeds, of_examples(run.method, run.dataset("test"), seeds))

    sources = [(name, drawn(run, needed[name])) for name, run in zip(names, runs, strict=False)]
    if test:
        sources.append(("real", test.gather(evenly(test.spec.size, needed["real"]))["image"]))
    options = {"kind": arguments.kind, "trials": arguments.trials, "attention": arguments.attention}
    print(study.make(sources, Path(arguments.out), seed=arguments.seed, **options))
    return 0


def inspect(arguments):
    """Says what images claim of themselves and what was verified."""
    from gen_jax.provenance import inspect

    reports = [inspect(path, arguments.anchors) for path in arguments.images]
    if arguments.json:
        print(json.dumps(reports, indent=1))
        return 0
    for report in reports:
        print(f"{report['image']} · credentials {report['credentials']['state']}")
        print("".join(f"  {sentence}\n" for sentence in report["sentences"]))
    return 0


def identity(arguments):
    """Makes the keys that sign images."""
    from gen_jax.provenance import make_identity

    make_identity(arguments.folder, arguments.name)
    print(f"sign with --sign={arguments.folder}; give {arguments.folder}/ca.pem and no other file to who verifies")
    return 0


def detect(arguments):
    """Trains detectors of a run's images, and applies them."""
    from gen_jax.evaluation.detect import detect, read_images
    from gen_jax.runtime.files import check_room
    from gen_jax.runtime.logbook import append_rows

    run = asked(arguments)
    check_room(run.path)
    others = [opened(path) for path in arguments.against]
    images = read_images([Path(path) for path in arguments.images], run.spec.shape) if arguments.images else None
    records, detectors = detect(run, others, count=arguments.count, seed=arguments.seed)
    append_rows(run.path / "evaluations.jsonl", records[: len(detectors)])  # those of the run itself
    told = {"auc": records}
    if images is not None:
        scores = {detector.name: detector.score(images).tolist() for detector in detectors}
        told["images"] = [
            {"image": path, **{name: score[i] for name, score in scores.items()}}
            for i, path in enumerate(arguments.images)
        ]
        told["note"] = "probabilities of being generated, by detectors that know one generator; see their AUC on others"
    print(json.dumps(told, indent=1))
    return 0


def _config(arguments):
    from gen_jax.config import load

    return load(arguments.config, arguments.overrides)


def _start(arguments):
    """Joins the other processes, if there are any, before JAX looks for devices."""
    from gen_jax.runtime import compilation, distributed, mesh

    compilation.enable_cache()
    distributed.join(arguments.coordinator, arguments.processes, arguments.process)
    mesh.all_devices()
