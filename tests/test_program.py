"""The compiled update: numbers and seeds are its data, so that all trials of a sweep meet one program."""

import pytest
from shrunk import shrunk

from gen_jax.program import build

RATES = {"optimizer__learning_rate": 0.0123, "optimizer__b1": 0.3, "optimizer__b2": 0.77, "optimizer__eps": 1e-3}
OTHERS = {
    "vae_digits": {"objective__beta": 0.5, "optimizer__average": 0},
    "gan_digits": {"objective__r1_weight": 3.0, "optimizer__average": 7.0, "optimizer__discriminator_ratio": 2.0},
}


def lowered(config):
    program = build(config)
    feed = next(program.feeds(0))
    text = program.jitted.lower(program.abstract, feed, program.resident, variants=program.variants(0, 1)).as_text()
    return text, feed


@pytest.mark.parametrize("name", OTHERS)
def test_two_trials_are_one_program(name, tmp_path):
    one, feed = lowered(shrunk(name, tmp_path))
    two, other = lowered(shrunk(name, tmp_path, seed=5, data__seed=6, **RATES, **OTHERS[name]))
    assert one == two
    assert feed.hyper.keys() == other.hyper.keys() and feed.seed != other.seed and feed.data_seed != other.data_seed
    assert lowered(shrunk(name, tmp_path, data__flip=True))[0] != one
