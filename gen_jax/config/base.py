"""The sections that every experiment shares, with their defaults; a config file edits this base."""

import ml_collections


def base(method: str) -> ml_collections.ConfigDict:
    """A config for `method` ("vae", "gan", ...): shared sections plus the method's own objective.

    The file that calls it sets the rest: the networks under `model`, the data, the lengths. Fields of
    a network that the file leaves out take the network's own defaults when the config is loaded.
    """
    from gen_jax.methods import METHODS

    # Types are checked against the table of fields, which knows that a number may become a schedule.
    config = ml_collections.ConfigDict(type_safe=False)
    config.seed = 0
    config.method = method
    config.data = {
        "name": "digits",
        "path": "",
        "image_size": 0,
        "channels": 0,
        "batch_size": 64,
        "seed": 0,
        "binarize": "none",
        "flip": False,
        "resize": "crop",
        "resident_megabytes": 2048,
        "text": "words",
        "text_length": 0,
        "audio": "",
        "condition_path": "",
    }
    config.model = {"dtype": "float32", **METHODS[method].MODEL}
    config.objective = METHODS[method].OBJECTIVE
    config.optimizer = {
        "name": "adam",
        "learning_rate": 2e-4,
        "b1": 0.9,
        "b2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "clip": 0.0,
        "average": 0.0,
        **METHODS[method].OPTIMIZER,
    }
    config.train = {
        "steps": 1000,
        "log_every": 50,
        "sample_every": 500,
        "checkpoint_every": 500,
        "evaluate_every": 0,
        "keep_checkpoints": 3,
        "steps_per_call": 1,
        **METHODS[method].TRAIN,
    }
    config.evaluate = {"extractor": "", "count": 1000, "best": ""}
    config.mesh = {"devices": -1}
    return config
