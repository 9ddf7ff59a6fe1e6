"""Operations counted from a jaxpr equal the formulas of a text book."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from gen_jax.networks.convolution import conv, conv_transpose
from gen_jax.runtime import flops

LAYOUT = ("NHWC", "HWIO", "NHWC")


def count(function, *shapes, dtype=jnp.float32):
    return flops.count(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)))


def test_matrix_products():
    assert count(jnp.matmul, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert count(jnp.matmul, (11, 3, 5), (11, 5, 7)) == 2 * 11 * 3 * 5 * 7
    assert count(lambda a, b: jnp.einsum("abcd,cbe->dae", a, b), (2, 3, 5, 7), (5, 3, 11)) == 2 * (2 * 3 * 5 * 7) * 11
    assert count(jnp.vdot, (9,), (9,), dtype=jnp.bfloat16) == 2 * 9


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
def test_convolution(padding, strides):
    apply = functools.partial(
        lax.conv_general_dilated, window_strides=strides, padding=padding, dimension_numbers=LAYOUT
    )
    shapes = (2, 12, 18, 3), (4, 5, 3, 7)
    out = jax.eval_shape(apply, *(jnp.zeros(shape) for shape in shapes))
    assert count(apply, *shapes) == 2 * out.size * 4 * 5 * 3


def test_groups_and_a_dilated_kernel():
    apply = functools.partial(lax.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=LAYOUT)
    assert count(functools.partial(apply, rhs_dilation=(2, 3)), (2, 8, 8, 3), (3, 3, 3, 7)) == 2 * 2 * 64 * 9 * 3 * 7
    # Depthwise: every output sees one channel.
    assert count(functools.partial(apply, feature_group_count=6), (2, 8, 8, 6), (3, 3, 1, 6)) == 2 * 2 * 64 * 9 * 6
    # Half of the batch for each half of the features: as if there were half the batch.
    assert count(functools.partial(apply, batch_group_count=2), (4, 8, 8, 3), (3, 3, 3, 6)) == 2 * 2 * 64 * 9 * 3 * 6


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (((2, 12, 12, 3), (4, 4, 3, 7)), {"window_strides": (2, 3)}),
        (((2, 12, 12, 6), (3, 3, 1, 6)), {"feature_group_count": 6, "rhs_dilation": (2, 1)}),
        (((4, 12, 12, 3), (3, 3, 3, 6)), {"batch_group_count": 2, "window_strides": (1, 2)}),
        (((2, 9, 9, 3), (4, 3, 3, 6)), {"lhs_dilation": (2, 3)}),
        (((2, 9, 9, 3), (4, 3, 3, 6)), {"lhs_dilation": (2, 4), "window_strides": (2, 2), "rhs_dilation": (1, 2)}),
    ],
)
def test_without_padding_the_compiler_counts_the_same(shapes, options):
    options = {"window_strides": (1, 1), "padding": ((0, 0), (0, 0)), "dimension_numbers": LAYOUT} | options
    apply = functools.partial(lax.conv_general_dilated, **options)
    compiled = jax.jit(apply).lower(*(jnp.zeros(shape) for shape in shapes)).compile()
    assert count(apply, *shapes) == compiled.cost_analysis()["flops"]


@pytest.mark.parametrize(("size", "strides"), [((4, 4), (2, 2)), ((3, 3), (2, 2)), ((5, 4), (3, 2))])
def test_a_dilated_input_costs_its_own_numbers_only(size, strides):
    """In a transposed convolution each pixel of the input meets each tap once."""
    shapes = (2, 6, 6, 3), (*size, 3, 7)
    expected = 2 * (2 * 6 * 6) * size[0] * size[1] * 3 * 7
    theirs = lambda x, kernel: lax.conv_transpose(x, kernel, strides, "SAME", dimension_numbers=LAYOUT)
    assert count(theirs, *shapes) == expected
    # Ours is a choice between the phases and that; both gradients cost the same again.
    ours = lambda x, kernel: conv_transpose(x, kernel, strides)
    assert count(ours, *shapes) == expected
    assert (
        count(lambda x, kernel, g: jax.vjp(ours, x, kernel)[1](g), *shapes, (2, 6 * strides[0], 6 * strides[1], 7))
        == 2 * expected
    )


def test_gradients_of_a_strided_convolution():
    shapes = (2, 12, 12, 3), (4, 4, 3, 7)
    once = 2 * (2 * 6 * 6) * 16 * 3 * 7
    for apply in (
        lambda x, kernel: conv(x, kernel, (2, 2)),
        lambda x, kernel: lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT),
    ):
        pullback = lambda x, kernel, g, apply=apply: jax.vjp(apply, x, kernel)[1](g)
        assert count(pullback, *shapes, (2, 6, 6, 7)) == 2 * once
        # The gradient of the images is not asked for: a custom derivative computes it, and XLA removes it.
        assert count(lambda *args: pullback(*args)[1], *shapes, (2, 6, 6, 7)) == once  # noqa: B023


def _scanned(length):
    return lambda c, w: lax.scan(lambda c, _: (jnp.tanh(c @ w), None), c, length=length)[0]


def _unrolled(length):
    return lambda c, w: functools.reduce(lambda c, _: jnp.tanh(c @ w), range(length), c)


def test_a_scan_costs_its_length():
    shapes = (3, 5), (5, 5)
    assert count(_scanned(10), *shapes) == count(_unrolled(10), *shapes) == 10 * (2 * 3 * 5 * 5 + 3 * 5)
    nested = lambda c, w: lax.scan(lambda c, _: (_scanned(10)(c, w), None), c, length=4)[0]
    assert count(nested, *shapes) == 40 * (2 * 3 * 5 * 5 + 3 * 5)
    assert count(lambda c, w: lax.fori_loop(0, 7, lambda _, c: c @ w, c), *shapes) == 7 * 2 * 3 * 5 * 5


def test_gradient_of_a_scan():
    shapes = (32, 64), (64, 64)
    loop, plain = (
        count(jax.grad(lambda c, w, f=f: f(c, w).sum(), (0, 1)), *shapes) for f in (_scanned(10), _unrolled(10))
    )
    # A product forward and two backward; all else is small beside them.
    assert loop == pytest.approx(3 * 10 * 2 * 32 * 64 * 64, rel=0.05)
    assert loop == pytest.approx(plain, rel=0.01)


def test_calls_cost_what_they_call():
    inner = jax.jit(lambda x, w: jax.jit(jnp.matmul)(x, w) + x)
    once = 2 * 3 * 5 * 5 + 3 * 5
    assert count(inner, (3, 5), (5, 5)) == once
    assert count(lambda x, w: inner(inner(x, w), w), (3, 5), (5, 5)) == 2 * once
    assert count(jax.nn.relu, (3, 5)) == 15  # a custom_jvp
    # What is not kept is computed again: two of these three products (the third meets no derivative).
    loss = lambda wrap, c, w: wrap(lambda c, w: c @ w @ w @ w)(c, w).sum()
    gradient = lambda wrap: jax.value_and_grad(functools.partial(loss, wrap), (0, 1))
    kept, again = (count(gradient(wrap), (32, 64), (64, 64)) for wrap in (lambda f: f, jax.checkpoint))
    assert again - kept == 2 * 2 * 32 * 64 * 64


def test_branches_and_loops():
    cheap, dear = (lambda c, w: c @ w), (lambda c, w: c @ w @ w)
    assert count(lambda c, w: lax.cond(c[0, 0] > 0, cheap, dear, c, w), (3, 5), (5, 5)) == 2 * 150
    assert count(lambda c, w: lax.switch(2, [cheap, dear, cheap], c, w), (3, 5), (5, 5)) == 2 * 150
    assert count(lambda c, w: lax.platform_dependent(c, w, cpu=dear, default=cheap), (3, 5), (5, 5)) == 2 * 150
    loop = lambda c, w: lax.while_loop(lambda c: c.sum() < 9, lambda c: c @ w, c)
    assert count(loop, (3, 5), (5, 5)) == 150 + 15  # body and condition, once


def test_shard_map_counts_every_device():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    rows, whole = PartitionSpec("data"), PartitionSpec()
    everywhere = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, whole), out_specs=rows, axis_names={"data"})
    assert count(jax.jit(everywhere), (8, 5), (5, 7)) == 2 * 8 * 5 * 7
    # Over "model" nothing is shared out: both halves of the mesh do all of it.
    twice = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, whole), out_specs=rows)
    assert count(twice, (8, 5), (5, 7)) == 2 * 2 * 8 * 5 * 7


def test_arithmetic_costs_one_and_moves_nothing():
    assert count(lambda x: jnp.tanh(x) + 1, (3, 5)) == 2 * 15
    assert count(lambda x: x.sum(), (3, 5)) == count(lambda x: x.max(0), (3, 5)) == 15
    assert count(lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (2, 2), "VALID"), (4, 6)) == 24
    assert count(lambda x: x.at[jnp.array([1, 1])].add(1.0), (3, 5)) == 2 * 5
    assert count(lambda x: jnp.where(x > 0, x.T.reshape(5, 3).T[::-1], 0).astype(jnp.bfloat16), (3, 5)) == 0
    assert count(lambda x: x * 2 + 1, (3, 5), dtype=jnp.int32) == 0
    assert count(lambda: jax.random.bits(jax.random.key(0), (99,))) == 0


def test_what_no_result_needs_costs_nothing():
    def function(x, w):
        x @ w  # noqa: B018
        return jax.jit(lambda x: (x + 1, x @ w))(x)[0]

    assert count(function, (3, 5), (5, 5)) == 15


def test_open_and_closed_jaxprs_count_alike():
    closed = jax.make_jaxpr(jnp.sin)(jnp.ones(4))
    assert flops.count(closed) == flops.count(closed.jaxpr) == 4.0
    assert isinstance(flops.count(closed), float)
