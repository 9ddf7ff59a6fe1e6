"""gen_jax beside PyTorch and other peers, in one table.

    uv run python experiments/benchmarks/all.py
    uv run python experiments/benchmarks/all.py --rows=dcgan,vae100 --rounds=7
    uv run python experiments/benchmarks/all.py --rows=likelihood --weights=runs/0001-vae_mnist
    uv run python experiments/benchmarks/all.py --device=gpu --dtype=bfloat16 --json=gpu.json --markdown

A ratio is gen_jax's time over the peer's: below 1, gen_jax is the faster. Where a row has two lines of gen_jax, there
are two ratios, in their order. Times are medians of rounds; "lowest to highest" are the extremes of the rounds.
"processor" is the processor time of the whole process and of those of its children that have ended, which a
DataLoader's have not; on a machine shared with others it is the steadier figure. "first" are the seconds of the first
call, compilation included. "peak" is the largest resident memory of the process so far, all libraries included.
images/s counts the images of one batch a step.

Each side works in a process of its own and waits while another one works (`workers.py`), on data that lies on the
device where the row is not about that; every framework may use every core. Numbers of parameters are compared, and so
are values where a row computes some: a row whose sides differ fails. A side whose package is not installed is left
out, and the table says so. PyTorch comes with `uv sync --extra torch`, prdc with the development group.

A busy machine is warned of, and its figures are not to be quoted: PyTorch's threads wait for each other by
spinning, and where one of them lost its core a step of the vae was seen to take 300 times as long. With
OMP_WAIT_POLICY=PASSIVE in the environment they sleep instead.
"""

import argparse
import datetime
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import rows as table
import workers
from workers import Setting

BUSY = 0.2  # cores that others may use before a warning
HEAD = ("ratio", "worker", "ms", "lowest to highest", "processor ms", "images/s", "first s", "peak MiB")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [row.name for row in table.rows("cpu")]
    parser.add_argument("--rows", default="", help=f"some of {','.join(known)}; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long a round of one worker lasts")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the arithmetic")
    parser.add_argument(
        "--weights", default="", help="a run of an MLP VAE for the row likelihood; default: random ones"
    )
    parser.add_argument("--json", type=Path, help="file for all numbers of all rounds")
    parser.add_argument("--markdown", action="store_true", help="prints one table of all rows at the end")
    asked = parser.parse_args(arguments)
    names = asked.rows.split(",") if asked.rows else known
    try:
        for name in names:
            if name not in known:
                raise ValueError(f"--rows={name}: no such row; there are: {', '.join(known)}")
        if asked.rounds < 1 or asked.seconds <= 0:
            raise ValueError("--rounds and --seconds must be positive")
        if asked.weights and not (Path(asked.weights) / "config.json").exists():
            raise ValueError(f"--weights={asked.weights}: no run is there")
        machine = describe(asked.device)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    machine["command"] = " ".join(["all.py", *(sys.argv[1:] if arguments is None else arguments)])
    found = []
    for row in table.rows(asked.device):
        if row.name in names:
            found.append(compare(row, asked))
            if not asked.markdown:
                print(as_text(found[-1]), flush=True)
            if asked.json:  # after every row: what is measured is not lost
                asked.json.write_text(json.dumps({"machine": machine, "rows": found}, indent=1))
    if asked.markdown:
        print(as_markdown(machine, found))
    return 1 if any(row["failed"] for row in found) else 0


def describe(device: str) -> dict:
    """The machine and the versions. ValueError where there is no such device."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    found = {"cpu": models[0] if models else platform.processor(), "cores": workers.cores()}
    if device == "gpu":
        check = "import jax; print(jax.devices('gpu')[0].device_kind)"
        if workers.installed("torch"):
            check += "; import torch; assert torch.cuda.is_available()"
        asked = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
        if asked.returncode:
            raise ValueError("--device=gpu: jax and torch must both see a GPU; install their CUDA builds")
        found["gpu"] = asked.stdout.strip()
    packages = [name for name in ("jax", "torch", "pythae", "prdc") if workers.installed(name)]
    found["versions"] = {name: importlib.metadata.version(name) for name in packages}
    return {**found, "date": datetime.date.today().isoformat()}


def compare(row: table.Row, asked) -> dict:
    """Runs the workers of a row in turn: plain numbers, as --json has them."""
    busy = workers.busy_cores()
    print(f"{row.name}: {row.measures}; others keep {busy:.1f} cores busy", file=sys.stderr)
    if busy > BUSY:
        print(f"warning: others keep {busy:.1f} cores busy here; do not quote these figures", file=sys.stderr)
    skipped, started, built = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(asked.device, asked.dtype, asked.seconds, folder, asked.weights)
        try:
            for name, worker in row.workers.items():
                if missing := [package for package in worker.needs if not workers.installed(package)]:
                    skipped[name] = f"{' and '.join(missing)} is not installed"
                else:
                    started[name] = workers.start(worker, setting)
            for name, process in started.items():
                built[name] = workers.ask(process) | {"rounds": []}
            for _ in range(asked.rounds):
                for name, process in started.items():
                    if "skipped" not in built[name]:
                        answer = workers.ask(process)
                        built[name] |= {"skipped": answer["skipped"]} if "skipped" in answer else {}
                        built[name]["rounds"].append(answer)
        finally:
            for process in started.values():
                process.communicate()
    skipped |= {name: worker["skipped"] for name, worker in built.items() if "skipped" in worker}
    built = {name: worker for name, worker in built.items() if name not in skipped}
    weights = {"weights": asked.weights or "random"} if row.name == "likelihood" else {}
    about = {"name": row.name, "measures": row.measures, "unit": row.unit, "images": row.images, "busy": busy}
    return {**about, **weights, "workers": built, "skipped": skipped, "failed": differences(built, skipped)}


def differences(built: dict, skipped: dict) -> list[str]:
    """What must not be: a side that died, sides of different sizes or results."""
    found = [f"{name}: {why}" for name, why in skipped.items() if why == workers.DIED]
    if len({tuple(worker["parameters"]) for worker in built.values()}) > 1:
        sizes = {name: worker["parameters"] for name, worker in built.items()}
        found.append(f"the networks differ in their numbers of parameters: {sizes}")
    first, *others = built.values() or [{"values": {}}]
    for other in others:
        for name in first["values"].keys() & other["values"].keys():
            (a, allowed), (b, _) = first["values"][name], other["values"][name]
            if not abs(a - b) <= allowed:
                found.append(f"{name} differs by more than {allowed:.1g}: {a:.6f}, {b:.6f}")
    return found


def lines(row: dict) -> list[list[str]]:
    """The cells of HEAD for each worker of a row."""
    medians = {
        name: {key: statistics.median(r[key] for r in worker["rounds"]) for key in ("wall", "processor")}
        for name, worker in row["workers"].items()
    }
    ours = [name for name in medians if name.startswith("gen_jax")]
    found = []
    for name, worker in row["workers"].items():
        walls = [1e3 * r["wall"] for r in worker["rounds"]]
        wall, processor = medians[name]["wall"], medians[name]["processor"]
        found.append(
            [
                "" if name in ours else ", ".join(f"{medians[our]['wall'] / wall:.2f}" for our in ours),
                name,
                number(1e3 * wall),
                f"{number(min(walls))} to {number(max(walls))}",
                number(1e3 * processor),
                number(row["images"] / wall) if row["images"] else "",
                number(worker["first"]),
                f"{worker['rounds'][-1]['peak']:,.0f}",
            ]
        )
    return found


def number(x: float) -> str:
    """Three digits, and as many as there are before the point."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def remarks(row: dict) -> list[str]:
    """What stands beside the numbers: sizes, values, who is missing."""
    found = [f"weights: {row['weights']}"] if "weights" in row else []
    sizes = next((worker["parameters"] for worker in row["workers"].values()), [])
    if sizes:
        found.append(f"{' + '.join(f'{size:,}' for size in sizes)} parameters")
    for name, worker in row["workers"].items():
        if worker["values"]:
            found.append(f"{name}: " + ", ".join(f"{key} {value:.6g}" for key, (value, _) in worker["values"].items()))
    found += [f"{name}: left out, {why}" for name, why in row["skipped"].items()]
    return found + [f"FAILED: {what}" for what in row["failed"]]


def as_text(row: dict) -> str:
    cells = [(f"ms/{row['unit']}" if head == "ms" else head for head in HEAD), *lines(row)]
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    title = f"\n{row['name']}: {row['measures']}; {row['busy']:.1f} cores busy with other work"
    body = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]
    return "\n".join([title, *(f"  {remark}" for remark in remarks(row)), *body])


def as_markdown(machine: dict, found: list[dict]) -> str:
    """The table and its legend, as docs/performance.md holds them."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{machine['cpu']}, {machine['cores']} cores" + (f", {machine['gpu']}" if "gpu" in machine else "")
    text = [
        f"{machine['date']}; {where}; {versions}.",
        "",
        f"    uv run python experiments/benchmarks/{machine['command']}",
        "",
    ]
    head = ("ratio", "row", *HEAD[1:], "others' cores")
    text += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in found:
        for ratio, worker, ms, *rest in lines(row):
            cells = ratio, f"`{row['name']}`", worker, f"{ms} a {row['unit']}", *rest, f"{row['busy']:.1f}"
            text.append(f"| {' | '.join(cells)} |")
    text.append("")
    for row in found:
        text.append(f"- `{row['name']}`: {'; '.join([row['measures'], *remarks(row)])}.")
    return "\n".join(text)


if __name__ == "__main__":
    sys.exit(main())
