"""Damage to a checkpoint is noticed, the one before is used, and nothing is lost by it."""

import collections
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from shrunk import shrunk

import gen_jax
from gen_jax.errors import InputError
from gen_jax.method import State, Variables
from gen_jax.runtime import checkpoint, mesh
from gen_jax.train import train

FLIPS = 40
KERNEL = ".params['net']['kernel']"
Moments = collections.namedtuple("Moments", "count mu")


def make_state(step):
    """Random bits: they cannot be compressed, so the bytes of an array are found in a file as they are."""
    rng = np.random.default_rng(step)
    bits = lambda *shape: jnp.asarray(rng.integers(0, 2**32, shape, np.uint32).view(np.float32))
    mu = jnp.asarray(rng.standard_normal((16, 20)), jnp.bfloat16)
    return State(
        step=jnp.int32(step),
        params={"net": {"bias": jnp.zeros(100), "kernel": bits(64, 100)}},
        collections={"net": {}},
        opt_state={"net": (Moments(jnp.int32(step), {"kernel": mu}), ())},
        average={"params": {"net": {"seen": jnp.asarray([True, False])}}},
    )


def abstract_of(tree):
    whole = mesh.replicated(mesh.make(1))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), tree)


def bytes_of(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


ABSTRACT = abstract_of(make_state(0))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with checkpoint.opened(folder, keep=3) as saved:
        for step in (2, 4, 6, 8):
            saved.save(step, make_state(step), {"step": step})
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "checkpoints"))


def latest(folder, abstract=ABSTRACT):
    said = []
    with checkpoint.opened(folder, keep=3) as saved:
        found = saved.latest(abstract, said.append)
    return found, said


def flip(file, bit):
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_what_was_saved_is_restored(folder):
    with checkpoint.opened(folder, read_only=True) as saved:
        assert saved.steps() == [4, 6, 8]
        for step in (4, 6, 8):
            state, meta = saved.restore(step, ABSTRACT)
            assert jax.tree.structure(state) == jax.tree.structure(make_state(step)) and meta == {"step": step}
            assert bytes_of(state) == bytes_of(make_state(step))
            assert jax.tree.map(lambda x: (x.dtype, x.sharding), state) == jax.tree.map(
                lambda x: (x.dtype, x.sharding), ABSTRACT
            )
    (state, meta, step), said = latest(folder)
    assert (int(state.step), meta, step, said) == (8, {"step": 8}, 8, [])
    assert latest(folder / "nothing") == (None, [])


def test_meta_data_holds_the_checksum_of_every_leaf(original):
    record = json.loads((original / "8/meta/metadata").read_text())
    for path, leaf in jax.tree_util.tree_leaves_with_path(make_state(8)):
        value = np.asarray(leaf)
        found = record["leaves"].pop(jax.tree_util.keystr(path))
        assert found == {"shape": list(value.shape), "dtype": str(value.dtype), "crc32": zlib.crc32(value.tobytes())}
    assert record["leaves"] == {} and record["format"] == 2


def test_every_flipped_bit_of_a_weight_is_noticed_and_the_one_before_is_used(folder):
    weights = np.asarray(make_state(8).params["net"]["kernel"]).tobytes()
    (file, start), *others = [
        (path, data.find(weights))
        for path, data in ((p, p.read_bytes()) for p in (folder / "8").rglob("*") if p.is_file())
        if weights in data
    ]
    assert not others
    rng = np.random.default_rng(0)
    for _ in range(FLIPS):
        bit = int(rng.integers(8 * start, 8 * (start + len(weights))))
        flip(file, bit)
        damaged = contents(folder / "8")
        (state, _, step), said = latest(folder)
        assert step == 6 and bytes_of(state) == bytes_of(make_state(6))
        assert said == [
            f"checkpoint {folder}/8 is damaged (leaf {KERNEL}: wrong checksum): set aside as 8.damaged;"
            " going on from step 6"
        ]
        assert sorted(p.name for p in folder.iterdir()) == ["4", "6", "8.damaged"]
        assert contents(folder / "8.damaged") == damaged
        (folder / "8.damaged").rename(folder / "8")
        flip(file, bit)
    assert contents(folder / "8").keys() == damaged.keys() and latest(folder)[0][2] == 8


def test_every_flipped_bit_of_any_file_is_noticed_or_harmless(folder):
    rng = np.random.default_rng(1)
    files = sorted(p for p in (folder / "8").rglob("*") if p.is_file())
    right = bytes_of(make_state(8))
    tally = collections.Counter()
    with checkpoint.opened(folder, read_only=True) as saved:
        for i in range(10 * FLIPS):
            file = files[i % len(files)]
            bit = int(rng.integers(8 * file.stat().st_size))
            flip(file, bit)
            try:
                state, meta = saved.restore(8, ABSTRACT)
            except checkpoint.Damaged as error:
                tally["noticed"] += 1
                assert str(error).startswith(f"checkpoint {folder}/8 is damaged (") and "\n" not in str(error)
            else:
                tally["harmless"] += 1
                assert bytes_of(state) == right and meta == {"step": 8}
                assert file.name != "metadata", "of our own file every bit counts"
            flip(file, bit)
    assert min(tally["noticed"], tally["harmless"]) > 0, tally


def files_of(folder, name):
    return [p for p in (folder / "8").rglob("*") if p.is_file() and (name in (p.name, p.parent.name))]


DAMAGE = {
    "truncated array data": ("d", lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])),
    "array data of zeros": ("d", lambda p: p.write_bytes(bytes(p.stat().st_size))),
    "array data missing": ("d", lambda p: p.unlink()),
    "manifest truncated": ("manifest.ocdbt", lambda p: p.write_bytes(p.read_bytes()[:20])),
    "manifest missing": ("manifest.ocdbt", lambda p: p.unlink()),
    "meta data truncated": ("metadata", lambda p: p.write_bytes(p.read_bytes()[:100])),
    "meta data empty": ("metadata", lambda p: p.write_bytes(b"")),
    "meta data of zeros": ("metadata", lambda p: p.write_bytes(bytes(p.stat().st_size))),
    "meta data missing": ("metadata", lambda p: p.unlink()),
    "meta data of another kind": ("metadata", lambda p: p.write_text("[]")),
    "meta data edited": ("metadata", lambda p: p.write_text(p.read_text().replace('"shape": [100]', '"shape": [10]'))),
    "all files truncated": ("", lambda p: p.write_bytes(b"")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_set_aside(kind, folder, capfd):
    name, damage = DAMAGE[kind]
    files = files_of(folder, name) if name else [p for p in (folder / "8").rglob("*") if p.is_file()]
    assert files
    for file in files:
        damage(file)
    before = contents(folder)
    with checkpoint.opened(folder, read_only=True) as saved, pytest.raises(checkpoint.Damaged) as caught:
        saved.restore(8, ABSTRACT)
    assert contents(folder) == before, "reading changes nothing"
    (state, _, step), (line,) = latest(folder)
    assert step == 6 and bytes_of(state) == bytes_of(make_state(6))
    assert line == f"{caught.value}: set aside as 8.damaged; going on from step 6" and "\n" not in line
    assert contents(folder) == {k.replace("8/", "8.damaged/", 1) if k[0] == "8" else k: v for k, v in before.items()}
    assert capfd.readouterr().err == "", "Orbax and TensorStore keep quiet"
    with checkpoint.opened(folder, keep=3) as saved:
        assert saved.steps() == [4, 6]
        saved.save(8, make_state(8), {"step": 8})
        saved.save(9, make_state(9), {"step": 9})
    assert saved.steps() == [6, 8, 9] and (folder / "8.damaged").is_dir()
    assert bytes_of(saved.restore(8, ABSTRACT)[0]) == bytes_of(make_state(8))


def test_emptied_folder_is_damage(folder):
    shutil.rmtree(folder / "8")
    (folder / "8").mkdir()
    found, (line,) = latest(folder)
    assert found[2] == 6 and "8 is damaged (meta/metadata: No such file or directory): set aside" in line


def test_folder_of_another_step_is_damage(folder):
    shutil.rmtree(folder / "8")
    (folder / "6").rename(folder / "8")
    found, (line,) = latest(folder)
    assert found[2] == 4 and "(it is that of step 6)" in line


def test_earlier_damaged_one_is_not_overwritten(folder):
    for name in ("8.damaged", "8.damaged-2", "6.damaged"):
        (folder / name).mkdir()
    for step in "68":
        (folder / step / "meta/metadata").unlink()
    found, said = latest(folder)
    assert found[2] == 4 and [line.split("set aside as ")[1] for line in said] == [
        "8.damaged-3; going on from step 4",
        "6.damaged-2; going on from step 4",
    ]
    assert sorted(p.name for p in folder.iterdir() if any(p.iterdir())) == ["4", "6.damaged-2", "8.damaged-3"]


def test_where_all_are_damaged_nothing_is_started_over_or_changed(folder):
    for file in folder.glob("*/meta/metadata"):
        file.write_text("{")
    before = contents(folder)
    with pytest.raises(InputError, match=r"8 is damaged \(.*\), and so are 6, 4; there is no other to go on from"):
        latest(folder)
    assert contents(folder) == before


def test_format_1_is_refused_and_not_taken_for_damage(folder):
    (folder / "8/meta/metadata").write_text('{"format": 1, "step": 8, "version": "0.1.0"}')
    before = contents(folder)
    with pytest.raises(InputError, match=r"8 has format 1, this version reads 2; gen_jax 0\.1 reads it$") as caught:
        latest(folder)
    assert not isinstance(caught.value, checkpoint.Damaged) and contents(folder) == before


def test_format_of_the_future_is_refused_and_not_taken_for_damage(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 3)
    with checkpoint.opened(folder) as saved:
        saved.save(9, make_state(9), {})
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"9 has format 3, this version reads 2; use the version of gen_jax named in"):
        latest(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda net: net | {"kernel": jnp.zeros((64, 99))},
            f"leaf {KERNEL} is float32[64, 100] there, float32[64, 99]",
        ),
        (
            lambda net: net | {"kernel": jnp.zeros((64, 100), jnp.float16)},
            "is float32[64, 100] there, float16[64, 100]",
        ),
        (lambda net: net | {"extra": jnp.zeros(3)}, "leaf .params['net']['extra'] is missing there, float32[3] here"),
        (lambda net: {"bias": net["bias"]}, f"leaf {KERNEL} is float32[64, 100] there, missing here"),
    ],
    ids=["shape", "dtype", "leaf missing", "leaf too many"],
)
def test_another_model_is_refused_and_not_taken_for_damage(change, expected, folder):
    state = make_state(8)
    other = State(**{**vars(state), "params": {"net": change(state.params["net"])}})
    before = contents(folder)
    with pytest.raises(InputError, match="^checkpoint .*/8 is of another model: .* that saved it$") as caught:
        latest(folder, abstract_of(other))
    assert expected in str(caught.value) and "\n" not in str(caught.value) and contents(folder) == before


def test_step_that_is_not_there_is_refused(folder):
    with checkpoint.opened(folder, read_only=True) as saved, pytest.raises(InputError, match=r"there are: \[4, 6, 8\]"):
        saved.restore(5, ABSTRACT)


def test_only_finished_folders_are_steps(folder):
    for name in ("10.orbax-checkpoint-tmp", "2.orbax-checkpoint-tmp-deleted", "011", "²", "6.damaged", "notes"):
        (folder / name).mkdir()
    (folder / "12").write_text("")
    with checkpoint.opened(folder, read_only=True) as saved:
        assert saved.steps() == checkpoint.committed(folder) == [4, 6, 8]
    assert (folder / "10.orbax-checkpoint-tmp").exists()
    with checkpoint.opened(folder) as saved:
        assert not list(folder.glob("*tmp*")) and (folder / "6.damaged").exists()
    assert checkpoint.committed(folder) == [4, 6, 8], "nothing was saved, so nothing is superfluous"
    with checkpoint.opened(folder) as saved:
        saved.save(9, make_state(9), {})
    assert checkpoint.committed(folder) == [9], "the default is to keep one"


def test_state_may_be_donated_at_once(tmp_path):
    """The next step writes over the buffers while the checkpoint is being written."""
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    state = {f"leaf{i}": jnp.full((500, 1000), i, jnp.float32) for i in range(8)}
    abstract = abstract_of(state)
    with checkpoint.opened(tmp_path) as saved:
        saved.save(0, state, {})
        for _ in range(5):
            state = step(state)
        jax.block_until_ready(state)
    restored, _ = saved.restore(0, abstract)
    assert [set(np.unique(leaf)) for leaf in restored.values()] == [{i} for i in range(8)]
    jax.block_until_ready(step(restored))
    assert bytes_of(saved.restore(0, abstract)[0]) == [np.full(500_000, i, np.float32).tobytes() for i in range(8)]


def test_sharded_state_is_verified_whole_and_restored_on_other_shardings(tmp_path):
    eight = mesh.make(8)
    rows = NamedSharding(eight, PartitionSpec("data"))
    weights = np.random.default_rng(0).standard_normal((16, 300)).astype(np.float32)
    with checkpoint.opened(tmp_path) as saved:
        saved.save(1, {"w": jax.device_put(weights, rows)}, {})
    found = json.loads((tmp_path / "1/meta/metadata").read_text())["leaves"]["['w']"]
    assert found["crc32"] == zlib.crc32(weights.tobytes())
    for sharding in (rows, mesh.replicated(eight), mesh.replicated(mesh.make(1))):
        restored, _ = saved.restore(1, {"w": jax.ShapeDtypeStruct(weights.shape, weights.dtype, sharding=sharding)})
        assert restored["w"].sharding == sharding and np.array_equal(restored["w"], weights)


def test_best_weights_are_protected_too(tmp_path):
    state = make_state(3)
    variables = Variables(state.params, state.collections)
    meta = {"metric": "fd", "value": 0.1, "weights": ["average"], "nothing": None}
    with checkpoint.opened(tmp_path) as best:
        best.save(3, variables, meta)
    restored, found = best.restore(3, abstract_of(variables))
    assert type(restored) is Variables and bytes_of(restored) == bytes_of(variables) and found == meta
    file = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    flip(file, 4 * file.stat().st_size)
    with pytest.raises(
        checkpoint.Damaged, match=r"3 is damaged \(leaf \.params\['net'\]\['kernel'\]: wrong checksum\)"
    ):
        best.restore(3, abstract_of(variables))


FAILED_SAVE = """
import resource, sys
from pathlib import Path
from test_checkpoint import ABSTRACT, bytes_of, make_state
from gen_jax.runtime import checkpoint

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

folder, sizes = Path(sys.argv[1]), [int(size) for size in sys.argv[2:]]
if sizes:  # the room is there when it is looked for, and gone when it is used
    checkpoint.files.try_room = lambda directory, size: None
for size in sizes or [20_000]:
    with checkpoint.opened(folder / str(size)) as saved:
        saved.save(2, make_state(2), {})
        saved.wait()
        allow(size)
        for step, next_call in ((4, saved.wait), (6, lambda: saved.save(8, make_state(8), {}))):
            try:
                saved.save(step, make_state(step), {})
                next_call()
            except checkpoint.NotSaved as error:
                print(error)
            print(saved.steps(), saved.latest(ABSTRACT, print)[2])
        allow(resource.RLIM_INFINITY)
        saved.save(9, make_state(9), {})
    print(saved.steps(), bytes_of(saved.restore(9, ABSTRACT)[0]) == bytes_of(make_state(9)))
with checkpoint.opened(folder / "end") as saved:
    allow(0)
    saved.save(4, make_state(4), {})
"""
SIZE = sum(len(leaf) for leaf in bytes_of(make_state(0)))


@pytest.mark.parametrize(
    "sizes",
    [pytest.param((), id="seen before"), pytest.param((0, 300, 5000), id="in the middle", marks=pytest.mark.slow)],
)
def test_failed_save_is_one_line_and_loses_no_earlier_checkpoint(sizes, tmp_path):
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    command = [sys.executable, "-c", FAILED_SAVE, str(tmp_path), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    line = f"checkpoint {tmp_path}/%s of {SIZE:,} bytes could not be written (File too large)"
    expected = []
    for size in sizes or [20_000]:
        expected += [line % f"{size}/4", "[2] 2", line % f"{size}/6", "[2] 2", "[9] True"]
    assert done.stdout.splitlines() == expected
    assert done.returncode == 1 and f"gen_jax.runtime.checkpoint.NotSaved: {line % 'end/4'}" in done.stderr.splitlines()
    if not sizes:
        assert done.stderr.count("Traceback") == 2, "the error and its cause, and nothing from other threads"


def test_run_goes_on_from_the_one_before_and_ends_as_if_nothing_had_happened(tmp_path):
    config = shrunk("vae_digits", tmp_path, train__checkpoint_every=2)
    train(config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    file = max((p for p in (tmp_path / "run/checkpoints/6").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    flip(file, 4 * file.stat().st_size)
    damaged = contents(tmp_path / "run/checkpoints/6")
    train(config, tmp_path / "run")
    log = (tmp_path / "run/log.txt").read_text().splitlines()
    (line,) = (line for line in log if line.startswith(f"checkpoint {tmp_path}/run/checkpoints/6 is damaged (leaf "))
    assert line.endswith(": set aside as 6.damaged; going on from step 4") and "resumed at step 4" in log
    assert contents(tmp_path / "run/checkpoints/6.damaged") == damaged
    assert checkpoint.committed(tmp_path / "run/checkpoints") == [2, 4, 6]
    assert bytes_of(gen_jax.load(tmp_path / "run").state) == bytes_of(gen_jax.load(tmp_path / "whole").state)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


TWO = """
import sys
from pathlib import Path
import jax
jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from gen_jax.runtime import checkpoint, mesh

folder = Path(sys.argv[1])
both = mesh.make(-1)
shardings = {"split": NamedSharding(both, PartitionSpec("data")), "copied": mesh.replicated(both)}
value = lambda step: {name: np.arange(600, dtype=np.float32).reshape(2, 300) * step for name in shardings}
abstract = {k: jax.ShapeDtypeStruct((2, 300), np.float32, sharding=s) for k, s in shardings.items()}
place = lambda value, sharding: jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])
put = lambda tree: {name: place(tree[name], shardings[name]) for name in tree}
with checkpoint.opened(folder, keep=3) as saved:
    for step in (2, 4, 6):
        saved.save(step, put(value(step)), {})
said = []
with checkpoint.opened(folder, keep=3) as saved:
    if jax.process_index() == 0:
        (folder / "6/meta/metadata").write_text("{")
    jax.experimental.multihost_utils.sync_global_devices("damaged")
    state, _, step = saved.latest(abstract, said.append)
    for name, leaf in state.items():
        assert leaf.sharding == shardings[name]
        for shard in leaf.addressable_shards:
            assert np.array_equal(shard.data, value(4)[name][shard.index])
    # What only one of them cannot read is not used by the other.
    if jax.process_index() == 1:
        read = checkpoint._read_record
        def refuse(path):
            if path.name == "4":
                raise checkpoint.Damaged(f"checkpoint {path} is damaged (for me)")
            return read(path)
        checkpoint._read_record = refuse
    before = saved.latest(abstract, said.append)[2]
    saved.save(6, put(value(6)), {})
print("steps:", step, before, saved.steps())
for line in said:
    print(line)
"""


@pytest.mark.slow
def test_two_processes_agree(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-c", TWO, str(tmp_path / "checkpoints"), address]
    environment = {**os.environ, "XLA_FLAGS": ""}
    started = [
        subprocess.Popen([*command, str(i)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in (0, 1)
    ]
    try:
        ended = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], ended
    (steps, *said), (steps_of_1, *said_of_1) = (out[out.index("steps: ") :].splitlines() for out, _ in ended)
    assert steps == steps_of_1 == "steps: 4 2 [2, 6]"
    assert len(said) == 2 and said[0].endswith(
        "6 is damaged (meta/metadata is no JSON): set aside as 6.damaged; going on from step 4"
    )
    assert said[1].endswith("4 is refused by another process: set aside as 4.damaged; going on from step 2")
    assert said_of_1 == [], "process 0 speaks for both"
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "4.damaged", "6", "6.damaged"]


def test_a_clock_that_jumps_a_day_ends_no_save(tmp_path, monkeypatch):
    """Orbax measures how long it waits by the clock of the day."""
    days = itertools.count(time.time(), 86_400)
    state = State(jnp.int32(5), {"net": {"w": jnp.ones((3_000_000,))}}, {}, (), None)
    with checkpoint.opened(tmp_path / "checkpoints") as saved:
        monkeypatch.setattr("time.time", lambda: next(days))
        saved.save(5, state, {"step": 5})
        saved.wait()
    assert checkpoint.committed(tmp_path / "checkpoints") == [5]
