"""Scores of generated images against real ones, each with the protocol that it was measured under.

Knows no run and no method: `prepare` looks at the real images once, `generated` draws and compares. All
metrics of sets share one pass of the extractor. `floor` is the same metric with real test images in the place of
the generated ones; comparable where `n_floor` is `n_generated`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gen_jax import metrics
from gen_jax.data.dataset import Dataset
from gen_jax.data.images import evenly
from gen_jax.errors import InputError
from gen_jax.evaluation import extractors
from gen_jax.evaluation.extractors import Extractor, Features
from gen_jax.runtime import logbook
from gen_jax.runtime.progress import Tell, quiet, say

MOST = 10_000  # generated images where no number is asked for, and images that colour and texture look at
PAIRS = 256  # images of which all pairs are compared
MANY_DEAD = 0.5  # the share of features that never change from which on it is said

GROUPS = ("frechet", "kernel", "neighbours", "vendi", "copies", "classes", "diversity", "colour", "texture")
QUICK = ("frechet", "neighbours", "classes", "diversity")  # what can be looked at while training

# What the name of a metric begins with, and which values of it are better. A set that differs more than real images do
# is no better than one that differs less, nor is a classifier surer of samples than of real images a good sign.
BETTER = {
    **dict.fromkeys(("fd_", "fid", "kd_", "kid", "lab_wasserstein", "share_closer", "copies", "glcm_"), "lower"),
    **dict.fromkeys(("nll", "bits_per_dim", "negative_log_density", "detectability_"), "lower"),
    **dict.fromkeys(("reconstruction_mae", "reconstruction_ciede2000"), "lower"),
    **dict.fromkeys(("precision", "recall", "coverage", "is_", "inception_score", "classes_found"), "higher"),
    **dict.fromkeys(
        ("lbp_similarity", "reconstruction_psnr", "reconstruction_ssim", "elbo", "log_likelihood"), "higher"
    ),
    **dict.fromkeys(("accuracy", "classification_accuracy", "code_usage", "code_perplexity"), "higher"),
    **dict.fromkeys(("caption_retrieval", "image_retrieval"), "higher"),
    **dict.fromkeys(("density", "vendi", "mean_top_probability", "label_entropy"), "as real"),
    "mean_pairwise_distance": "as real",
}
# Metrics that look at pixels, whatever the extractor is.
OF_PIXELS = ("mean_pairwise_distance", "lab_", "lbp_", "glcm_")


class Ground(NamedTuple):
    """What generated images are compared with: real images, seen by an extractor."""

    extractor: Extractor
    train: Dataset
    mesh: Any
    reference: Features  # of the training images
    held_out: Features  # of `count` test images, or all where they are fewer
    count: int  # generated images in a set
    floor: Mapping[str, float | None]  # the scores of the test images themselves; None where refused


def prepare(
    extractor: Extractor,
    train: Dataset,
    test: Dataset,
    mesh,
    count: int = 0,
    groups: Sequence[str] = GROUPS,
    *,
    reference: int = 0,
    tell: Tell = quiet,
) -> Ground:
    """Computes, or reads from the cache, all that does not depend on the model.

    Args:
      count: generated images that will be compared; 0: as many as there are test images, at most 10,000. The floor is
        of as many test images, for all these metrics depend on how many images there are; of all where they are fewer.
      reference: training images that they will be compared with; 0: all.
      tell: hears how far the work is.
    """
    known = np.arange(train.spec.size) if not reference else evenly(train.spec.size, reference)
    seen = extractors.of_dataset(extractor, train, known, mesh, tell)
    for warning in filter(None, (extractor.warning, _dead(extractor.name, seen.features))):
        say(f"warning: {warning}")
    count = count or min(test.spec.size, MOST)
    chosen = evenly(test.spec.size, count)
    held_out = extractors.of_dataset(extractor, test, chosen, mesh, tell)
    ground = Ground(extractor, train, mesh, seen, held_out, count, {})
    floor = _scores(ground, held_out, test.gather(chosen)["image"], 0, groups, partial(tell, "scores of test images"))
    return ground._replace(floor={name: value for name, (value, _) in floor.items()})


def generated(
    ground: Ground,
    draw: Callable[[range], np.ndarray],
    *,
    seed: int = 0,
    seeds: int = 1,
    groups: Sequence[str] = GROUPS,
    tell: Tell = quiet,
) -> list[dict]:
    """Scores of generated images against real ones, with their protocol.

    Args:
      draw: (seeds) -> uint8 images [N, H, W, C].
      seed: the first sampling seed, and that of random subsets.
      seeds: how many sets are drawn; a value is the mean over them, `spread` their standard deviation.
      groups: which metrics, of GROUPS.
      tell: hears how far the work is.
    """
    count = ground.count
    rounds = []
    firsts = [seed + i * count for i in range(seeds)]
    for i, first in enumerate(firsts):
        images = draw(range(first, first + count))
        of = f"of set {i + 1} of {seeds}"
        told = lambda done, of=of: tell(f"features {of}", done, count)
        told(0)
        seen = extractors.extract(ground.extractor, lambda rows, images=images: images[rows], count, ground.mesh, told)
        rounds.append(_scores(ground, seen, images, seed, groups, partial(tell, f"scores {of}")))
    protocol = {
        "n_generated": count,
        "n_reference": len(ground.reference.features),
        "n_floor": len(ground.held_out.features),
        "reference": f"{ground.train.name} {ground.train.split}",
        "reference_sha256": ground.train.fingerprint(),
        "extractor": ground.extractor.name,
        "features": ground.reference.features.shape[1],
        **ground.extractor.about,
        "sampling_seeds": [f"{first}-{first + count - 1}" for first in firsts],
        "temperature": 1.0,
    }
    dead = _dead(ground.extractor.name, ground.reference.features)
    records = []
    for name in rounds[0]:
        values = [scores[name][0] for scores in rounds]
        reasons = [scores[name][1]["refused"] for scores in rounds if "refused" in scores[name][1]]
        own = {key: value for key, value in rounds[0][name][1].items() if key != "refused"}
        record = {"metric": name, "value": None, "protocol": {**protocol, **own}}
        if reasons:  # of one set: then there is no mean over the sets
            record["refused"] = reasons[0]
        else:
            record["value"] = float(np.mean(values))
            if seeds > 1:
                record |= {"spread": float(np.std(values, ddof=1)), "values": values}
        if ground.floor.get(name) is not None:
            record["floor"] = ground.floor[name]
        warnings = [ground.extractor.warning] if not name.startswith(OF_PIXELS) else []
        warnings += [dead] if name in _distances(ground.extractor.name) else []
        if any(warnings):
            record["warning"] = "; ".join(filter(None, warnings))
        records.append(record)
    return records


def _scores(
    ground: Ground,
    seen: Features,
    images: np.ndarray,
    seed: int,
    groups: Sequence[str],
    tell: Callable[[int, int], None],
) -> dict[str, tuple[float | None, dict]]:
    """name -> (value, what its protocol adds); None where the metric refuses, with the reason."""
    real, fake = ground.reference.features, seen.features
    name = ground.extractor.name
    found, done = {}, []
    tell(0, len(groups))

    def score(group, names, compute, **protocol):
        """One computation, one or several numbers."""
        if group not in groups:
            return
        try:
            values = compute()
        except InputError as error:
            values, protocol = dict.fromkeys(names), {**protocol, "refused": str(error)}
        found.update({name: (None if values[name] is None else float(values[name]), protocol) for name in names})
        done.append(group)
        tell(len({*done}), len(groups))

    def frechet():
        for x in (real, fake):
            metrics.check_enough(*x.shape)
        return {fd: metrics.frechet_distance(real, fake)}

    fd, kd = _distances(name)
    score("frechet", [fd], frechet)
    subsets = {"subsets": 100, "subset_size": min(1000, len(real), len(fake))}
    kernel = {**subsets, "kernel_seed": seed}
    score("kernel", [kd], lambda: {kd: metrics.kernel_distance(real, fake, seed=seed, **subsets)[0]}, **kernel)
    neighbours = ("precision", "recall", "density", "coverage")
    near = {"k_precision_recall": 3, "k_density_coverage": 5}
    score("neighbours", neighbours, lambda: metrics.neighbour_metrics(real, fake)._asdict(), **near)
    score("vendi", ["vendi"], lambda: {"vendi": metrics.vendi_score(fake)})
    copies = ("share_closer", "copies")
    score("copies", copies, lambda: metrics.memorisation(fake, real, ground.held_out.features))
    if seen.probabilities is not None:
        # The name belongs to the paper's network.
        inception = "inception_score" if name == "inception" else f"is_{name}"
        splits = {"splits": 10 if len(fake) >= 5000 else 1}
        score(
            "classes",
            [inception],
            lambda: {inception: metrics.inception_score(seen.probabilities, **splits)[0]},
            **splits,
        )
        labels = ("classes_found", "mean_top_probability", "label_entropy")
        score("classes", labels, lambda: metrics.label_coverage(seen.probabilities))
    shown = images[evenly(len(images), MOST)] / np.float32(255)
    reals = ground.train.gather(evenly(ground.train.spec.size, len(shown)))["image"]
    pixels = (reals / np.float32(255), shown)
    few = images[evenly(len(images), PAIRS)] / 255.0
    pairs = {"pairs_of": len(few)}
    distance = "mean_pairwise_distance"
    score("diversity", [distance], lambda: {distance: metrics.mean_pairwise_distance(few)}, **pairs)
    lab, looked_at = "lab_wasserstein", {"looked_at": len(shown)}
    score("colour", [lab], lambda: {lab: np.mean([*metrics.lab_wasserstein(*pixels).values()])}, **looked_at)
    textures = ("lbp_similarity", "glcm_contrast", "glcm_homogeneity", "glcm_energy", "glcm_correlation")
    score("texture", textures, lambda: metrics.texture_similarity(*pixels), **looked_at)
    return found


def _distances(extractor: str) -> tuple[str, str]:
    """The names of the Frechet and the kernel distance: FID and KID belong to the paper's network."""
    return ("fid", "kid") if extractor == "inception" else (f"fd_{extractor}", f"kd_{extractor}")


def _dead(extractor: str, reference: np.ndarray) -> str:
    """That many features of the real images [N, d] never change; "" where few are so."""
    dead, width = metrics.dead_features(reference), reference.shape[1]
    if dead < MANY_DEAD * width:
        return ""
    share = f"{dead} of {width} features ({dead / width:.0%}) of extractor {extractor} are dead"
    return f"{share}: one value for all training images; distances see the others only, so try another --extractor too"


def better(metric: str) -> str:
    """Which values of a metric are better: "lower", "higher", "as real" (as those of real images), "" if unknown."""
    return next((way for name, way in BETTER.items() if metric.startswith(name)), "")


def record(score: dict, step: int, weights: str, checkpoint: str) -> dict:
    """A score as a record: with what was scored, and by which code."""
    common = {"batch_norm": "running statistics", "code": logbook.code_version()}
    where = {"step": step, "weights": weights, "checkpoint": checkpoint}
    return {**score, **where, "protocol": {**score["protocol"], "weights": weights, **common}}
