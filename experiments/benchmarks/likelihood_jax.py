"""The importance-weighted likelihood of an MLP VAE, in gen_jax. Leaves weights, images and noise for the others."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common_jax import built, parameters
from vaes_jax import SHAPE, mlp_config
from workers import Setting, Skip, Work

from gen_jax import randomness
from gen_jax.errors import InputError
from gen_jax.evaluation.evaluate import BATCH, as_seen, importance_weighted
from gen_jax.method import variables_of
from gen_jax.run import load

IMAGES = 1000
COMPARED = 20  # images whose value all workers state, of the same noise


def likelihood(setting: Setting, k: int) -> Work:
    """`gen_jax.evaluation.evaluate.importance_weighted` on one batch of its images after another."""
    if setting.weights:
        method, variables, images = of_run(setting.weights)
    else:
        program = built(setting, mlp_config(20), SHAPE)
        method, variables = program.method, variables_of(program.method, program.init())
        images = (np.random.default_rng(0).random((IMAGES, 7, 7, 1)) < 0.2).repeat(4, 1).repeat(4, 2)
    images = np.asarray(images, np.float32)
    keys = randomness.row_keys(randomness.stream(0, randomness.EVAL), jnp.arange(len(images)))
    # Sample i of an image has the image's key folded with i, whatever the blocks are.
    of_image = lambda key: jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), latent(variables)))(
        jnp.arange(k)
    )
    noise = jax.jit(jax.vmap(of_image))(keys[:COMPARED])
    arrays = {f"{network}/{path}": x for network, tree in variables.params.items() for path, x in leaves(tree)}
    np.savez(Path(setting.folder) / "likelihood.npz", images=images, noise=noise, **arrays)

    estimate = lambda rows: importance_weighted(method, variables, jnp.asarray(images[rows]), keys[rows], k, {})
    value = lambda: -float(np.asarray(estimate(slice(COMPARED)), np.float64).mean())
    tolerance = 1e-3 if setting.dtype == "float32" else 1.0
    batches = [slice(start, start + BATCH) for start in range(0, len(images) - BATCH + 1, BATCH)]
    held = {"turn": 0}

    def run():
        held["found"] = estimate(batches[held["turn"] % len(batches)])
        held["turn"] += 1

    wait = lambda: jax.block_until_ready(held["found"])
    return Work(run, wait, BATCH, parameters(variables.params), lambda: {"nll": (value(), tolerance)})


def latent(variables) -> tuple[int]:
    return variables.params["encoder"]["mean"]["bias"].shape


def leaves(tree):
    for layer, arrays in tree.items():
        yield from ((f"{layer}/{name}", x) for name, x in arrays.items())


def of_run(path: str):
    """The method, the weights and the first test images of a trained run, as an evaluation of seed 0 sees them."""
    try:
        run = load(path)
    except InputError as error:
        raise Skip(str(error)) from error
    model = run.config.model
    kinds = [(model[side].name, model[side].activation) for side in ("encoder", "decoder") if side in model]
    if (
        run.config.method != "vae"
        or kinds != [("mlp", "tanh")] * 2
        or run.config.objective.likelihood != "bernoulli"
        or model.condition
    ):
        raise Skip(f"{path} is no unconditional VAE of fully connected tanh networks with a Bernoulli likelihood")
    test = run.dataset("test")
    if test.spec.size < BATCH:
        raise Skip(f"{path} has {test.spec.size} test images; this row takes {BATCH} at once")
    batch = next(test.sequential(min(IMAGES, test.spec.size)))
    return run.method, run.variables, as_seen(test, batch, seed=0)["image"] / 255.0
