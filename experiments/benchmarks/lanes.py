"""Updates a second of several runs trained as the lanes of one compiled update, beside one run by itself.

    uv run python experiments/benchmarks/lanes.py
    XLA_FLAGS=--xla_force_host_platform_device_count=8 uv run python experiments/benchmarks/lanes.py \
        --config=gan_digits --lanes=1,4,8 --config.model.generator.width=8 --config.model.discriminator.width=8

The sides take turns round by round; times are medians over rounds, so that a busy machine is unkind to all alike.
`alone` is the update that `gen-jax train` calls, on one device; lanes are what `gen-jax sweep --lanes=N` calls. Each
has a learning rate of its own. Processor time is that of this process, in which all simulated devices are.
"""

import argparse
import itertools
import statistics
import time

import jax
import numpy as np

from gen_jax.config import load
from gen_jax.errors import in_one_line
from gen_jax.lanes import together
from gen_jax.program import build
from gen_jax.runtime.compilation import enable_cache


class Side:
    """A training that goes on as long as it is asked to."""

    def __init__(self, program):
        self.program, self.state, self.step = program, program.init(), 0
        self.feeds = program.feeds(0)
        began = time.perf_counter()
        for _ in range(8):  # all programs that the updates alternate between
            self.update()
        jax.block_until_ready(self.state)
        self.first = time.perf_counter() - began

    def update(self):
        count = self.program.length.steps_per_call
        variants = self.program.variants(self.step, count)
        self.state, _ = self.program.update(self.state, next(self.feeds), variants)
        self.step += count

    def round(self, updates: int) -> tuple[float, float]:
        """Wall and processor seconds an update."""
        wall, processor, before = time.perf_counter(), time.process_time(), self.step
        while self.step < before + updates:
            self.update()
        jax.block_until_ready(self.state)
        done = self.step - before
        return (time.perf_counter() - wall) / done, (time.process_time() - processor) / done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="vae_digits")
    parser.add_argument("--lanes", default="1,4,16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=64, help="of a round")
    given, words = parser.parse_known_args()
    enable_cache()
    overrides = [word.removeprefix("--config.").partition("=")[::2] for word in words]
    overrides += [("train.steps", str(10**9))]
    rates = lambda count: [f"{rate:.3g}" for rate in np.geomspace(1e-3, 1e-4, count)]
    config = lambda rate: load(given.config, [*overrides, ("optimizer.learning_rate", rate)])
    sides = {"alone": Side(build(load(given.config, [*overrides, ("mesh.devices", "1")])))}
    counts = [int(word) for word in given.lanes.split(",")]
    for count in counts:
        sides[count] = Side(together([config(rate) for rate in rates(count)]).program)
    times = {name: [] for name in sides}
    for _, (name, side) in itertools.product(range(given.rounds), sides.items()):
        times[name].append(side.round(given.updates))
    print("| lanes | devices | ms a call | lowest to highest | updates/s | beside alone | processor ms | first s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    middle = {name: statistics.median(wall for wall, _ in found) for name, found in times.items()}
    for name, side in sides.items():
        walls, count = [1e3 * wall for wall, _ in times[name]], 1 if name == "alone" else name
        processor = 1e3 * statistics.median(seconds for _, seconds in times[name]) / count
        rate, gain = count / middle[name], count * middle["alone"] / middle[name]
        print(
            f"| {name} | {side.program.mesh.size} | {1e3 * middle[name]:.2f} | {min(walls):.2f} to {max(walls):.2f}"
            f" | {rate:.0f} | {gain:.2f} | {processor:.2f} an update | {side.first:.1f} |"
        )


if __name__ == "__main__":
    with in_one_line():
        main()
