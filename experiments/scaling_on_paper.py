"""What data parallelism costs on paper: bytes that devices exchange for an update, over the speed of their links.

    uv run python experiments/scaling_on_paper.py

Prints the table of docs/scale.md. Parameters and operations are counted from the programs of the shipped configs, which
are traced, on empty images of the shape of theirs, and not compiled. Nothing is measured: links, the time of a hop and
the share of the peak are the assumptions below.
"""

import math
import tempfile
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from gen_jax.config import load
from gen_jax.program import build
from gen_jax.runtime import performance

CONFIGS = {"gan_digits": (16, 16, 1), "vae_mnist": (28, 28, 1), "sngan_cifar10": (32, 32, 3)}
# Bytes a second that one device sends: inside a host of 8 H100 over NVLink, between hosts over 400 Gbit/s each.
LINKS = {8: 450e9, 64: 50e9, 512: 50e9}
PEAK = performance.PEAKS["NVIDIA H100 80GB HBM3"]["float32"]
SHARE = 0.1  # of the peak; small networks reach less
HOP = 5e-6  # seconds from one device to the next; an exchange goes up a tree of them and down again


def row(name: str, images: Path) -> list[str]:
    """The cells of one config."""
    data = [("data.name", "npz"), ("data.path", str(images))]
    config = load(name, [*data, ("mesh.devices", "1"), ("train.steps_per_call", "1")])
    program = build(config)
    state, feed = program.abstract, next(program.feeds(0))
    # Gradients are float32, whatever the layers compute in. A critic has as many gradients an update as critic steps.
    times = Counter(dict.fromkeys(state.params, 1))
    if "critic_steps" in config.train:
        times["discriminator"] = config.train.critic_steps
    sizes = {network: 4 * sum(x.size for x in jax.tree.leaves(params)) for network, params in state.params.items()}
    exchanged = sum(times[network] * size for network, size in sizes.items())
    calls = sum(times.values())
    steps = Counter(program.variants(step, 1) for step in range(1000))
    operations = sum(n * performance.cost(program, state, feed, v)[0] for v, n in steps.items()) / steps.total()
    arithmetic = operations / (SHARE * PEAK)
    cells = [f"`{name}`", f"{sum(sizes.values()) / 1e6:.3g}", f"{exchanged / 1e6:.3g}", f"{1e3 * arithmetic:.3g}"]
    for devices, link in LINKS.items():
        sending = 2 * (devices - 1) / devices * exchanged / link
        waiting = calls * 2 * math.log2(devices) * HOP
        cells.append(f"{1e3 * sending:.2g} + {1e3 * waiting:.2g}")
    return cells


def main():
    """Prints the table."""
    head = ["config", "parameters, MB", "exchanged an update, MB", "arithmetic, ms"]
    head += [f"exchange, {devices} devices, ms" for devices in LINKS]
    print("| " + " | ".join(head) + " |")
    print("| --- " * len(head) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in CONFIGS.items():
            images = Path(folder) / f"{name}.npz"
            np.savez(images, images=np.zeros((500, *shape), np.uint8), labels=np.arange(500) % 10)
            print("| " + " | ".join(row(name, images)) + " |")


if __name__ == "__main__":
    main()
