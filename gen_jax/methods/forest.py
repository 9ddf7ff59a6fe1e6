"""A random forest over causal pixel contexts: each pixel given the pixels above it and to its left (Breiman 2001).

    p(x) = prod_i p(x_i | context of i),   p(c | context) = mean over trees of (n_c + alpha) / (n + alpha K)

The context of pixel i is the `context` rows above it, as far to both sides, and as many pixels to its left, -1 outside
the image; then its row and column, and its label where the model is asked by one. It falls into one leaf of each tree;
n_c counts the training contexts there whose pixel had level c of K, and alpha smooths the counts (1/2: Krichevsky &
Trofimov 1981), or a level that a leaf never saw would make an image impossible.

Trees are grown by scikit-learn on some of the contexts, each on a bootstrap sample of them. Then the leaves count the
contexts of all training images: growing is what costs memory and time, and counts of everything are worth more than
deeper trees.

Pixels are K equally spaced grey levels. With K below 256 an 8-bit value is taken for one of the values that are nearest
to its level, all of them equally likely: so `log_prob` is the exact log-probability of the 8-bit image for every K, its
sum over all images is 1, and bits/dim mean the same everywhere. Samples show the levels themselves.

A forest is kept as arrays of fixed shape: the loop, the sampler and the evaluator treat it as they treat a network.
Contexts and thresholds are integers, so that the descent in JAX ends in scikit-learn's leaf, always.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Dataset, Spec, floats
from gen_jax.data.images import evenly
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Method, Variables, born, mean
from gen_jax.methods import sections
from gen_jax.methods.codec import level_of, level_values, shared_out

FIELDS = {
    "model.condition": sections.CONDITION["model.condition"]._replace(choices=("label",)),
    "model.levels": Field(0, "grey levels, 2 to 256; 0: as many as the pixels have values", least=0, most=256),
    "model.exact": Field(False, "pixels have no value but the levels, 255 i / (levels - 1): none is shared out"),
    "model.context": Field(4, "rows above and columns to each side that a pixel sees", least=1),
    "model.trees": Field(16, "trees that are averaged", least=1),
    "model.leaves": Field(4096, "the most leaves of a tree", least=2),
    "model.least": Field(5, "the fewest contexts in a leaf", least=1),
    "model.features": Field(0.0, "share of the context that a split chooses from; 0: the root of it", least=0, most=1),
    "model.rows": Field(500_000, "contexts that trees are grown on, of those of all images", least=1),
    "model.bootstrap": Field(1.0, "share of these that a tree draws, with replacement; 0: all, once", least=0, most=1),
    "model.passes": Field(1, "times each training image is seen, flipped and binarised anew", least=1),
    "model.smoothing": Field(0.5, "alpha: added to the count of each level in a leaf", least=0),
}

AT_ONCE = 1000  # training images fetched, and looked at for the loss
COUNTED_AT_ONCE = 250


def make(config, spec: Spec) -> Method:
    """The forest of a config; refuses colour images and levels that the pixels cannot have."""
    if spec.shape[-1] != 1:
        raise InputError(f"method=forest: {config.data.name} has colour images; set data.channels=1")
    model = dict(config.model)
    levels, most = model.pop("levels"), 2 if spec.binary else 256
    if levels == 1 or levels > most:
        raise InputError(
            f"model.levels={levels}: pixels of {config.data.name} have {most} values; use 2 to {most}, or 0"
        )
    levels, exact = levels or most, model.pop("exact")
    values = level_values(levels) if exact else np.array([0, 255]) if spec.binary else np.arange(256)
    model["condition"] = dict(sections.conditions(config, spec))
    return forest(spec.shape, levels=levels, values=values, **model)


def forest(
    shape: tuple[int, int, int],
    *,
    levels: int,
    values: np.ndarray,
    context: int,
    trees: int,
    leaves: int,
    least: int,
    features: float,
    rows: int,
    bootstrap: float,
    passes: int,
    smoothing: float,
    condition: Mapping,
) -> Method:
    """The forest over images of this shape; see FIELDS and the module's docstring.

    Args:
      levels: K.
      values: the 8-bit values that a pixel can have.
      condition: the conditions of the model by name: {} or {"label": ...}.
    """
    height, width, _ = shape
    log_shares = shared_out(levels, values)

    def init(key, example, resources):
        return born({}, collections={"forest": bare(trees, leaves, levels)})

    def quantised(images):
        """Levels int32 [B, H, W] of images [B, H, W, 1] in [0, 1]."""
        return level_of(jnp.round(images[..., 0] * 255).astype(jnp.int32), levels)

    def smoothed(grown):
        """p(level) in each leaf [trees, leaves, K]."""
        counts = jnp.asarray(grown["counts"], float) + smoothing
        return counts / counts.sum(-1, keepdims=True)

    def reached(grown, padded, y, x, asked):
        """The leaf of each tree [trees] that the context of one pixel falls into."""
        seen = jax.lax.dynamic_slice(padded, (y, x), (context + 1, 2 * context + 1)).ravel()
        seen = jnp.concatenate([seen[: count_of(context)], jnp.stack([y, x, *asked.values()])])
        return descend(grown, seen)

    def by_row(grown, image, asked, of_row):
        """of_row(levels [W], leaves [W, trees]) of each row of an image [H, W]: memory does not grow with the image."""
        padded = outside(image, context)

        def row(y):
            leaf = jax.vmap(lambda x: reached(grown, padded, y, x, asked))(jnp.arange(width))
            return of_row(image[y], leaf)

        return jax.lax.map(row, jnp.arange(height))

    def log_prob(variables, images, asked):
        grown = variables.collections["forest"]
        table = smoothed(grown)

        def of_row(level, leaf):
            return jnp.log(table[jnp.arange(trees), leaf, level[:, None]].mean(-1)).sum()

        one = lambda image, asked: by_row(grown, image, asked, of_row).sum()
        rest = jnp.asarray(log_shares, float)[jnp.round(images * 255).astype(jnp.int32)].sum((1, 2, 3))
        return jax.vmap(one)(quantised(images), asked) + rest

    def drawn(variables, images, mask, keys, asked, temperature):
        """Images whose pixels are drawn in raster order, but for those that the mask keeps."""
        grown = variables.collections["forest"]
        table = smoothed(grown)
        warm = temperature > 0

        def of_image(image, keep, key, asked):
            key = jax.random.fold_in(key, 0)  # the key itself decides the label, where nobody gives one

            def pixel(i, padded):
                y, x = i // width, i % width
                log_p = jnp.log(table[jnp.arange(trees), reached(grown, padded, y, x, asked)].mean(0))
                found = jax.random.categorical(jax.random.fold_in(key, i), log_p / jnp.where(warm, temperature, 1.0))
                found = jnp.where(warm, found, log_p.argmax())
                level = jnp.where(keep[y, x] > 0, image[y, x], found)
                return padded.at[y + context, x + context].set(level.astype(jnp.int32))

            padded = jax.lax.fori_loop(0, height * width, pixel, outside(image, context))
            return padded[context:, context : context + width]

        found = jax.vmap(of_image)(quantised(images), mask[..., 0], keys, asked)
        return found[..., None] / jnp.float32(levels - 1)

    def sample(variables, keys, asked, temperature):
        nothing = jnp.zeros((*keys.shape, *shape))
        return drawn(variables, nothing, nothing, keys, asked, temperature)

    def complete(variables, images, mask, keys, asked):
        """Pixels are drawn given what stands above and to the left: what is kept below and to the right is not seen."""
        return jnp.where(mask > 0, images, drawn(variables, images, mask, keys, asked, 1.0))

    def fit(state, dataset, key):
        """Grows the trees; `loss` is the mean -log p(x) of at most 1,000 of the images that they have counted."""
        from sklearn.ensemble import RandomForestClassifier  # here, since it takes two seconds

        images, asked = everything(dataset, condition, passes, key)
        pixels = np.asarray(level_of(images[..., 0].astype(np.int32), levels), np.int16)
        seed = int(jax.random.bits(key) >> 1)
        flat = np.random.default_rng(seed).choice(pixels.size, min(rows, pixels.size), replace=False, shuffle=False)
        n, y, x = np.unravel_index(flat, pixels.shape)
        machine = RandomForestClassifier(
            trees,
            max_leaf_nodes=leaves,
            min_samples_leaf=least,
            max_features=features or "sqrt",
            bootstrap=bootstrap > 0,
            max_samples=bootstrap if bootstrap > 0 else None,
            random_state=seed,
            n_jobs=1,  # what is drawn does not depend on how threads take turns
        )
        machine.fit(contexts(pixels, n, y, x, context, asked), pixels[n, y, x])
        grown = harvest(machine, leaves, levels)
        grown["counts"] = count(grown, pixels, asked)
        some = evenly(len(images), min(len(images), AT_ONCE))
        seen = jax.tree.map(lambda x: x[some], (images, asked))
        found = jax.jit(log_prob)(Variables({}, {"forest": grown}), *floats(seen))
        return dataclasses.replace(state, collections={"forest": grown}), {"loss": mean(-found)}

    def count(grown, pixels, asked):
        """How many contexts of images [N, H, W] with each level fell into each leaf: int32 [trees, leaves, K]."""
        fall = jax.jit(jax.vmap(lambda grown, *of: by_row(grown, *of, lambda level, leaf: leaf), (None, 0, 0)))
        total = np.zeros((trees, leaves * levels), np.int32)
        for start in range(0, len(pixels), COUNTED_AT_ONCE):
            part = slice(start, start + COUNTED_AT_ONCE)
            leaf = np.asarray(fall(grown, pixels[part].astype(np.int32), {name: x[part] for name, x in asked.items()}))
            cells = leaf * levels + pixels[part, :, :, None]
            for tree in range(trees):
                total[tree] += np.bincount(cells[..., tree].ravel(), minlength=leaves * levels)
        return total.reshape(trees, leaves, levels)

    return Method(
        init=init,
        fit=fit,
        conditions=condition,
        sample=sample,
        complete=complete,
        log_prob=log_prob,
        binary=levels == 2,
    )


def count_of(context: int) -> int:
    """How many pixels a context has."""
    return context * (2 * context + 1) + context


def outside(levels, context: int):
    """Levels [H, W] of an image with -1 around them, so that a tree can tell the border from black."""
    return jnp.pad(levels, ((context, 0), (context, context)), constant_values=-1)


def contexts(levels: np.ndarray, n, y, x, context: int, asked: Mapping) -> np.ndarray:
    """float32 [R, F]: what the trees see of pixels (n, y, x), each int [R], of images int16 [N, H, W]."""
    padded = np.pad(levels, ((0, 0), (context, 0), (context, context)), constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (context + 1, 2 * context + 1), axis=(1, 2))
    seen = count_of(context)
    found = np.empty((len(n), seen + 2 + len(asked)), np.float32)
    found[:, :seen] = windows[n, y, x].reshape(len(n), -1)[:, :seen]
    found[:, seen:] = np.stack([y, x, *(value[n] for value in asked.values())], 1)
    return found


def everything(dataset: Dataset, condition: Mapping, passes: int, key: jax.Array) -> tuple[np.ndarray, dict]:
    """Images uint8 [passes * N, H, W, 1] as the model sees them, and their conditions."""
    transform, found = jax.jit(dataset.transform), []
    for i in range(passes):
        for j, batch in enumerate(dataset.sequential(min(AT_ONCE, dataset.spec.size))):
            fresh = jax.random.fold_in(jax.random.fold_in(key, i), j)
            seen = jax.device_get(transform(batch, fresh, np.uint32(dataset.seed)))
            valid = batch["mask"] > 0
            found.append(jax.tree.map(lambda x, v=valid: x[v], (seen["image"], chosen(condition, seen))))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def bare(trees: int, leaves: int, levels: int) -> dict:
    """A forest of one leaf each, where every level is equally likely: the arrays that `descend` reads.

    A tree has leaves - 1 inner nodes and `leaves` leaves, numbered after them; the root is node 0.

    Returns:
      splits: int32 [trees, leaves - 1, 4]: which feature, a threshold, the node that a context goes to where its
        feature is at most the threshold, and that for the others.
      counts: int32 [trees, leaves, levels].
      depth: int32 [], of the deepest tree.
    """
    return {
        "splits": jnp.full((trees, leaves - 1, 4), jnp.array([0, 0, leaves - 1, leaves - 1], jnp.int32)),
        "counts": jnp.ones((trees, leaves, levels), jnp.int32),
        "depth": jnp.ones((), jnp.int32),
    }


def harvest(machine, leaves: int, levels: int) -> dict:
    """The arrays of `bare` with the splits of a fitted RandomForestClassifier; its leaves keep their order."""
    found = jax.tree.map(np.array, bare(len(machine.estimators_), leaves, levels))
    for splits, tree in zip(found["splits"], (each.tree_ for each in machine.estimators_), strict=True):
        inner = tree.children_left >= 0
        number = np.where(inner, np.cumsum(inner) - 1, leaves - 2 + np.cumsum(~inner))
        low, high = number[tree.children_left], number[tree.children_right]
        # Of an integer, x <= t is x <= floor(t).
        splits[: inner.sum()] = np.stack([tree.feature, np.floor(tree.threshold), low, high], 1)[inner]
        found["depth"] = np.maximum(found["depth"], np.int32(tree.max_depth))
    return found


def descend(grown: Mapping, seen: jax.Array) -> jax.Array:
    """The leaf int32 [trees] of each tree, 0 to leaves - 1, that a context int32 [F] falls into."""
    inner = grown["splits"].shape[1]

    def of_tree(splits):
        def down(_, node):
            feature, threshold, low, high = splits[jnp.minimum(node, inner - 1)]
            return jnp.where(node < inner, jnp.where(seen[feature] <= threshold, low, high), node)

        return jax.lax.fori_loop(0, grown["depth"], down, jnp.int32(0)) - inner

    return jax.vmap(of_tree)(grown["splits"])
