"""Every field that a config may have: its type, its one-line meaning, what is refused.

This table is the schema. A field that is not here does not exist: `gen-jax config` prints from it,
overrides are parsed by it and a typo is answered from it. `*` stands for one level of the path.
"""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from gen_jax import schedules

SCHEDULE = "float or schedule"


class Field(NamedTuple):
    """One field: `kind` is a type or SCHEDULE; `least` an inclusive bound; `choices` the values allowed."""

    kind: type | str
    meaning: str
    least: float | None = None
    choices: Callable[[], Iterable[str]] | None = None
    most: float | None = None


def _methods():
    from gen_jax.methods import METHODS

    return METHODS


def _losses():
    from gen_jax.losses.adversarial import OBJECTIVES

    return OBJECTIVES


def _likelihoods():
    from gen_jax.methods.vae import LIKELIHOODS

    return LIKELIHOODS


def _networks():
    from gen_jax import networks

    tables = ("GENERATORS", "DISCRIMINATORS", "ENCODERS", "DECODERS", "CLASSIFIERS")
    return {name for table in tables for name in getattr(networks, table)}


def _optimizers():
    from gen_jax.optimizers import OPTIMIZERS

    return OPTIMIZERS


FIELDS: dict[str, Field] = {
    "seed": Field(int, "seed of every random choice but the data order", 0, most=2**32 - 1),
    "method": Field(str, "generative family", choices=_methods),
    "data.name": Field(str, "digits, folder, npz, or the name of a prepared TFDS image set"),
    "data.path": Field(str, "the folder or the .npz file, where data.name asks for one"),
    "data.image_size": Field(int, "side in pixels after data.resize; 0: as stored", 0),
    "data.channels": Field(int, "1: greyscale, 3: RGB, 0: as stored", 0, most=3),
    "data.batch_size": Field(int, "images in the global batch, over all devices and processes", 1),
    "data.seed": Field(int, "seed of the data order and of random transforms", 0, most=2**32 - 1),
    "data.binarize": Field(
        str,
        "none; dynamic: drawn anew at each use; static: drawn once per image; threshold: at 128",
        choices=lambda: ("none", "dynamic", "static", "threshold"),
    ),
    "data.flip": Field(bool, "mirror each training image left-right with probability 1/2"),
    "data.resize": Field(
        str,
        "crop: shorter side to size, centre crop; stretch: ignore aspect",
        choices=lambda: ("crop", "stretch"),
    ),
    "data.resident_megabytes": Field(int, "sets that decode to less are kept decoded, and on the device", 0),
    "data.text": Field(
        str,
        "captions are read as words of the set's own, as bytes, or (none) not at all",
        choices=lambda: ("words", "bytes", "none"),
    ),
    "data.text_length": Field(
        int, "words or bytes of a caption, begin and end included; 0: of the longest", 0, most=2**16
    ),
    "data.audio": Field(str, "a TFDS set of spoken words: each image hears its class; empty: none"),
    "data.condition_path": Field(str, "folder of the images that those of data.path can be asked for by; empty: none"),
    "model.latent_size": Field(int, "entries of the latent vector", 1),
    "model.conditional": Field(bool, "condition every network on the class label"),
    "model.dtype": Field(
        str, "type that layers compute in; parameters stay float32", choices=lambda: ("float32", "bfloat16")
    ),
    "model.*.name": Field(str, "architecture of this network", choices=_networks),
    "model.*.width": Field(int, "channels; the architecture says of which stage", 1),
    "model.*.hidden": Field(int, "units of the dense layer between latents and feature maps", 1),
    "model.*.features": Field(int, "units of the layer that serves as features", 1),
    "model.*.widths": Field(tuple, "units of each hidden layer", 1),
    "model.*.activation": Field(str, "activation of the hidden layers", choices=lambda: ("tanh", "relu", "silu")),
    "model.*.norm": Field(str, "normalisation", choices=lambda: ("none", "batch", "spectral")),
    "objective.loss": Field(str, "adversarial objective", choices=_losses),
    "objective.r1_weight": Field(SCHEDULE, "gamma: gamma/2 times the squared gradient at reals is added", 0),
    "objective.r2_weight": Field(SCHEDULE, "gamma: gamma/2 times the squared gradient at fakes is added", 0),
    "objective.gradient_penalty_weight": Field(SCHEDULE, "lambda of WGAN-GP's penalty at interpolates", 0),
    "objective.penalty_every": Field(int, "penalties at every n-th step only, n times as heavy (lazy)", 1),
    "objective.likelihood": Field(str, "p(x | z)", choices=_likelihoods),
    "objective.scale": Field(
        str,
        "scale of a gaussian or logistic likelihood: fixed, or learned (one a channel)",
        choices=lambda: ("fixed", "learned"),
    ),
    "objective.log_scale": Field(float, "log of that scale (its start where learned), pixels in [0, 1]"),
    "objective.beta": Field(SCHEDULE, "weight of the KL term", 0),
    "optimizer.name": Field(str, "gradient transformation", choices=_optimizers),
    "optimizer.learning_rate": Field(SCHEDULE, "learning rate", 0),
    "optimizer.discriminator_ratio": Field(float, "the critic's learning rate over the generator's", 0),
    "optimizer.b1": Field(float, "decay of the first moment (momentum, for sgd)", 0, most=1),
    "optimizer.b2": Field(SCHEDULE, "decay of the second moment", 0, most=1),
    "optimizer.eps": Field(float, "added to the root of the second moment", 0),
    "optimizer.weight_decay": Field(float, "decoupled weight decay (adamw)", 0),
    "optimizer.clip": Field(float, "largest global norm of a gradient; 0: no clipping", 0),
    "optimizer.average": Field(SCHEDULE, "half-life in images of the moving average; 0: none kept", 0),
    "train.steps": Field(int, "updates in all", 1),
    "train.log_every": Field(int, "updates between rows of metrics.jsonl", 1),
    "train.sample_every": Field(int, "updates between sample grids; 0: only at the end", 0),
    "train.checkpoint_every": Field(int, "updates between checkpoints; 0: only at the end", 0),
    "train.evaluate_every": Field(int, "updates between scores of the samples; 0: none while training", 0),
    "train.keep_checkpoints": Field(int, "how many of the latest checkpoints stay", 1),
    "train.critic_steps": Field(int, "critic updates for each generator update", 1),
    "train.steps_per_call": Field(int, "updates in one compiled call (scanned on accelerators)", 1),
    "evaluate.extractor": Field(
        str,
        "what sees the samples while training; empty: by the data",
        choices=lambda: ("", "classifier", "random", "pixels"),
    ),
    "evaluate.count": Field(int, "samples that are scored while training; at most as many as test images", 2),
    "evaluate.best": Field(str, "metric whose best weights are kept in best/; empty: the Frechet distance"),
    "mesh.devices": Field(int, "devices along the data axis; -1: all", -1),
    # The fields of a schedule, wherever one stands.
    "*.*.kind": Field(str, "shape of the schedule", choices=lambda: schedules.KINDS),
    "*.*.start": Field(float, "value at step 0"),
    "*.*.end": Field(float, "value after `over`, and from then on"),
    "*.*.over": Field(float, "length of the schedule; 0: the whole run", 0),
    "*.*.unit": Field(str, "what `over` counts", choices=lambda: schedules.UNITS),
}


def find(path: str) -> Field | None:
    """The Field of a dotted path, None if there is no such field."""
    if path in FIELDS:
        return FIELDS[path]
    levels = path.count(".")
    for pattern, field in FIELDS.items():
        if "*" in pattern and pattern.count(".") == levels and fnmatchcase(path, pattern):
            # `*.*.kind` is a schedule's field only where a schedule may stand.
            if pattern.startswith("*.*.") and getattr(FIELDS.get(path.rpartition(".")[0]), "kind", "") != SCHEDULE:
                continue
            return field
    return None
