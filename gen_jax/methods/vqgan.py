"""A tokenizer whose decoder plays against a critic of patches as well (VQGAN, Esser et al. 2021, eq. 5 and 6).

    min_{f, g} max_D   L(f, g) + weight * game(D(x), D(g(f(x))))

L is the loss of `tokenizer`, whatever its quantiser. Squared error alone makes what it is unsure of grey and blurred;
the critic sees that. It learns from the first step on, on the reconstructions of the updated decoder. The decoder
hears of it by `objective.adversarial_weight`, a number or a schedule: the paper's weight that follows the ratio of two
gradients is not here. Values of the game are means over patches.
"""

from collections.abc import Mapping
from dataclasses import replace

import jax

from gen_jax import optimizers
from gen_jax.data.dataset import Spec
from gen_jax.field import Field
from gen_jax.losses import adversarial
from gen_jax.method import Method, Source, State, Variables, means
from gen_jax.methods import sections, tokenizer
from gen_jax.networks import PATCH_CRITICS
from gen_jax.optimizers import Rule, descend

NETWORKS = {**tokenizer.NETWORKS, "critic": PATCH_CRITICS}
FIELDS = {
    **tokenizer.FIELDS,
    "objective.loss": Field("hinge", "the game of decoder and critic", choices=adversarial.OBJECTIVES),
    "objective.adversarial_weight": Field(0.1, "weight of the decoder's part of the game", schedule=True, least=0),
    "optimizer.critic_ratio": Field(1.0, "the critic's learning rate over the tokenizer's", schedule=True, least=0),
}


def make(config, spec: Spec, sources: Mapping[str, Source]) -> Method:
    """The VQGAN of a config; refuses what does not go together."""
    critic = sections.network(PATCH_CRITICS, config, "critic")
    game = sections.function(adversarial.OBJECTIVES, config, "objective", "loss")

    def judged(params, images, drawn):
        """What both players minimise, [B] each: the mean over an image's patches, of which each is an example."""
        logits = (critic.apply({"params": params}, x).reshape(-1) for x in (images, drawn))
        return jax.tree.map(lambda losses: losses.reshape(len(images), -1).mean(1), game(*logits))

    added = {"adversarial": lambda frozen, images, drawn: judged(frozen["critic"], images, drawn).generator}
    ratio = sections.schedule(config, config.optimizer.critic_ratio, spec)
    base = tokenizer.make(config, spec, sources, added)
    return vqgan(base, critic, judged, sections.rule(config), config.train.accumulate, ratio)


def vqgan(base: Method, critic, judged, rule: Rule, parts: int, ratio) -> Method:
    """The tokenizer `base`, whose loss reads collections["frozen"]["critic"], and the critic beside it."""

    def init(key, example, resources):
        born = base.init(key, example, resources)
        params = critic.init(jax.random.fold_in(key, 1), example["image"])["params"]
        opt_state = {"tokenizer": born.opt_state, "critic": optimizers.start(rule, params)}
        return replace(born, params={**born.params, "critic": params}, opt_state=opt_state)

    def without(state):
        """The State of the tokenizer alone, to which the critic is a constant."""
        own = {name: value for name, value in state.params.items() if name != "critic"}
        frozen = {**state.collections["frozen"], "critic": state.params["critic"]}
        collections = {**state.collections, "frozen": frozen}
        return replace(state, params=own, collections=collections, opt_state=state.opt_state["tokenizer"])

    def step(state: State, batches, key, hyper, variant):
        now, metrics = base.step(without(state), batches, key, hyper, variant)
        images = batches[0]["image"]
        drawn = base.reconstruct(Variables(now.params, now.collections), images, {})

        def loss(params, rows):
            losses = judged(params, *rows).discriminator
            return losses, means({"critic": losses})

        rate = {**hyper, "learning_rate": hyper["learning_rate"] * hyper["critic_ratio"]}
        params, opt_state, beside = descend(
            loss, state.params["critic"], state.opt_state["critic"], rule(rate), (images, drawn), parts
        )
        state = replace(
            now,
            params={**now.params, "critic": params},
            collections={**now.collections, "frozen": state.collections["frozen"]},
            opt_state={"tokenizer": now.opt_state, "critic": opt_state},
        )
        return state, metrics | beside

    return base._replace(init=init, step=step, schedules={**base.schedules, "critic_ratio": ratio})
