"""A State that lies split over the devices: what it is, and that nothing else changes by it."""

import re

import jax
import numpy as np
import pytest
from double import SGD, agree, one_step
from jax.sharding import PartitionSpec as P
from shrunk import shrunk, trained

import gen_jax
from gen_jax.cli.dry_run import describe
from gen_jax.program import build
from gen_jax.runtime import checkpoint, mesh
from gen_jax.runtime.collectives import exchanged

ABOVE = 500  # elements; of the shrunk networks most kernels have more


def test_large_arrays_are_split_along_their_largest_axis():
    shapes = [(3, 3, 16, 64), (64, 64), (10, 100), (8, 1), (100, 8), (), (1000,), (7, 9, 11)]
    abstract = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    specs = lambda devices, above: [x.sharding.spec for x in mesh.layout(mesh.make(devices), abstract, above)]
    kernel = P(None, None, None, "data")
    # 100 is not a multiple of 8: of (100, 8) the smaller axis is split, of (10, 100) none can be.
    assert specs(8, 500) == [kernel, P("data"), P(), P(), P(None, "data"), P(), P("data"), P()]
    assert specs(8, 999) == [kernel, P("data"), P(), P(), P(), P(), P("data"), P()]  # the size itself is copied
    assert specs(4, 500)[2:5] == [P(None, "data"), P(), P("data")]
    assert specs(8, 0) == specs(1, 500) == [P()] * len(shapes)


SLOW = ("classifier", "vae_fashion_mnist", "gan_digits")


@pytest.mark.parametrize("name", ["vae_digits", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_split_state_learns_what_a_copied_one_learns(name, tmp_path):
    """In float64; parameters, their average, gradients, statistics and losses."""
    more = SGD if name == "classifier" else {**SGD, "optimizer__average": 100}
    found = [
        one_step(shrunk(name, tmp_path, mesh__devices=devices, mesh__shard_above=above, **more))
        for devices, above in ((1, 0), (8, ABOVE))
    ]
    agree(*found, 1e-10)


@pytest.mark.slow
def test_in_float32_a_split_run_stays_near_a_copied_one(tmp_path):
    losses = []
    for above in (0, ABOVE):
        config = shrunk("vae_digits", tmp_path, mesh__devices=8, mesh__shard_above=above)
        program = build(config)
        state = program.init()
        for step, feed in enumerate(program.feeds(0)):
            state, metrics = program.update(state, feed, program.variants(step, 1))
        losses.append(float(metrics["loss"].total[0] / metrics["loss"].count[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def compiled(name, folder, **choice):
    """The Program of a shrunk config on eight devices, and the text of its update, compiled now."""
    program = build(shrunk(name, folder, mesh__devices=8, **choice))
    feed = next(program.feeds(0))
    lowered = program.jitted.lower(program.abstract, feed, program.resident, variants=program.variants(0, 1))
    # With an option of its own it is no program that the cache has: what was compiled before is silent.
    return program, lowered.compile(compiler_options={"xla_embed_ir_in_executable": True}).as_text()


def sizes(program, tree):
    """Bytes of the arrays of a tree that are split, and of all of them."""
    leaves = jax.tree.leaves(tree)
    split = sum(4 * x.size for x in leaves if not x.sharding.is_fully_replicated)
    return split, sum(4 * x.size for x in leaves)


@pytest.mark.parametrize("above", [ABOVE, pytest.param(0, marks=pytest.mark.slow)])
def test_devices_exchange_what_is_expected_on_paper(above, tmp_path):
    """Each split parameter is gathered once, and each gradient is summed once; the metrics are three sums beside."""
    program, text = compiled("vae_digits", tmp_path, mesh__shard_above=above)
    split, every = sizes(program, program.abstract.params)
    found = exchanged(text, 8)
    assert found.pop("all-gather", (0, 0)) == (2 if above else 0, split) and bool(split) == bool(above)
    assert found.keys() == {"all-reduce"} and found["all-reduce"][1] == every + 3 * 4


@pytest.mark.slow
def test_a_gan_gathers_its_critic_twice(tmp_path, capfd):
    """Before it moves and after; and the compiler finds nothing that it must copy whole to split it otherwise."""
    program, text = compiled("gan_digits", tmp_path, mesh__shard_above=ABOVE)
    generator, critic = (sizes(program, program.abstract.params[n])[0] for n in ("generator", "discriminator"))
    found = exchanged(text, 8)
    assert found.keys() == {"all-gather", "all-reduce"} and found["all-gather"] == (9, generator + 2 * critic)
    # As much is summed as where the State is copied: the critic's gradient at reals, at fakes and at its penalties.
    assert found["all-reduce"] == exchanged(compiled("gan_digits", tmp_path)[1], 8)["all-reduce"]
    assert "rematerialization" not in capfd.readouterr().err


@pytest.mark.slow
def test_the_compiler_copies_where_it_may_choose(tmp_path, capfd, monkeypatch):
    """What the test above would see if nothing were gathered by hand."""
    monkeypatch.setattr(mesh, "used", lambda variables: variables)
    _, text = compiled("gan_digits", tmp_path, mesh__shard_above=ABOVE)
    assert "Involuntary full rematerialization" in capfd.readouterr().err and "all-to-all" in exchanged(text, 8)


def test_exchanges_are_read_from_a_programs_text():
    text = """
      %a = f32[4,8]{1,0} all-reduce(f32[4,8]{1,0} %x), replica_groups=[1,8]<=[8]
      %b = (bf16[16]{0}, pred[3]{0}) all-reduce(%x, %y), to_apply=%add
      %c = ((f32[2]{0}), (f32[16]{0})) all-gather-start(f32[2]{0} %x), dimensions={0}
      %d = f32[16]{0} all-gather-done(%c)
      ROOT %e = f32[] reduce-scatter(f32[8]{0} %all-reduce.5), dimensions={0}
    """
    assert exchanged(text, 8) == {"all-reduce": (2, 128 + 32 + 3), "all-gather": (1, 64), "reduce-scatter": (1, 32)}


@pytest.mark.slow
def test_checkpoints_go_from_any_layout_to_any_other(tmp_path):
    layouts = [(8, ABOVE), (8, 0), (2, ABOVE), (1, 0)]
    programs = [
        build(shrunk("vae_digits", tmp_path, mesh__devices=devices, mesh__shard_above=above))
        for devices, above in layouts
    ]
    states = [program.init() for program in programs]
    for number, state in enumerate(states[:2]):
        with checkpoint.opened(tmp_path / f"{number}") as saved:
            saved.save(0, state, {})
        for program in programs:
            with checkpoint.opened(tmp_path / f"{number}", read_only=True) as saved:
                restored, _ = saved.restore(0, program.abstract)
            jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), restored, jax.device_get(state))
            jax.tree.map(lambda x, y: np.testing.assert_equal(x.sharding, y.sharding), restored, program.abstract)
    kernel = states[0].params["decoder"]["output"]["kernel"]
    assert kernel.shape == (32, 256) and {s.data.shape for s in kernel.addressable_shards} == {(32, 32)}


@pytest.mark.slow
def test_a_run_is_split_drawn_from_and_gone_on_with_otherwise(tmp_path):
    def run(devices, above, steps):
        choice = {"mesh__devices": devices, "mesh__shard_above": above, "train__steps": steps}
        return shrunk("vae_digits", tmp_path, **choice, optimizer__learning_rate=1e-3)

    trained(run(1, 0, 6), tmp_path / "plain")
    first = trained(run(8, ABOVE, 3), tmp_path / "split")
    assert not first.state.opt_state[0].mu["decoder"]["output"]["kernel"].sharding.is_fully_replicated
    assert trained(run(2, 1000, 6), tmp_path / "split").state.step == 6
    split, plain = (gen_jax.load(tmp_path / name) for name in ("split", "plain"))
    assert not split.state.params["decoder"]["output"]["kernel"].sharding.is_fully_replicated
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(split.variables))
    assert np.abs(split.sample(range(8)).astype(int) - plain.sample(range(8))).max() <= 2
    assert split.evaluate is not None and (tmp_path / "split/samples/step_000006.png").exists()


def test_dry_run_says_what_lies_where_and_what_is_exchanged(tmp_path):
    text = describe(shrunk("vae_digits", tmp_path, mesh__devices=8, mesh__shard_above=100))
    line = re.search(r"state: ([\d.]+) MiB a device, in the place of ([\d.]+) MiB \(parameters", text)
    assert float(line[1]) < 0.3 * float(line[2])
    assert re.search(r"exchanged in one call: \d all-gather of [\d.]+ MiB, \d all-reduce of [\d.]+ MiB\n", text)
