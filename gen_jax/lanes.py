"""Several runs of a config trained as one: the lanes of a single compiled update.

What lanes differ in is data of that update (`program.Feed`): the seed, and the numbers of the method's schedules. Their
States are stacked along a leading axis, which lies over the devices; those on one device are one `vmap`. A
convolutional network has a device to itself: `vmap` makes grouped convolutions of its layers, which are slow
everywhere. Lanes see the same images in the same order. Each leaves an ordinary run directory; the loop is the one of
`gen_jax.train`, over books, checkpoints and observers that hand every lane its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax import methods, saved
from gen_jax.config import flatten, from_json, to_json
from gen_jax.errors import Failed, InputError, Interrupted, NonFinite
from gen_jax.length import length
from gen_jax.method import Mean, Method, Resources, State
from gen_jax.observers import Observer
from gen_jax.program import Feed, Program, build
from gen_jax.runtime import checkpoint, directory, logbook
from gen_jax.runtime import mesh as meshes
from gen_jax.runtime.progress import Progress, duration, opening
from gen_jax.train import finite, loop

# Of what an update takes: 0 where every lane has its own, along a leading axis; None where they share it.
STATE = State(step=None, params=0, collections=0, opt_state=0, average=0)
FEED = Feed(batches=None, hyper=0, seed=0, data_seed=None)


class Lane(NamedTuple):
    """A run to be trained beside others."""

    config: ml_collections.ConfigDict
    workdir: Path
    name: str = ""  # of the config, as it was asked for
    overrides: Mapping[str, str] = {}


class Apart(Exception):
    """Lanes stand at different steps: they cannot be trained together."""


class Lanes(NamedTuple):
    """Runs made trainable as one."""

    program: Program  # of all: its State and Feed are stacked as STATE and FEED say
    alone: tuple[Program, ...]  # of each, on one device
    stack: Callable[[Sequence[State]], State]


class Metrics(NamedTuple):
    """What an update of all lanes measures; the loop sees "2/loss" -> Mean [n] of lane 2."""

    stacked: Mapping[str, Mean]  # [lanes, n] each

    def items(self) -> Iterator[tuple[str, Mean]]:
        """As those of a dict."""
        for name, m in self.stacked.items():
            for lane in range(len(m.total)):
                yield f"{lane}/{name}", Mean(m.total[lane], m.count[lane])


def check(configs: Sequence[ml_collections.ConfigDict], count: int) -> tuple[Program, list[Method]]:
    """Whether runs of these configs can be lanes, `count` at a time.

    Returns:
      The Program of the first config on one device, and the Method of each.

    Raises:
      InputError: they differ in what is no number of the update, or cannot be lanes at all.
    """
    flag, config = f"--lanes={count}", configs[0]
    plain = to_json(config)
    if saved.named(config):
        raise InputError(f"{flag}: a run over others ({', '.join(saved.named(config))}.run) trains alone; leave it out")
    first = build(from_json({**plain, "mesh": {**plain["mesh"], "devices": 1}}))
    if first.method.step is None or first.method.fit:
        what = "makes no updates" if first.method.step is None else "is fitted on the host after its updates"
        raise InputError(f"{flag}: method={config.method} {what}, one run at a time; leave it out")
    made = [methods.make(other, first.dataset.spec, {}) for other in configs]
    for other, method in zip(configs, made, strict=True):
        _check_one_program(flag, first, config, other, method)
    _mesh(flag, config, first, min(count, len(configs)))
    return first, made


def together(configs: Sequence[ml_collections.ConfigDict]) -> Lanes:
    """The Lanes of some configs; nothing is compiled or trained yet.

    Raises:
      InputError: as `check`.
    """
    first, made = check(configs, len(configs))
    mesh = _mesh(f"--lanes={len(configs)}", configs[0], first, len(configs))
    put = lambda axis, tree: jax.device_put(tree, NamedSharding(mesh, _spec(axis)))
    born = jax.jit(partial(saved.born, first.dataset.spec, first.method))
    mean = Resources(jnp.asarray(first.dataset.mean()))
    inits = [lambda seed=other.seed: born(np.uint32(seed), mean) for other in configs]

    def stack(states):
        states = jax.device_get(list(states))
        stacked = lambda axis, *parts: parts[0] if axis is None else jax.tree.map(lambda *x: np.stack(x), *parts)
        return _parts(STATE, put, _parts(STATE, stacked, *states))

    def feeds(start):
        last = start
        for feed in first.feeds(start):
            steps = range(last, last := last + len(feed.seed))
            values = lambda name: [[method.schedules[name](step) for step in steps] for method in made]  # noqa: B023
            hyper = {name: np.asarray(values(name), np.float32) for name in feed.hyper}
            seed = np.asarray([[other.seed] * len(steps) for other in configs], np.uint32)
            yield Feed(put(None, feed.batches), hyper, seed, feed.data_seed)

    resident = put(None, first.resident)
    jitted = jax.jit(
        partial(_update, first.jitted.__wrapped__, mesh, len(configs) > mesh.size),
        static_argnames="variants",
        donate_argnames="state",
    )
    program = first._replace(
        mesh=mesh,
        init=lambda: stack(init() for init in inits),
        update=lambda state, feed, variants: jitted(state, feed, resident, variants=variants),
        feeds=feeds,
        jitted=jitted,
        resident=resident,
    )
    return Lanes(program, tuple(first._replace(method=m, init=i) for m, i in zip(made, inits, strict=True)), stack)


def _check_one_program(flag, first, config, other, method):
    """Refuses a lane whose update would be another program than that of the first, naming the fields."""
    old, new = flatten(config), flatten(other)
    differ = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    numbers = first.method.schedules

    def is_number(path):
        section, _, rest = path.partition(".")
        return section in ("objective", "optimizer") and rest.partition(".")[0] in numbers

    fixed = [path for path in differ if path != "seed" and not is_number(path)]
    # A number may switch something on: an average, clipping, a penalty.
    like = lambda: saved.abstract_state(config, first.dataset.spec, method, first.mesh, {}) == first.abstract
    if not fixed and method.schedules.keys() == numbers.keys() and like():
        return
    changed = fixed or [path for path in differ if path != "seed"]
    shown = ", ".join(f"{path} ({old.get(path)} and {new.get(path)})" for path in changed)
    raise InputError(
        f"{flag}: lanes share one compiled update, which {shown} would change; they may differ in seed,"
        f" {', '.join(sorted(numbers))}; leave --lanes out"
    )


def _mesh(flag, config, program, count):
    """The devices that the lanes lie on: as many as share them evenly."""
    devices = meshes.make(config.mesh.devices).devices.flat
    # A kernel of four axes is that of a convolution.
    if any(x.ndim > 3 for x in jax.tree.leaves(program.abstract.params)) and count > (most := len(devices)):
        here = "there is 1; leave it out" if most == 1 else f"there are {most}; give --lanes={most}"
        raise InputError(f"{flag}: each lane of a convolutional network takes a device, and {here}")
    used = max(n for n in range(1, min(count, len(devices)) + 1) if count % n == 0)
    return Mesh(np.asarray(devices[:used]), ("lane",), axis_types=(AxisType.Auto,))


def _spec(axis):
    return PartitionSpec() if axis is None else PartitionSpec("lane")


def _parts(axes, function, *trees):
    """`function` (axis, *parts) of the parts of States or Feeds, a State or a Feed again."""
    return jax.tree.map(function, axes, *trees, is_leaf=lambda axis: axis is None)


def _lane(axes, tree, lane):
    """The State or the Feed of one lane."""
    return _parts(axes, lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[lane], part), tree)


def _update(one, mesh, several, state, feed, resident, variants):
    """The update `one` of a single run, for all lanes; `several` of them on each device, or one."""

    def on_device(state, feed, resident):
        compute = lambda state, feed: one(state, feed, resident, variants=variants)
        if several:
            return jax.vmap(compute, in_axes=(STATE, FEED), out_axes=(STATE, 0))(state, feed)
        state, metrics = compute(_lane(STATE, state, 0), _lane(FEED, feed, 0))
        lift = lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[None], part)
        return _parts(STATE, lift, state), lift(0, metrics)

    specs = [_parts(axes, _spec) for axes in (STATE, FEED)]
    places = {"in_specs": (*specs, _spec(None)), "out_specs": (specs[0], _spec(0))}
    state, metrics = jax.shard_map(on_device, mesh=mesh, check_vma=False, **places)(state, feed, resident)
    return state, Metrics(metrics)


def train(lanes: Sequence[Lane], *, observers: Callable = lambda config: (), say: bool = False) -> None:
    """Trains runs side by side, each from its latest checkpoint where there is one.

    Args:
      lanes: the runs, which must stand at the same step.
      observers: config -> what looks at its run while it trains, as `gen_jax.train.train` takes it.
      say: whether progress goes to stderr.

    Raises:
      InputError: as `together`, or as `gen_jax.train.train`; nothing has been changed.
      Apart: the runs stand at different steps; nothing has been trained.
      NonFinite: a loss is no longer finite; FAILED.txt says so in the lanes that it is of, and in no other.
      Interrupted: SIGTERM or Ctrl-C came; all lanes have been saved.
      Failed: anything else. It is written into no run, since it may come of there being several.
    """
    configs, homes = [lane.config for lane in lanes], [lane.workdir for lane in lanes]
    total = length(configs[0]).steps
    for lane in lanes:
        directory.check_same_run(to_json(lane.config), total, lane.workdir)
    program, alone, stack = together(configs)
    for one, home in zip(alone, homes, strict=True):
        directory.check_same_data(one.dataset, home)
        checkpoint.check_room(home, one.abstract)
    looking = [
        [make(one, home) for make in observers(config)] for config, one, home in zip(configs, alone, homes, strict=True)
    ]
    with ExitStack() as opened:
        for lane in lanes:
            directory.claim(opened, to_json(lane.config), *lane[1:], program.dataset)
        keep = program.length.keep_checkpoints
        writers = [opened.enter_context(checkpoint.opened(home / "checkpoints", keep=keep)) for home in homes]
        damage = [[] for _ in lanes]
        found = [w.latest(alone[0].abstract, said.append) for w, said in zip(writers, damage, strict=True)]
        start, *others = [step for *_, step in (saved or (0,) for saved in found)]
        if any(step != start for step in others):
            raise Apart(", ".join(f"{home} at step {step}" for home, step in zip(homes, (start, *others), strict=True)))
        states = [s[0] if s else one.init() for s, one in zip(found, alone, strict=True)]
        progress = _Progress(total, start, configs[0].data.batch_size, show=say)
        opened.callback(progress.close)
        books = [opened.enter_context(logbook.opened(home, start)) for home in homes]
        for i, (home, book) in enumerate(zip(homes, books, strict=True)):
            directory.begin(home, start)
            for line in [*damage[i], *opening(configs[i], alone[i], home, states[i], start)]:
                book.log(line)
            book.log(f"one of {len(lanes)} lanes")
            for observer in looking[i]:
                observer.begin(start)
                opened.callback(observer.end)
        book = _Books(books)

        def tell(said):
            if said:
                progress.say(said if isinstance(said, str) else f"  {len(said)} runs: {said[0].strip()}")
                book.log(said)

        used = f"{program.mesh.size} x {program.mesh.devices.flat[0].platform}"
        progress.say(f"{len(lanes)} lanes on {used} · {homes[0]} and others · from step {start}")
        newest = []

        def update(*arguments):
            newest[:] = [program.update(*arguments)]
            return newest[0]

        measured = progress.measuring(program._replace(update=update))
        try:
            loop(measured, stack(states), _Writers(writers), book, progress, tell, _observers(looking))
        except NonFinite as error:
            for i, why in _diverged(error, newest[0][0], len(lanes)).items():
                writers[i].wait()
                good = max(writers[i].steps(), default="none")
                directory.failed(homes[i], f"{why}; last good checkpoint {good}", main=True)
            raise
        except Interrupted:
            raise
        except Exception as error:
            raise Failed(f"{len(lanes)} lanes: {type(error).__name__}: {error}") from error
        for home, writer, book in zip(homes, writers, books, strict=True):
            writer.wait()
            logbook.write_text(home / "DONE", f"{total}\n")
            book.log(f"done {duration(progress.elapsed())} · {home}")


def _split(state: State) -> list[State]:
    """The States of the lanes, on the host."""
    state = jax.device_get(state)
    return [_lane(STATE, state, i) for i in range(len(jax.tree.leaves(state.params)[0]))]


def _diverged(error: NonFinite, state: State, count: int) -> dict[int, str]:
    """Lane -> what is no number in it, in the words of a single run."""
    head, _, terms = str(error).removesuffix(")").partition(" (term: ")
    named = [name.partition("/")[::2] for name in terms.split(", ") if "/" in name]
    sound = [bool(finite(lane)) for lane in _split(state)]
    found = {}
    for lane in range(count):
        mine = [name for i, name in named if i == str(lane)]
        if mine or not sound[lane]:
            mine = [name for name in mine if name != "loss"] or mine or ["the updated parameters"]
            found[lane] = f"{head} (term: {', '.join(mine)})"
    return found or dict.fromkeys(range(count), str(error))


def _observers(looking: Sequence[Sequence[Observer]]) -> list[Observer]:
    """One Observer for those of all lanes that look alike; what it says is a tuple, a line a lane."""

    def together(observers):
        def see(state, step):
            said = tuple(o.see(lane, step) for o, lane in zip(observers, _split(state), strict=True))
            return said if any(said) else None

        return Observer(observers[0].every, see)

    return [together(alike) for alike in zip(*looking, strict=True)]


class _Progress(Progress):
    """The line of many runs: of each number from which to which it goes."""

    def metrics(self, row: dict) -> None:
        by_name = {}
        for name, value in row.items():
            by_name.setdefault(name.partition("/")[2], []).append(value)
        by_name.pop("")  # the step
        self._metrics = " ".join(f"{name} {min(x):.3g} to {max(x):.3g}" for name, x in by_name.items())


class _Books:
    """The Logbooks of all lanes."""

    def __init__(self, books: Sequence[logbook.Logbook]):
        self._books = books

    def metrics(self, row: dict) -> None:
        for i, book in enumerate(self._books):
            mine = {name.partition("/")[2]: value for name, value in row.items() if name.startswith(f"{i}/")}
            book.metrics({"step": row["step"], **mine})

    def timing(self, row: dict) -> None:
        for book in self._books:
            book.timing(row)

    def log(self, said) -> None:
        each = [said] * len(self._books) if said is None or isinstance(said, str) else said
        for book, line in zip(self._books, each, strict=True):
            book.log(line)

    def flush(self) -> None:
        for book in self._books:
            book.flush()


class _Writers:
    """The checkpoints of all lanes."""

    def __init__(self, writers: Sequence[checkpoint.Writer]):
        self._writers = writers

    def save(self, step: int, state: State, meta: dict) -> None:
        for writer, lane in zip(self._writers, _split(state), strict=True):
            writer.save(step, lane, meta)

    def wait(self) -> None:
        for writer in self._writers:
            writer.wait()
