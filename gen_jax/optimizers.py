"""Learning by gradient: the rules, built inside the compiled step so that all their numbers are data.

optax accepts traced hyperparameters, and the structure of the state does not depend on them: building
the transformation at every step costs nothing once it is compiled, and another learning rate is the same program.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gen_jax.field import Field
from gen_jax.method import Mean
from gen_jax.runtime import compilation

OPTIMIZERS = ("adam", "adamw", "muon", "sgd")
DECAYING = ("adamw", "muon")

# What every method that learns by gradient can be told: the rule, and how long it is followed.
FIELDS = {
    "optimizer.name": Field("adam", "gradient transformation", choices=OPTIMIZERS),
    "optimizer.learning_rate": Field(1e-3, "learning rate", schedule=True, least=0),
    "optimizer.b1": Field(0.9, "decay of the first moment (momentum, for sgd)", schedule=True, least=0, most=1),
    "optimizer.b2": Field(0.999, "decay of the second moment", schedule=True, least=0, most=1),
    "optimizer.eps": Field(1e-8, "added to the root of the second moment", least=0),
    "optimizer.weight_decay": Field(0.0, "decoupled weight decay (adamw, muon)", schedule=True, least=0),
    "optimizer.clip": Field(0.0, "largest global norm of a gradient; 0: no clipping", least=0),
    "train.steps": Field(1000, "updates in all", least=1),
    "train.steps_per_call": Field(1, "updates in one compiled call (scanned on accelerators)", least=1),
    "train.log_every": Field(50, "updates between rows of metrics.jsonl", least=1),
    "train.sample_every": Field(500, "updates between sample grids; 0: only at the end", least=0),
    "train.checkpoint_every": Field(500, "updates between checkpoints; 0: only at the end", least=0),
    "train.evaluate_every": Field(0, "updates between scores of the samples; 0: none while training", least=0),
    "train.keep_checkpoints": Field(3, "how many of the latest checkpoints stay", least=1),
}
AVERAGE = {
    "optimizer.average": Field(0.0, "half-life in images of the moving average; 0: none kept", schedule=True, least=0),
    "optimizer.average_warmup": Field(
        0.1, "the half-life is at most this share of the images seen so far; 0: no warm-up", schedule=True, least=0
    ),
}
ACCUMULATE = {
    "train.accumulate": Field(
        1, "parts of a batch, computed one after another to save memory; their gradients are averaged", least=1
    ),
}
LAST = {"output", "head", "words"}  # layers of which the outputs are no features
HYPER = ("learning_rate", "b1", "b2", "eps", "weight_decay", "clip")  # the numbers of a rule

Rule = Callable[[Mapping], optax.GradientTransformation]  # (hyper) -> transformation


def make(name: str, clipped: bool = False) -> Rule:
    """The rule called `name`, one of OPTIMIZERS: a function of its numbers, floats or traced scalars by name.

    Args:
      name: adam; adamw (with `weight_decay`); sgd, whose momentum is `b1`; muon (Jordan et al. 2024), where the
        momentum of a kernel is replaced by the nearest orthogonal matrix, at the size of an update of adamw (Liu et al.
        2025, section 2.2), and all else follows adamw; both look ahead as Nesterov does.
      clipped: whether the gradient's global norm is held below `clip`.
    """

    def rule(hyper):
        rate, b1, b2, eps = (hyper[n] for n in ("learning_rate", "b1", "b2", "eps"))
        if name == "adam":
            found = optax.adam(rate, b1=b1, b2=b2, eps=eps)
        elif name == "adamw":
            found = optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=hyper["weight_decay"])
        elif name == "muon":
            found = _muon(rate, b1, b2, eps, hyper["weight_decay"])
        else:
            found = optax.sgd(rate, momentum=b1)
        return optax.chain(optax.clip_by_global_norm(hyper["clip"]), found) if clipped else found

    return rule


def _muon(rate, b1, b2, eps, weight_decay):
    from optax.contrib import MuonDimensionNumbers, muon

    def axes(path, leaf):
        """Of a kernel between layers its axes of inputs and of outputs; None for the last layer and all else."""
        *modules, name = (str(key.key) for key in path)
        inside = name == "kernel" and leaf.ndim > 1 and not set(modules) & LAST
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if inside else None

    return muon(
        rate,
        beta=b1,
        eps=eps,
        weight_decay=weight_decay,
        adam_b1=b1,
        adam_b2=b2,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=partial(jax.tree_util.tree_map_with_path, axes),
        consistent_rms=0.2,
    )


def start(rule: Rule, params: Any) -> Any:
    """The optimiser's state before its first step."""
    return rule(dict.fromkeys(HYPER, 0.0)).init(params)


def descend(loss: Callable, params: Any, opt_state: Any, rule: optax.GradientTransformation, rows: Any, parts: int = 1):
    """One step down the gradient of a loss: the one place where a gradient is taken and applied.

    The batch may be taken in equal parts, one after another, of which each needs memory for itself alone. Then the
    gradient is the mean of theirs, which is that of the whole batch where the values of an example depend on that
    example alone: not so with batch normalisation, nor with a loss of a whole batch.

    Args:
      loss: (params, rows) -> (values, anything); values of any shape, such as one loss an example [B], whose mean
        descends. Of what it returns beside them, each Mean is added up over the parts; of the rest the last is kept.
      params, opt_state, rule: as optax knows them.
      rows: what the loss is computed of, each array with the batch for its leading axis, noise included.
      parts: how many; they divide the batch.

    Returns:
      The new params, the new opt_state, and what the loss returned beside its values.
    """

    def gradient(rows):
        def value(params):
            values, beside = loss(params, rows)
            return values.mean(), beside

        return jax.grad(value, has_aux=True)(params)

    grads, beside = gradient(rows) if parts == 1 else _over_parts(gradient, rows, parts)
    updates, opt_state = rule.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, beside


def _over_parts(gradient, rows, parts):
    """The mean gradient, and what stands beside it, of the parts of a batch."""
    # Part i has every n-th row from i on: so each is spread over all devices, and no row moves between them.
    rows = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), rows)
    part = lambda i: jax.tree.map(lambda x: x[i], rows)
    is_mean = lambda x: isinstance(x, Mean)
    both = lambda old, new: Mean(old.total + new.total, old.count + new.count) if is_mean(new) else new

    def add(so_far, rows):
        (grads, beside), (more, now) = so_far, gradient(rows)
        return (jax.tree.map(jnp.add, grads, more), jax.tree.map(both, beside, now, is_leaf=is_mean)), None

    total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, part(0)))
    if compilation.scanned():
        total, _ = jax.lax.scan(add, total, rows)
    else:
        for i in range(parts):
            # What a part needs is free again before the next begins.
            total, rows = jax.lax.optimization_barrier((total, rows))
            total, _ = add(total, part(i))
    grads, beside = total
    return jax.tree.map(lambda g: g / parts, grads), beside


def update_average(average: Any, new: Any, half_life: jax.Array, images: int) -> Any:
    """One step of the exponential moving average: 0.5 ** (images / half_life) of the old stays.

    Args:
      average, new: pytrees of one structure; None, where no average is kept, stays None.
      half_life: in images; at 0 nothing of the old stays.
      images: images per update.
    """
    if average is None:
        return None
    decay = jnp.where(half_life > 0, jnp.exp2(-images / jnp.maximum(half_life, 1e-9)), 0.0)
    return jax.tree.map(lambda old, now: now + decay.astype(now.dtype) * (old - now), average, new)
