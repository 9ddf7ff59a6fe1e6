"""Digits drawn from speech: tokenizer, transformer, and how often the digit drawn is the one that was spoken.

    uv run python experiments/speech_to_image.py FOLDER
    uv run python experiments/speech_to_image.py FOLDER --speaker=theo

needs MNIST and `free_spoken_digit`, prepared (docs/data.md). The first line holds out takes, by the set's own split:
all speakers are known. The second holds out a speaker: of that one nothing is heard in training. What is there already
in FOLDER is used again, and what was ended before its end goes on.
"""

import argparse
from pathlib import Path

from as_asked import as_asked

import gen_jax
from gen_jax.config import load
from gen_jax.errors import in_one_line
from gen_jax.evaluation.during_training import observers
from gen_jax.train import train


def trained(name: str, workdir: Path, **fields) -> Path:
    """The directory of a run of this config."""
    config = load(name, [(field.replace("__", "."), str(value)) for field, value in fields.items()])
    train(config, workdir, observers=observers(config), say=True, name=name)
    return workdir


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("--speaker", default="", help="who is left out of training: jackson, nicolas, theo, ...")
    parser.add_argument("--steps", type=int, default=3000, help="of the transformer")
    asked = parser.parse_args()
    tokenizer = trained("vqvae_mnist", asked.folder / "tokenizer")
    fields = {"source__run": tokenizer, "train__steps": asked.steps}
    if asked.speaker:
        fields["data__speaker"] = asked.speaker
    run = trained("gpt_speech", asked.folder / f"speech{asked.speaker and '-' + asked.speaker}", **fields)
    for name, share in as_asked(gen_jax.load(run)).items():
        print(f"{name}: {share:.3f}")


if __name__ == "__main__":
    with in_one_line():
        main()
