"""One train step in JAX and in PyTorch, side by side.

    uv run python experiments/benchmarks/train_step.py --model=dcgan
    uv run python experiments/benchmarks/train_step.py --model=vae --batch=100

    dcgan   32 x 32 x 3: a critic step and a generator step, each on noise of its own, two Adams
    vae     recipe A of the IWAE paper, 784-200-200-50 and back, Adam

gen_jax's step is the update that `gen-jax train` calls, with its data order, its noise per row and its
metrics; PyTorch's is the usual eager loop, with Adam as it comes, and once more in its fastest form: fused
Adam, and images channels-last. Each framework runs in a process of its own and waits while
another one works; the rounds alternate, so that a busy machine is unkind to all alike, and the medians are
over rounds. Warm-up (compilation) is not timed. The networks have the same number of parameters, data and
state lie on the device, a random index gathers each batch, and every framework may use every core.
`--steps_per_call` is gen_jax's `train.steps_per_call`.

"processor" is the processor time of the whole process; on a machine shared with others it is the steadier
figure. A line's ratio is gen_jax's time over that line's: below 1, gen_jax is the faster. PyTorch comes
with `uv sync --extra torch`.

A busy machine is warned of, and its figures are not to be quoted: PyTorch's threads wait for each other by
spinning, and where one of them lost its core a step of the vae was seen to take 300 times as long. With
OMP_WAIT_POLICY=PASSIVE in the environment they sleep instead.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time

BATCHES = {"dcgan": 64, "vae": 20}
# The options of in_torch.build. The vae has no images, hence no image layout.
TORCH = {
    "torch": {},
    "torch channels-last": {"channels_last": True},
    "torch channels-last, fused": {"channels_last": True, "fused": True},
    "torch fused": {"fused": True},
}
WORKERS = {
    "dcgan": ("jax", "torch", "torch channels-last", "torch channels-last, fused"),
    "vae": ("jax", "torch", "torch fused"),
}
WARM_UP = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=BATCHES, default="dcgan")
    parser.add_argument("--batch", type=int, help="images a step; 64 for dcgan, 20 for vae")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long a round lasts")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the arithmetic")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--steps_per_call", type=int, default=1, help="gen_jax's updates in one compiled call")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.batch is None:
        arguments.batch = BATCHES[arguments.model]
    if arguments.worker:
        return work(arguments)
    try:
        compare(arguments)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def compare(arguments):
    """Runs the workers in turn and prints the table."""
    if importlib.util.find_spec("torch") is None:
        raise RuntimeError("PyTorch is not installed, so there is nothing to compare with: uv sync --extra torch")
    if min(arguments.batch, arguments.rounds) < 1:
        raise RuntimeError("--batch and --rounds must be at least 1")
    if arguments.device == "gpu":
        check = "import jax, torch; jax.devices('gpu'); assert torch.cuda.is_available()"
        if subprocess.run([sys.executable, "-c", check], capture_output=True).returncode:
            raise RuntimeError("--device=gpu: jax and torch must both see a GPU; install their CUDA builds")

    busy = busy_cores()
    if busy > 0.2:
        print(f"warning: others keep {busy:.1f} cores busy here; do not quote these figures", file=sys.stderr)
    names = WORKERS[arguments.model]
    command = [sys.executable, __file__, *sys.argv[1:]]
    environment = dict(os.environ)
    if arguments.device == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    # Two frameworks share a GPU: neither may take all of its memory at once.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    workers = {name: subprocess.Popen([*command, f"--worker={name}"], **pipes) for name in names}
    try:
        counts = {name: ask(name, worker) for name, worker in workers.items()}
        if len({tuple(count) for count in counts.values()}) > 1:
            raise RuntimeError(f"the networks differ in their numbers of parameters: {counts}")
        rounds = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name, worker in workers.items():
                rounds[name].append(ask(name, worker))
    finally:
        for worker in workers.values():
            worker.communicate()

    parameters = " + ".join(f"{int(count):,}" for count in counts["jax"])
    print(f"{arguments.model}, batch {arguments.batch}, {arguments.dtype}, {arguments.device}")
    print(f"{parameters} parameters, medians of {arguments.rounds} rounds\n")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in rounds.items()}
    print(f"{'':28}{'wall ms/step':>14}{'ratio':>8}{'processor ms/step':>20}{'ratio':>8}")
    for name, (wall, processor) in medians.items():
        ratios = medians["jax"][0] / wall, medians["jax"][1] / processor
        print(f"{name:28}{1e3 * wall:14.2f}{ratios[0]:8.2f}{1e3 * processor:20.2f}{ratios[1]:8.2f}")


def busy_cores(seconds: float = 2.0) -> float:
    """How many cores other processes keep busy now; the load average would still count what ended a minute ago."""

    def spent():
        with open("/proc/stat") as file:  # the first line: user, nice, system, idle, iowait, ... in ticks
            ticks = [int(word) for word in file.readline().split()[1:]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    if not os.path.exists("/proc/stat"):  # not Linux
        return os.getloadavg()[0]
    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def ask(name, worker) -> list[float]:
    """Lets a worker go on, and returns the numbers that it answers."""
    try:
        worker.stdin.write("\n")
        worker.stdin.flush()
        return [float(number) for number in worker.stdout.readline().split()] or broken(name)
    except BrokenPipeError:
        broken(name)


def broken(name):
    raise RuntimeError(f"the {name} worker died; what it said stands above")


def work(arguments) -> int:
    """A worker: says its parameter counts, then for each line it gets wall and processor seconds a step."""
    sys.stdin.readline()
    setting = arguments.model, arguments.batch, arguments.dtype, arguments.device
    if arguments.worker == "jax":
        import in_jax

        step, wait, counts = in_jax.build(*setting, arguments.steps_per_call)
        updates = arguments.steps_per_call
    else:
        import in_torch

        step, wait, counts = in_torch.build(*setting, **TORCH[arguments.worker])
        updates = 1

    def seconds(steps):
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            step()
        wait()
        spent = time.perf_counter() - wall, time.process_time() - processor
        return tuple(seconds / steps / updates for seconds in spent)

    seconds(WARM_UP)
    steps = max(1, round(arguments.seconds / updates / seconds(WARM_UP)[0]))
    print(*counts, flush=True)
    for _ in sys.stdin:
        print(*seconds(steps), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
