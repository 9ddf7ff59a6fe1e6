"""The share of its time that a step waits for input: MNIST, and a folder of 20,000 PNGs of 64x64 pixels.

    uv run python experiments/benchmarks/input_wait.py
    uv run python experiments/benchmarks/input_wait.py --rows=folder_read --steps=200

Each row is a training by `gen-jax train`, and the figures are those of its `timing.jsonl`, the first row left out: what
was compiled, and threads that were started, is not in them. The folder is made by a seed in a temporary directory, of
smooth colours with noise, which compress as photographs do. `folder_held` is what `train` does by itself with a set of
that size: it decodes it once and keeps it on the device. `folder_read` reads and decodes each image anew at each use
(`data.resident_megabytes=0`), as it does with a set that is larger than that.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from gen_jax.cli.main import main as gen_jax

IMAGES, SIDE = 20_000, 64
CODERS = [f"--config.model.{name}.{field}" for name in ("encoder", "decoder") for field in ("width=16", "hidden=128")]
FOLDER = ["--config=vae_fashion_mnist", "--config.data.name=folder", "--config.data.binarize=none", *CODERS]
FOLDER += ["--config.objective.likelihood=gaussian", "--config.data.batch_size=64"]
# Row -> the words of its training, and for how many of its steps one of the others counts.
ROWS = {
    "mnist": (["--config=vae_mnist"], 20),
    "folder_held": (FOLDER, 1),
    "folder_read": ([*FOLDER, "--config.data.resident_megabytes=0"], 1),
}


def make(folder: Path) -> None:
    """Writes the images."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for i in range(IMAGES):
        corners = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
        smooth = np.asarray(corners.resize((SIDE, SIDE), Image.BICUBIC), np.int16)
        noisy = np.clip(smooth + random.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:05d}.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    lines = ["| row | images/s | ms a step | waits for input |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        if "folder" in given.rows:
            make(home / "images")
        for name in given.rows.split(","):
            path = [f"--config.data.path={home / 'images'}"] if "folder" in name else []
            words, steps = ROWS[name]
            every, total = 10 * steps, given.steps // 10 * 10 * steps
            length = [f"--config.train.steps={total}", f"--config.train.log_every={every}", f"--workdir={home / name}"]
            length += ["--config.train.sample_every=0", "--config.train.checkpoint_every=0"]
            status = gen_jax(["train", *words, *path, *length])
            if status:
                sys.exit(status)
            found = [json.loads(line) for line in (home / name / "timing.jsonl").read_text().splitlines()][1:-1]
            batch = json.loads((home / name / "config.json").read_text())["data"]["batch_size"]
            middle = {key: statistics.median(row[key] for row in found) for key in ("step_seconds", "input_wait_share")}
            low, high = (each(row["input_wait_share"] for row in found) for each in (min, max))
            lines.append(
                f"| `{name}` | {batch / middle['step_seconds']:,.0f} | {1e3 * middle['step_seconds']:.1f}"
                f" | {100 * middle['input_wait_share']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
