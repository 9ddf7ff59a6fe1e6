"""Optimisers, built inside the compiled step so that their hyperparameters may be schedules.

optax accepts traced hyperparameters, and the structure of the state does not depend on them: building
the transformation at every step costs nothing once it is compiled.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ("adam", "adamw", "sgd")


def make(name, *, learning_rate, b1, b2, eps, weight_decay=0.0, clip=0.0) -> optax.GradientTransformation:
    """The transformation called `name`, one of OPTIMIZERS.

    Args:
      learning_rate, b2: floats or traced scalars.
      b1: decay of the first moment; for sgd, the momentum.
      clip: largest global norm of the gradient, 0 for no clipping.
    """
    if name == "adam":
        rule = optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)
    elif name == "adamw":
        rule = optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    else:
        rule = optax.sgd(learning_rate, momentum=b1)
    return optax.chain(optax.clip_by_global_norm(clip), rule) if clip else rule


def descend(loss: Callable, params: Any, opt_state: Any, rule: optax.GradientTransformation):
    """One step down the gradient of a loss: the one place where a gradient is taken and applied.

    Args:
      loss: params -> (values, anything); values of any shape, such as one loss an example [B], whose mean descends.
      params, opt_state, rule: as optax knows them.

    Returns:
      The new params, the new opt_state, and what the loss returned beside its values.
    """

    def value(params):
        values, beside = loss(params)
        return values.mean(), beside

    grads, beside = jax.grad(value, has_aux=True)(params)
    updates, opt_state = rule.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, beside


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
