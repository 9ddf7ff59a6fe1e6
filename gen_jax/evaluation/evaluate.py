"""evaluate(run): scores of a checkpoint, each a record with the protocol that it was measured under.

What is scored follows from what the Method can do: likelihood, reconstruction, samples. A record is

    metric, value                    and unit, standard_error (over images), spread (over sampling seeds), floor
    step, weights, checkpoint        what was scored
    protocol                         how: data and its hash, extractor and its hash, numbers, seeds, version

A value is None where the metric refuses what it was given; `refused` then says why. `floor` is the same
metric with real test images in the place of the generated ones; comparable where `n_floor` is `n_generated`.
"""

import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import data, metrics, randomness
from gen_jax.config import to_json
from gen_jax.data.condition import chosen
from gen_jax.data.dataset import Dataset, floats, seen
from gen_jax.errors import InputError
from gen_jax.evaluation import extractors, scores
from gen_jax.evaluation.reals import beside
from gen_jax.export.dataset import export_dataset
from gen_jax.losses.bounds import bits_per_dimension
from gen_jax.method import Method, Variables
from gen_jax.quantizers import codes_used, perplexity
from gen_jax.run import Run
from gen_jax.runtime import logbook
from gen_jax.runtime import mesh as meshes
from gen_jax.runtime.directory import check_same_data
from gen_jax.runtime.progress import Tell, quiet, say
from gen_jax.sample import of_examples
from gen_jax.train import train as fit

BATCH = 200
# Pixels that importance samples are decoded to at once: on CPU what stays near the cores (1,800 images of MNIST were
# decoded 1.2 times as fast as 1,200 and 1.6 times as fast as 10,000), elsewhere what keeps a device busy.
PIXELS_AT_ONCE = {"cpu": 3 * 2**19}
PIXELS_ELSEWHERE = 2**22
DRAWN_AT_ONCE = 256
RIVALS = 99  # captions of other images that one's own is chosen among
MOST_RETRIEVED = 500  # test images of which each is compared with so many

# The most that a quick evaluation looks at; `reference` are the training images that samples are compared with. It goes
# without the kernel distance, which takes longer than all other scores and sees what the Frechet distance sees.
QUICK = {"seeds": 1, "importance_samples": 50, "images": 1000, "limit": 200, "reference": 5000}


def evaluate(
    run: Run,
    *,
    seed: int = 0,
    seeds: int = 3,
    importance_samples: int = 1000,
    images: int = 0,
    limit: int = 0,
    extractor: str = "",
    weights: str | None = None,
    classification_accuracy: bool = False,
    quick: bool = False,
    tell: Tell = quiet,
) -> list[dict]:
    """Records of every score that the run's Method allows, appended to the run's evaluations.jsonl.

    Where that file cannot be written, a line on stderr says so, and the records are returned all the same.

    Args:
      seed: of generated images, of the noise of the bounds and of dynamic binarisation.
      seeds: how many sets of samples are drawn; a value is the mean over them, `spread` their standard deviation.
      importance_samples: per image (k), of the likelihood.
      images: how many are generated for each of these sets; 0: as many as there are test images, at most 10,000.
      limit: likelihood and reconstruction are measured on the first so many test images; 0 for all. Where a
        set is sorted by class, as a folder is, the first ones are of one class.
      extractor: one of extractors.EXTRACTORS; "" for the classifier where there are labels, else random.
      weights: the file of the Inception network.
      classification_accuracy: also the accuracy on real images of a classifier that is trained on `images` samples of
        this run, a conditional one (Ravuri & Vinyals 2019).
      quick: looks at no more than QUICK says, which then stands in each protocol. Its numbers are of another size
        than those of a whole evaluation, and are compared with quick ones only.
      tell: hears how far the work is; `gen_jax.runtime.progress.Stages` shows it.

    Raises:
      InputError: a count that cannot be, or data that is not at hand.
    """
    for name, value, least in (
        ("importance_samples", importance_samples, 1),
        ("images", images, 0),
        ("limit", limit, 0),
        ("seed", seed, 0),
        ("seeds", seeds, 1),
    ):
        if value < least:
            raise InputError(f"--{name}={value}: must be >= {least}")
    if images == 1:
        raise InputError("--images=1: a set of samples needs two")
    if classification_accuracy and "label" not in run.method.conditions:
        raise InputError("--classification_accuracy: samples of this run have no labels; it needs a model of labels")
    train, test = run.dataset("train"), run.dataset("test")
    check_same_data(train, run.path)
    reference = 0
    if quick:
        seeds, importance_samples = min(seeds, QUICK["seeds"]), min(importance_samples, QUICK["importance_samples"])
        images = min(images or test.spec.size, QUICK["images"])
        limit, reference = min(limit or QUICK["limit"], QUICK["limit"]), QUICK["reference"]
    drawn = seeds * (images or min(test.spec.size, scores.MOST))
    if run.method.sample and seed + drawn > 2**32:
        raise InputError(f"--seed={seed}: {drawn:,} images are drawn from there on; must be <= {2**32 - drawn}")
    used = min(limit, test.spec.size) if limit else test.spec.size
    on_test = {
        "objective": to_json(run.config).get("objective", {}),
        "images": used,
        "data": f"{test.name} {test.split}",
        "data_sha256": test.fingerprint(),
        "binarize": run.config.data.binarize,
        "seed": seed,
    }
    if run.method.sample:  # made first: a wrong --extractor or --weights must not cost minutes
        chosen = extractor or (extractors.default(train) if weights is None else "inception")
        seen_by = extractors.make(chosen, train, run.config.data, fit, weights, tell=tell)
    found = []
    if run.method.bound:
        found += [_with(score, on_test) for score in _bound(run, test, seed, used, tell)]
    if run.method.log_prob or run.method.log_weights:
        found += [_with(score, on_test) for score in _likelihood(run, test, seed, importance_samples, used, tell)]
    if run.method.reconstruct:
        found += [_with(score, on_test) for score in _reconstruction(run, test, seed, used, tell)]
    if run.method.encode and run.method.vocabulary:
        found += [_with(score, on_test) for score in _codes(run, test, seed, used, tell)]
    if run.method.features:
        found += [_with(score, on_test) for score in _accuracy(run, test, used)]
    if run.method.match:
        found += [_with(score, on_test) for score in _retrieval(run, test, seed, used, tell)]
    if run.method.sample:
        groups = [group for group in scores.GROUPS if not quick or group != "kernel"]
        real = [beside(run.method, images, run.config.data.binarize) for images in (train, test)]
        ground = scores.prepare(seen_by, *real, run.mesh, images, groups, reference=reference, tell=tell)
        draw = functools.partial(_draw, run, test, tell)
        found += scores.generated(ground, draw, seed=seed, seeds=seeds, groups=groups, tell=tell)
    if classification_accuracy:
        found += _classification_accuracy(run, train, test, seed, images or train.spec.size, tell)
    if quick:
        found = [_with(score, {"quick": QUICK}) for score in found]
    records = [scores.record(score, run.step, run.weights, run.checkpoint) for score in found]
    try:
        logbook.append_rows(run.path / "evaluations.jsonl", records)
    except InputError as error:  # minutes of work must not be lost for it
        say(f"the scores are not recorded in the run: {error}")
    return records


def _draw(run, test, tell, seeds):
    """The samples of a set, asked for as test examples are."""
    drawn, stage = [], f"samples of seeds {seeds[0]} to {seeds[-1]}"
    tell(stage, 0, len(seeds))
    for start in range(0, len(seeds), DRAWN_AT_ONCE):
        some = seeds[start : start + DRAWN_AT_ONCE]
        drawn.append(run.sample(some, of_examples(run.method, test, some)))
        tell(stage, start + len(some), len(seeds))
    return np.concatenate(drawn)


def _with(score, protocol):
    return {**score, "protocol": {**protocol, **score.get("protocol", {})}}


def as_seen(dataset: Dataset, batch: dict, seed: int) -> dict:
    """A host batch as the model sees it in an evaluation of this seed (`gen_jax.data.dataset.seen`)."""
    return seen(dataset, batch, randomness.stream(seed, randomness.EVAL))


def _batches(run: Run, dataset: Dataset, seed: int, used: int, told: Callable[[int], None]) -> Iterator[tuple]:
    """(images in [0, 1], condition, keys [B], rows that count) over the first `used` images, sharded."""
    told(0)
    size = -(-min(BATCH, used) // run.mesh.size) * run.mesh.size
    base = jax.random.fold_in(randomness.stream(seed, randomness.EVAL), 1)
    left = used
    for batch in dataset.sequential(size):
        batch = meshes.put(meshes.batched(run.mesh), as_seen(dataset, batch, seed))
        keys = randomness.row_keys(base, batch["index"])
        batch = floats(batch)
        yield batch["image"], chosen(run.method.conditions, batch), keys, min(size, left)
        left -= size
        told(used - max(left, 0))
        if left <= 0:
            return


def _bound(run, test, seed, used, tell):
    """Every named term of the bound."""
    bound = jax.jit(run.method.bound)
    found = {}
    for images, condition, keys, valid in _batches(
        run, test, seed, used, lambda n: tell("bound of test images", n, used)
    ):
        for name, term in bound(run.variables, images, keys, condition).items():
            found.setdefault(name, []).append(np.asarray(term)[:valid])
    return [{"metric": n, **_mean(np.concatenate(v).astype(np.float64)), "unit": "nats"} for n, v in found.items()]


def _likelihood(run, test, seed, samples, used, tell):
    """log p(x) of test images: exact where the method can say it, else estimated by importance sampling."""
    exact = run.method.log_prob and jax.jit(run.method.log_prob)
    log_p = []
    told = lambda done: tell("likelihood of test images", int(done), used)
    for images, condition, keys, valid in _batches(run, test, seed, used, told):
        if exact:
            found = exact(run.variables, images, condition)
        else:
            # Fresh noise: the estimate must not share its first sample with the bound beside it.
            fresh = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
            before = sum(map(len, log_p))
            part = lambda share, before=before, valid=valid: told(before + share * valid)
            found = importance_weighted(run.method, run.variables, images, fresh, samples, condition, part)
        log_p.append(np.asarray(found)[:valid])
    log_p = np.concatenate(log_p).astype(np.float64)
    how = {"protocol": {"likelihood": "exact"} if exact else {"likelihood": "importance-weighted", "k": samples}}
    if not run.method.discrete:  # a density of real pixels: no number of bits, and not to be compared with one
        return [{"metric": "negative_log_density", **_mean(-log_p), "unit": "nats", **how}]
    bits = {"value": float(bits_per_dimension(-log_p.mean(), int(np.prod(test.spec.shape)))), "unit": "bits"}
    return [{"metric": "nll", **_mean(-log_p), "unit": "nats", **how}, {"metric": "bits_per_dim", **bits, **how}]


def importance_weighted(
    method: Method,
    variables: Variables,
    images: jax.Array,
    keys: jax.Array,
    samples: int,
    condition: Mapping,
    told: Callable[[float], None] = lambda share: None,
) -> jax.Array:
    """log 1/k sum_i p(x, z_i) / q(z_i | x) [B] nats of k samples an image (Burda et al. 2016, eq. 8).

    In blocks of samples, so that memory does not grow with k. The loop over blocks is Python's, for on CPU a
    convolution inside a compiled loop is some 19 times slower: call this as it is, not under jit.

    Args:
      images: float32 [B, H, W, C] in [0, 1].
      keys: one an image [B]; sample i of an image has its key folded with i, whatever the blocks are.
      samples: k.
      told: hears which share of the samples is done.
    """
    images = jnp.asarray(images)
    block = _log_weights(method.log_weights)
    pixels = PIXELS_AT_ONCE.get(next(iter(images.devices())).platform, PIXELS_ELSEWHERE)
    size = min(samples, max(1, pixels // images.size))
    before = total = jnp.full(len(images), -jnp.inf)
    for start in range(0, samples, size):
        before.block_until_ready()  # one block is under way while the next one is asked for, and no more than that
        before, total = total, block(total, variables, images, keys, start + np.arange(size), samples, condition)
        told(min(start + size, samples) / samples)
    return total - jnp.log(samples)


@functools.lru_cache(maxsize=4)
def _log_weights(log_weights):
    @jax.jit
    def block(total, variables, images, keys, index, samples, condition):
        """log(exp(total) + these weights). The last block reaches beyond the last sample: one shape for all."""
        sample_keys = jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(index))(keys)
        found = log_weights(variables, images, sample_keys, condition)
        return jnp.logaddexp(total, jax.nn.logsumexp(jnp.where(index < samples, found, -jnp.inf), axis=1))

    return block


def _mean(values):
    """Mean and its standard error; None, which JSON can say, where there is no such number."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    numbers = {"value": float(values.mean()), "standard_error": error}
    return {name: x if x is not None and np.isfinite(x) else None for name, x in numbers.items()}


def _reconstruction(run, test, seed, used, tell):
    """Paired scores: each test image beside its own reconstruction."""
    paired = {
        "reconstruction_mae": (metrics.mean_absolute_error, "of [0, 1]"),
        "reconstruction_psnr": (metrics.psnr, "dB"),
        "reconstruction_ciede2000": (metrics.colour_difference, "CIEDE2000"),
    }
    if min(test.spec.shape[:2]) >= 11:
        paired["reconstruction_ssim"] = (metrics.ssim, "of [-1, 1]")
    found = {name: [] for name in paired}
    reconstruct = jax.jit(run.method.reconstruct)
    told = lambda done: tell("reconstructions of test images", done, used)
    for images, condition, _, valid in _batches(run, test, seed, used, told):
        pair = [np.asarray(x)[:valid] for x in (images, reconstruct(run.variables, images, condition))]
        for name, (metric, _) in paired.items():
            found[name].append(np.asarray(metric(*pair)))
    return [{"metric": n, **_mean(np.concatenate(v)), "unit": paired[n][1]} for n, v in found.items()]


def _codes(run, test, seed, used, tell):
    """How much of its vocabulary a tokenizer uses for the test images."""
    size = run.method.vocabulary.size
    encode = jax.jit(run.method.encode)
    counts = np.zeros(size)
    told = lambda done: tell("codes of test images", done, used)
    for images, condition, _, valid in _batches(run, test, seed, used, told):
        counts += np.bincount(np.asarray(encode(run.variables, images, condition))[:valid].ravel(), minlength=size)
    values = {"code_usage": (codes_used(counts), "of the codes"), "code_perplexity": (perplexity(counts), "codes")}
    of = {"protocol": {"codes": size}}
    return [{"metric": name, "value": float(value), "unit": unit, **of} for name, (value, unit) in values.items()]


def _classification_accuracy(run, train, test, seed, count, tell):
    """A classifier learns from samples and their labels, and is asked about real images."""
    with tempfile.TemporaryDirectory() as folder:
        out = export_dataset(run, Path(folder) / "set", count=count, seed=seed, record={}, tell=tell)
        section = {name: run.config.data[name] for name in data.FIELDS if name in run.config.data}
        section |= {"name": "folder", "path": str(out / "images"), "labels": "folder"}
        section["image_size"] = min(run.spec.shape[:2])
        samples = data.make(**{**section, "binarize": "none", "flip": False})
        if samples.spec.classes != run.spec.classes:
            drawn = f"{count} samples show {samples.spec.classes} of {run.spec.classes} classes"
            raise InputError(f"--classification_accuracy: {drawn}; draw more with --images")
        learned = extractors.make("classifier", samples, section, fit, tell=tell)
    known = extractors.make("classifier", train, run.config.data, fit, tell=tell)
    asked = beside(run.method, test, run.config.data.binarize)

    protocol = {
        "n_trained_on": samples.spec.size,
        "sampling_seeds": f"{seed}-{seed + count - 1}",
        "data": f"{test.name} {test.split}",
        "data_sha256": test.fingerprint(),
        "n_floor_trained_on": train.spec.size,
    }
    floor = float(extractors.right(known, test, run.mesh).mean())  # of the same classifier, trained on real images
    score = {
        "metric": "classification_accuracy",
        **_mean(extractors.right(learned, asked, run.mesh).astype(np.float64)),
        "floor": floor,
    }
    return [{**score, "protocol": protocol}]


def _retrieval(run, test, seed, used, tell):
    """How often an image is nearer to its own caption than to those of 99 other test images, and the other way round.

    Captions that say the same as its own are no rivals. A tie is a miss.
    """
    match = jax.jit(lambda variables, images, condition: run.method.match(variables, floats(images), floats(condition)))
    rng, used = np.random.Generator(np.random.PCG64(seed)), min(used, MOST_RETRIEVED)
    rivals = min(RIVALS, test.spec.size - 1)
    image_right, caption_right = [], []
    for i in range(used):
        others = rng.permutation(test.spec.size - 1)[:rivals]
        index = np.concatenate([[i], others + (others >= i)])
        batch = test.gather(index)
        images, asked = batch["image"], chosen(run.method.conditions, batch)
        own = jax.tree.map(lambda x: np.broadcast_to(x[:1], x.shape), (images, asked))
        same = np.all([(x == x[:1]).reshape(len(x), -1).all(1) for x in asked.values()], 0)[1:]
        for right, pair in ((image_right, (own[0], asked)), (caption_right, (images, own[1]))):
            found = np.asarray(match(run.variables, *pair))
            right.append(np.float64(found[0] > np.where(same, -np.inf, found[1:]).max(initial=-np.inf)))
        tell("captions of test images", i + 1, used)
    how = {"protocol": {"rivals": rivals, "images": used}}
    return [
        {"metric": "caption_retrieval", **_mean(np.array(image_right)), **how},
        {"metric": "image_retrieval", **_mean(np.array(caption_right)), **how},
    ]


def _accuracy(run, test, used):
    right = []
    predict = jax.jit(lambda variables, images: run.method.features(variables, floats(images)))
    size = min(BATCH, used)
    for start in range(0, used, size):
        index = np.arange(start, min(start + size, used))
        batch = test.gather(index)
        seen = predict(run.variables, batch["image"])["probabilities"].argmax(-1) == batch["condition"]["label"]
        right.append(np.asarray(seen, np.float64))
    return [{"metric": "accuracy", **_mean(np.concatenate(right))}]
