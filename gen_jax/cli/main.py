"""The verbs: flags in, one-line errors out.

    gen-jax VERB [RUN] [--flag=value] [--config.field=value]

Machine-readable results go to stdout, progress to stderr. Exit 0: done; 1: the run failed; 2: the input
was refused before any work; 75: another process of the run was lost; 129 / 130 / 143: stopped by the end of the
terminal / Ctrl-C / SIGTERM, saved.
"""

import argparse
import contextlib
import difflib
import logging
import os
import re
import signal
import sys
from pathlib import Path

from gen_jax.cli import draw, verbs
from gen_jax.errors import InputError, Interrupted
from gen_jax.field import whole
from gen_jax.runtime import hangup, hugepages, watch
from gen_jax.runtime.files import check_local, check_out, check_run
from gen_jax.version import __version__


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing its usage, and answers a typo with what was meant."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def error(self, message):
        raise InputError(re.sub(r"^argument \S+: (?=--)", "", message))

    def number(self, flag, least, most, **options):
        """Adds a flag for a whole number, refused outside its bounds."""

        def parsed(text):
            try:
                value = whole(text)
            except ValueError:
                raise argparse.ArgumentTypeError(f"{flag}={text}: expected a whole number") from None
            if not least <= value <= most:
                bound = f">= {least}" if value < least else f"<= {most}"
                raise argparse.ArgumentTypeError(f"{flag}={text}: must be {bound}")
            return value

        self.add_argument(flag, type=parsed, **options)


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status and prints at most one error line.

    Args:
      argv: the words of the command; None: those of this process, which may then begin again (`hugepages`).
    """
    own = argv is None
    argv = sys.argv[1:] if own else argv
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax and TFDS talk at every call, and print what they raise
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name or a sign that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    return watch.leave(_outcome(argv, debug, own))


def _outcome(argv, debug, own):
    with contextlib.suppress(ValueError):  # not in the main thread: signals are the caller's
        signal.signal(signal.SIGTERM, _terminated)
        if hangup.answered():
            signal.signal(signal.SIGHUP, _terminated)
    try:
        return _run(argv, own) or 0
    except InputError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of stdout has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Interrupted as stopped:  # while a verb trained a classifier; the next time it goes on
        print("stopped", file=sys.stderr)
        return 128 + stopped.signum
    except Exception as error:
        if debug:
            raise
        lines = str(error).strip().splitlines() or [""]
        print(f"error: {type(error).__name__}: {lines[0]} (--debug shows where)", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _terminated(signum, frame):
    """Ends any verb but train and sweep, which save first, as Ctrl-C does: what is half-written is cleaned away."""
    sys.exit(128 + signum)


def _run(argv, own):
    known = {name: (parser, function) for name, parser, function in _verbs()}
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(f"gen-jax VERB [RUN] [--flag=value] [--config.field=value]   (gen_jax {__version__})\n")
        for name, (parser, _) in known.items():
            print(f"  {name:12} {parser.description}")
        print("\ngen-jax VERB --help shows the flags of a verb; --debug shows where an error came from")
        return 0
    if argv[0] == "--version":
        print(f"gen_jax {__version__}")
        return 0
    if argv[0] not in known:
        near = difflib.get_close_matches(argv[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise InputError(f"no verb {argv[0]!r}; {hint}")
    parser, function = known[argv[0]]
    overrides, rest = _split(argv[1:], "--config.")
    conditions, rest = _split(rest, "--condition.")
    arguments, unknown = parser.parse_known_args(rest)
    for word in unknown:
        raise InputError(_unexpected(word, parser))
    for flag in ("out", "workdir", "folder"):
        check_local(getattr(arguments, flag, None) or "")
    if out := getattr(arguments, "out", None):
        check_out(Path(out))
    given = vars(arguments)
    for run in (*given.get("runs", ()), given.get("run"), given.get("run_flag")):
        if run:  # before JAX is imported: a typo is answered at once
            check_run(Path(run))
    takes_config = hasattr(arguments, "config")
    if overrides and not takes_config:
        raise InputError(f"--config.{overrides[0][0]}: {argv[0]} reads the config of its run; leave it out")
    if takes_config:
        arguments.overrides = overrides
    if hasattr(arguments, "condition"):
        arguments.conditions = conditions
    elif conditions:
        raise InputError(f"--condition.{conditions[0][0]}: {argv[0]} takes no condition; leave it out")
    if own:  # what is refused above is refused at once; what follows takes seconds anyway
        hugepages.begin_again()
    return function(arguments)


def _split(words, prefix):
    """Takes --config.field=value (or --config.field value), `prefix` being "--config.", out of the words."""
    overrides, rest = [], []
    words = iter(words)
    for word in words:
        if not word.startswith(prefix):
            rest.append(word)
            continue
        path, equals, value = word.removeprefix(prefix).partition("=")
        if not equals:
            value = next(words, None)
            if value is None or value.startswith("--"):
                raise InputError(f"{word}: a value is missing; write {word}=VALUE")
        overrides.append((path, value))
    return overrides, rest


MASK = "what is drawn anew: top, bottom, left, right, LEFT,TOP,WIDTH,HEIGHT, or a PNG of the image's size, white there"
INT32, UINT32 = 2**31 - 1, 2**32 - 1
RENAMED = {"--label": "--condition.label", "--samples": "--importance_samples", "--count": "--images"}


def _unexpected(word, parser):
    if word.startswith("--"):
        flags = [o for action in parser._actions for o in action.option_strings]
        renamed = RENAMED.get(word.partition("=")[0], "")
        if renamed.partition(".")[0] in flags:
            return f"{word.partition('=')[0]} is called {renamed} now"
        near = difflib.get_close_matches(word.partition("=")[0], flags, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are: {', '.join(f for f in flags if f[:2] == '--')}"
        return f"unknown flag {word.partition('=')[0]}; {known}"
    if "=" in word and "." in word.partition("=")[0]:
        return f"unexpected argument {word!r}; did you mean --config.{word}?"
    return f"unexpected argument {word!r}; see --help"


def _step(text):
    """A step's number, or "best"."""
    if text != "best" and not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a step's number, or best")
    return text if text == "best" else int(text)


def _verbs():
    """The verbs, each with its parser. Nothing is imported for them: `--help` and a typo take no seconds."""

    def verb(name, function, text):
        return name, _Parser(prog=f"gen-jax {name}", description=text), function

    def on_config(name, function, text):
        name, parser, function = verb(name, function, text)
        parser.add_argument("--config", default="gan_digits", metavar="NAME|FILE.py[:ARG]", help="default: gan_digits")
        parser.epilog = "--config.field=value: gen-jax config --config=NAME shows every field with its meaning"
        return name, parser, function

    def on_run(name, function, text):
        name, parser, function = verb(name, function, text)
        parser.add_argument("run", nargs="?", help="the run directory")
        parser.add_argument("--run", dest="run_flag", metavar="RUN", help="the same, as a flag")
        parser.add_argument("--step", type=_step, help="checkpoint, or best; default: the latest")
        parser.add_argument("--raw", action="store_true", help="the raw weights, not their average")
        return name, parser, function

    def asked_by(parser):
        text = "test: of test examples, each beside its reference; or --condition.NAME=VALUE: label, text, audio, image"
        parser.add_argument("--condition", metavar="test", help=text)

    def signed(name, function, text):
        name, parser, function = on_run(name, function, text)
        parser.add_argument("--sign", metavar="KEYS", help="sign with the keys that gen-jax identity made (C2PA)")
        return name, parser, function

    train = on_config("train", verbs.train, "Train a config; the same command with the same --workdir goes on.")
    train[1].add_argument("--workdir", help="the run directory; default: a new runs/NNNN-...")
    train[1].add_argument("--resume", action="store_true", help="go on with the newest unfinished run of this config")
    train[1].add_argument("--dry_run", action="store_true", help="show shapes, sizes and cost, compile one step, exit")
    train[1].add_argument("--profile", metavar="FIRST:LAST", help="trace these steps, for XProf and Perfetto")
    train[1].add_argument("--coordinator", help="HOST:PORT of process 0, or auto (Slurm, Cloud TPU, ...)")
    train[1].number("--processes", 1, 2**20, help="how many processes, where --coordinator is an address")
    train[1].number("--process", 0, 2**20, help="which one this is, from 0")
    show = on_config("config", verbs.show_config, "Show the resolved config: every field with its type and meaning.")
    show[1].add_argument("--json", action="store_true", help="as JSON")
    bench = on_config("bench", verbs.bench, "Measure the update of a run or a config: a roofline line.")
    bench[1].add_argument("run", nargs="?", help="a run directory, in place of a config")
    sweep = verb("sweep", verbs.sweep, "Train many runs: grids, seeds and searches; the same command goes on.")
    sweep[1].epilog = (
        "--config.field=1e-4,3e-4 or range(0,5): values, a grid; log(1e-5,1e-2), uniform(0,1), int(1,8): a search\n"
        "(with Optuna, the extra sweep); (200,200),(400,400): values that are tuples"
    )
    sweep[1].add_argument("folder", help="the directory of the sweep; alone, it goes on with what is there")
    sweep[1].add_argument("--config", metavar="NAME|FILE.py[:ARG]", help="default: gan_digits")
    sweep[1].number(
        "--seeds", 1, 1000, default=1, help="runs of each cell, by the seeds from config.seed on; default: 1"
    )
    sweep[1].add_argument("--space", metavar="FILE.py", help="def space(trial), or space = [{field: value}, ...]")
    sweep[1].number("--trials", 1, 100_000, help="cells that a search tries")
    sweep[1].add_argument("--metric", help="what cells are ranked by: a name in evaluations.jsonl or metrics.jsonl")
    sweep[1].add_argument("--direction", choices=("min", "max"), help="default: as is known of the metric, else min")
    sweep[1].add_argument("--prune", choices=("none", "median", "halving"), help="stop cells that fall behind")
    sweep[1].number("--parallel", 1, 1024, help="runs at once; default: one a GPU, or one on the CPU")
    sweep[1].add_argument("--launcher", choices=("local", "slurm"), default="local", help="slurm: submit jobs, exit")
    sweep[1].add_argument("--slurm", default="", metavar="NAME=VALUE,...", help="for sbatch: partition=gpu,time=600")
    sweep[1].number("--lanes", 1, 1024, help="runs trained by one compiled update: those of a grid, or of its seeds")
    sweep[1].add_argument("--storage", metavar="URL", help="a database for the search, where several hosts share it")
    sweep[1].add_argument("--extend", action="store_true", help="add cells, seeds or trials to a sweep that is there")
    sweep[1].add_argument("--dry_run", action="store_true", help="show the table of runs, exit")
    sweep[1].add_argument("--print_commands", action="store_true", help="print a train command a run, exit")
    sweep[1].add_argument("--status", action="store_true", help="show how far the runs are; on a terminal, live")
    yield train
    yield sweep
    yield show
    yield bench
    yield verb("list", verbs.show_list, "List methods, objectives, networks, data sets and configs.")
    prepare = verb("prepare", verbs.prepare, "Put a TFDS data set on disk in ArrayRecord form (needs TensorFlow).")
    prepare[1].add_argument("name", help="as TFDS calls it: mnist, cifar10, ...")
    prepare[1].add_argument("--data_dir", help="default: $TFDS_DATA_DIR or ~/tensorflow_datasets")
    yield prepare
    sample = signed("sample", draw.sample, "Draw images by seed into a PNG grid.")
    sample[1].add_argument("--seeds", default="0-15", help="such as 0-15 or 3,7,9; default: 0-15")
    sample[1].add_argument("--out", help="the file (the folder, with --each); default: in the run's samples/")
    sample[1].add_argument("--each", action="store_true", help="one PNG an image, at its own size")
    sample[1].number("--columns", 0, 1000, default=0, help="of the grid; default: about a square")
    asked_by(sample[1])
    sample[1].add_argument("--temperature", type=float, default=1.0, help="scale of the latent noise, or of logits")
    sample[1].add_argument("--guidance", type=float, help="of a transformer; above 1 the condition counts for more")
    sample[1].number("--top_k", 0, INT32, help="of a gpt: draw among the k likeliest tokens; 0: all")
    sample[1].add_argument("--top_p", type=float, help="of a gpt: draw among the likeliest that have probability p")
    sample[1].number("--steps", 1, INT32, help="of a masked model: in how many steps all tokens are drawn")
    sample[1].number("--best_of", 1, 1000, help="draws for each seed, of which the --scorer chooses one")
    sample[1].add_argument("--scorer", metavar="RUN", help="a matcher's run, for --best_of")
    yield sample
    interpolate = signed("interpolate", draw.interpolate, "Animate spherical interpolations between seeds (WebP).")
    interpolate[1].add_argument("--seeds", default="0-3", help="the corners; default: 0-3")
    interpolate[1].number("--frames", 2, 1000, default=20, help="from each seed to the next")
    asked_by(interpolate[1])
    interpolate[1].add_argument("--out", help="a .webp or .gif; default: in the run's samples/")
    yield interpolate
    reconstruct = signed("reconstruct", draw.reconstruct, "Show test images beside their reconstructions.")
    reconstruct[1].number("--count", 1, INT32, help="how many test images; default: 32")
    reconstruct[1].add_argument("--out", help="the PNG; default: in the run's samples/")
    yield reconstruct
    complete = signed("complete", draw.complete, "Draw a part of images anew: a file's, or test images'.")
    complete[1].add_argument("image", nargs="?", help="an image file; default: test images")
    complete[1].add_argument("--mask", default="bottom", help=MASK)
    complete[1].add_argument("--seeds", default="0-5", help="a completion for each; default: 0-5")
    complete[1].number("--count", 1, INT32, help="how many test images; default: 4")
    complete[1].add_argument("--out", help="the PNG; default: in the run's samples/")
    asked_by(complete[1])
    yield complete
    evaluate = on_run("evaluate", verbs.evaluate, "Score a run under a recorded protocol; a table, in a pipe JSON.")
    evaluate[1].number("--seed", 0, UINT32, default=0, help="of samples, noise and binarisation")
    evaluate[1].number("--seeds", 1, 1000, default=3, help="sets of samples; scores are means over them")
    evaluate[1].number("--importance_samples", 1, 10**6, default=1000, help="k, of the likelihood of an image")
    evaluate[1].number("--images", 0, 10**6, default=0, help="samples in a set; 0: as many as test images")
    evaluate[1].number("--limit", 0, INT32, default=0, help="test images for the likelihood; 0: all")
    evaluate[1].add_argument("--extractor", default="", help="classifier, random, pixels or inception")
    evaluate[1].add_argument("--weights", help="file of the Inception network, for a published FID")
    evaluate[1].add_argument(
        "--classification_accuracy", action="store_true", help="train a classifier on samples, test it on real images"
    )
    evaluate[1].add_argument("--quick", action="store_true", help="fewer images and samples, in half a minute")
    evaluate[1].add_argument("--json", action="store_true", help="as JSON, on a terminal too")
    evaluate[1].add_argument("--out", help="a file that the records are written to as well, as JSON")
    yield evaluate
    compare = verb("compare", verbs.compare, "Show the scores of several runs in one table; mark other protocols.")
    compare[1].add_argument("runs", nargs="+", help="run directories")
    compare[1].add_argument("--json", action="store_true", help="as JSON, on a terminal too")
    yield compare
    export = signed("export-dataset", verbs.export_dataset, "Write generated images as a folder and a TFDS set.")
    export[1].number("--count", 1, 10**7, default=1000, help="images; default: 1000")
    export[1].number("--seed", 0, UINT32, default=0, help="of the first image")
    export[1].add_argument("--name", default="generated", help="of the TFDS set; default: generated")
    export[1].add_argument("--out", help="a new directory; default: in the run directory")
    yield export
    report = verb("report", verbs.report, "Write one HTML page of a run, or of several side by side.")
    report[1].add_argument("runs", nargs="+", help="run directories")
    report[1].add_argument("--step", type=_step, help="checkpoint, or best; default: the latest")
    report[1].add_argument("--out", help="the page; default: report.html in the run directory")
    yield report
    study = verb("study", verbs.study, "Let people judge images: make a page of blinded trials, score the answers.")
    study[1].add_argument("action", choices=("make", "score"))
    study[1].add_argument("paths", nargs="+", help="make: run directories; score: the answers files")
    study[1].add_argument("--real", action="store_true", help="make: real test images are a source too")
    study[1].add_argument("--kind", choices=("preference", "real_or_fake"), default="preference", help="make")
    study[1].number("--trials", 1, 10_000, default=60, help="make: questions; default: 60")
    study[1].number("--attention", 0, 1000, default=5, help="make: attention checks besides; default: 5")
    study[1].add_argument("--out", default="study.html", help="make: the page; default: study.html")
    study[1].add_argument("--key", help="score: the key file that make wrote beside the page")
    study[1].number("--seed", 0, UINT32, default=0, help="make: of the order and of the images")
    yield study
    inspect = verb("inspect", verbs.inspect, "Say what images claim of themselves, and what was verified.")
    inspect[1].add_argument("images", nargs="+", help="image files")
    inspect[1].add_argument("--anchors", metavar="CA.pem", help="certificate authorities to trust; default: none")
    inspect[1].add_argument("--json", action="store_true", help="as JSON")
    yield inspect
    identity = verb("identity", verbs.identity, "Make the keys that sign images with content credentials (C2PA).")
    identity[1].add_argument("folder", help="a new directory; keep it to yourself")
    identity[1].add_argument("--name", default="gen_jax user", help="who signs")
    yield identity
    detect = on_run("detect", verbs.detect, "Train detectors of a run's images; AUC on it and on other generators.")
    detect[1].add_argument("--against", action="append", default=[], metavar="RUN", help="a generator not trained on")
    detect[1].add_argument("--images", nargs="+", default=[], help="image files to judge")
    detect[1].number("--count", 0, INT32, default=0, help="images of each kind to train on; 0: up to 5,000")
    detect[1].number("--seed", 0, UINT32, default=0, help="the first sampling seed")
    yield detect
