"""A classifier, trained by the same loop as the generators: no `sample`, but `features`.

    -log p(y | x) = -log softmax(f(x))_y

Generated images are measured in the features of one that was trained on the real images of the same set.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.method import Method, State, born, mean
from gen_jax.methods import sections
from gen_jax.networks import CLASSIFIERS
from gen_jax.optimizers import descend

NETWORKS = {"classifier": CLASSIFIERS}
MODEL = {}
OBJECTIVE = {}
OPTIMIZER = {"learning_rate": 1e-3}
TRAIN = {}


def make(config, spec: Spec) -> Method:
    """The classifier of a config; refuses data with fewer than two classes."""
    if spec.classes < 2:
        raise InputError(f"method=classifier: data set {config.data.name} has no labels to learn; choose another")
    schedule = partial(sections.schedule, config, spec=spec)
    return classifier(
        network=sections.network(CLASSIFIERS, config, "classifier", spec, classes=spec.classes),
        optimizer=sections.optimizer(config),
        schedules={
            "learning_rate": schedule(config.optimizer.learning_rate),
            "b2": schedule(config.optimizer.b2),
        },
    )


def classifier(network, optimizer, schedules: dict) -> Method:
    """The classifier of this network."""

    def init(key, example, resources):
        params = {"classifier": network.init(key, _to_float(example["image"]))["params"]}
        rule = optimizer(learning_rate=0.0, b2=0.999)
        return born(params, rule.init(params))

    def features(variables, images):
        values, logits = network.apply({"params": variables.params["classifier"]}, images)
        return {"features": values, "probabilities": jax.nn.softmax(logits)}

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        labels = batch["condition"]["label"]

        def loss(params):
            _, logits = network.apply({"params": params["classifier"]}, _to_float(batch["image"]))
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses, {"loss": losses, "accuracy": logits.argmax(-1) == labels}

        rule = optimizer(learning_rate=hyper["learning_rate"], b2=hyper["b2"])
        params, opt_state, parts = descend(loss, state.params, state.opt_state, rule)
        return State(state.step + 1, params, {}, opt_state, None), {name: mean(x) for name, x in parts.items()}

    return Method(init=init, step=step, schedules=schedules, features=features)


def _to_float(images):
    return images.astype(jnp.float32) / 255.0
