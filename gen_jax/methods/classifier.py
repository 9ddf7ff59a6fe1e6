"""A classifier, trained by the same loop as the generators: no `sample`, but `features`.

    -log p(y | x) = -log softmax(f(x))_y

Generated images are measured in the features of one that was trained on the real images of the same set.
"""

import jax
import optax

from gen_jax import optimizers
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.method import Method, State, born, mean
from gen_jax.methods import sections
from gen_jax.networks import CLASSIFIERS
from gen_jax.optimizers import Rule, descend

NETWORKS = {"classifier": CLASSIFIERS}
FIELDS = {**optimizers.FIELDS, **optimizers.ACCUMULATE, **sections.COMPUTE}


def make(config, spec: Spec) -> Method:
    """The classifier of a config; refuses data with fewer than two classes."""
    if spec.classes < 2:
        raise InputError(f"method=classifier: data set {config.data.name} has no labels to learn; choose another")
    return classifier(
        network=sections.network(CLASSIFIERS, config, "classifier", classes=spec.classes),
        rule=sections.rule(config),
        parts=config.train.accumulate,
        schedules=sections.hyper(config, spec),
    )


def classifier(network, rule: Rule, schedules: dict, parts: int) -> Method:
    """The classifier of this network."""

    def init(key, example, resources):
        params = {"classifier": network.init(key, example["image"])["params"]}
        return born(params, optimizers.start(rule, params))

    def features(variables, images):
        values, logits = network.apply({"params": variables.params["classifier"]}, images)
        return {"features": values, "probabilities": jax.nn.softmax(logits)}

    def step(state, batches, key, hyper, variant):
        (batch,) = batches
        rows = batch["image"], batch["condition"]["label"]

        def loss(params, rows):
            images, labels = rows
            _, logits = network.apply({"params": params["classifier"]}, images)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses, {"loss": mean(losses), "accuracy": mean(logits.argmax(-1) == labels)}

        params, opt_state, metrics = descend(loss, state.params, state.opt_state, rule(hyper), rows, parts)
        return State(state.step + 1, params, {}, opt_state, None), metrics

    return Method(init=init, step=step, schedules=schedules, features=features)
