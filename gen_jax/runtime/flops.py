"""The floating-point operations of a program, counted from its jaxpr: by the arithmetic, whatever the compiler does.

XLA's own `cost_analysis` counts the body of a scan once, and what it counts depends on how it compiled the rest. Here:

- a matrix product or a convolution costs two operations, a multiplication and an addition, per pair of numbers
  that meet. At the border a convolution's taps on the padding count like all others; a tap on one of the zeros
  between the entries of a dilated operand does not. So a strided convolution, its two gradients, and a transposed
  convolution by phases or by dilation all cost the same;
- a scan costs its body times its length; a conditional, and a choice by platform, its dearest branch; a while
  loop, whose trips nobody knows, its condition and body once (a fori_loop between fixed bounds is a scan);
- a call costs what it calls (jit, remat, custom derivatives); shard_map that for each of its devices;
- a reduction costs one per element that it reads, all other arithmetic one per floating element that it makes.
  Decompositions, Fourier transforms and kernels from outside are among the others: for them that is too little;
- moving numbers, sorting and comparing them, integers and random bits cost nothing, nor does what no result needs.
"""

import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr

# What makes floating numbers without arithmetic.
_MOVES = {
    *("reshape", "transpose", "squeeze", "expand_dims", "rev", "broadcast_in_dim", "broadcast_to", "tile", "iota"),
    *("slice", "dynamic_slice", "dynamic_update_slice", "gather", "scatter", "select_n", "pad"),
    *("concatenate", "split", "stack", "unstack", "sort", "top_k", "copy", "copy_p", "empty", "empty2"),
    *("convert_element_type", "bitcast_convert_type", "reduce_precision", "real", "imag", "complex", "conj"),
    *("stop_gradient", "name", "optimization_barrier", "sharding_constraint", "layout_constraint", "device_put"),
    *("all_gather", "all_to_all", "ppermute", "pbroadcast", "pvary", "pcast", "reshard"),
}
_REDUCTIONS = {"reduce", "reduce_sum", "reduce_prod", "reduce_max", "reduce_min"}


def count(jaxpr: ClosedJaxpr | Jaxpr) -> float:
    """Floating-point operations of one evaluation, over all devices together.

    `jaxpr` is what jax.make_jaxpr(f)(...) returns, or jax.jit(f).trace(...).jaxpr.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    live, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return float(_total(live))


def operands(jaxpr: ClosedJaxpr | Jaxpr) -> str | None:
    """The type of the operands of most products and convolutions, by their work: "float32", ...; None without any."""
    found = Counter()

    def walk(jaxpr, times):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
                found[eqn.invars[0].aval.dtype.name] += times * _cost(eqn)
            for inner in jaxprs_in_params(eqn.params):
                walk(getattr(inner, "jaxpr", inner), times * eqn.params.get("length", 1))

    walk(getattr(jaxpr, "jaxpr", jaxpr), 1)
    return max(found, key=found.get, default=None)


def _total(jaxpr) -> int:
    return sum(map(_cost, jaxpr.eqns))


def _cost(eqn) -> int:
    name, params = eqn.primitive.name, eqn.params
    made = sum(v.aval.size for v in eqn.outvars if jnp.issubdtype(v.aval.dtype, np.inexact))
    match name:
        case "dot_general":
            lhs, _ = eqn.invars
            (contracted, _), _ = params["dimension_numbers"]
            return 2 * made * math.prod(lhs.aval.shape[axis] for axis in contracted)
        case "conv_general_dilated":
            return 2 * _meetings(eqn) if made else 0
        case "scan":
            return params["length"] * _total(params["jaxpr"])
        case "cond":
            return max(map(_total, params["branches"]))
        case "shard_map":
            devices = math.prod(params["mesh"].shape[axis] for axis in params["newly_manual_axes"])
            return devices * _total(params["jaxpr"])
        case "scatter-add" | "scatter-sub" | "scatter-mul" | "scatter-min" | "scatter-max":
            return eqn.invars[2].aval.size if made else 0
        case _ if name.startswith("reduce_window"):
            return made * math.prod(params["window_dimensions"])
        case _ if name in _MOVES:
            return 0
        case _ if name in _REDUCTIONS:
            return sum(v.aval.size for v in eqn.invars) if made else 0
    inner = list(jaxprs_in_params(params))
    return sum(map(_total, inner)) if inner else made


def _meetings(eqn) -> int:
    """The pairs of numbers that meet in a convolution, padding included."""
    numbers, params = eqn.params["dimension_numbers"], eqn.params
    shape = lambda operand, spec: [operand.aval.shape[axis] for axis in spec]
    batch, features, *sides = shape(eqn.outvars[0], numbers.out_spec)
    _, inputs, *taps = shape(eqn.invars[1], numbers.rhs_spec)  # the inputs of one group
    pairs = batch * features * inputs
    along = zip(
        sides,
        taps,
        params["window_strides"],
        params["rhs_dilation"],
        params["lhs_dilation"],
        (low for low, _ in params["padding"]),
        strict=True,
    )
    for side, tap, stride, spread, dilation, low in along:
        positions = np.add.outer(np.arange(side) * stride, np.arange(tap) * spread) - low
        pairs *= int((positions % dilation == 0).sum())
    return pairs
