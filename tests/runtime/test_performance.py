"""What the clock says, on a clock of the test's own; the table of peaks; and what a real run writes down."""

import gzip
import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shrunk import run_of, shrunk, three

from gen_jax.cli import bench
from gen_jax.cli.dry_run import describe
from gen_jax.cli.main import main
from gen_jax.errors import Failed, InputError
from gen_jax.observers import Observer, profile
from gen_jax.runtime import flops, logbook, performance
from gen_jax.runtime.performance import Meter, peak
from gen_jax.train import train

ROW = {
    *("step_seconds", "step_seconds_p95", "input_wait_share", "compile_seconds", "flops_per_second", "peak_share"),
    *("device_memory_peak_bytes", "host_memory_bytes"),
}


class Fake(NamedTuple):
    """As much of a Program as a Meter asks for: a call takes what `durations` says, its input a fifth of a second."""

    clock: list
    durations: list
    mesh: object
    feeds: object = None
    update: object = None


@pytest.fixture
def fake(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(performance.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(performance, "cost", lambda program, state, feed, variants: (1e12, "bfloat16"))
    device = SimpleNamespace(device_kind="NVIDIA A100-SXM4-40GB", memory_stats=lambda: {"peak_bytes_in_use": 7})
    devices = np.array([device, device])
    durations = []

    def feeds(step):
        for _ in range(100):
            clock[0] += 0.2
            yield None

    def update(state, feed, variants):
        clock[0] += durations.pop(0)
        return state, {}

    return Fake(clock, durations, SimpleNamespace(devices=devices, local_devices=list(devices), size=2), feeds, update)


def test_the_figures_of_a_stretch(fake):
    meter = Meter(fake, 0)
    feeds = meter.program.feeds(0)
    # The first call compiles; calls of two updates, of 0.8 to 2.8 s with the wait for their input; one is drawn beside.
    fake.durations[:] = [30.0, 0.8, 1.8, 0.8, 2.8, 0.8, 1.0]
    for call in range(7):
        next(feeds)
        meter.program.update(None, None, ("a", "a"))
        if call == 3:
            fake.clock[0] += 5.0
            meter.pause(5.0)
    row = meter.row()
    assert row.keys() == ROW
    # Left out: the call that compiled, that beside which something was drawn, and the last, which has no end yet.
    assert row["step_seconds"] == pytest.approx(np.median([1.0, 2.0, 3.0, 1.0]) / 2)
    assert row["step_seconds_p95"] == pytest.approx(1.5)
    assert row["input_wait_share"] == pytest.approx(4 * 0.2 / 7.0)
    assert row["compile_seconds"] == 30.0 and row["device_memory_peak_bytes"] == 7
    assert row["flops_per_second"] == pytest.approx(4e12 / 7.0)
    assert row["peak_share"] == pytest.approx(4e12 / 7.0 / (2 * 312e12))
    assert performance.told(row) == f"750 ms (p95 1.5e+03) | input 11% | 0% of peak | {7 / 2**30:.1f} GiB"
    empty = meter.row()
    measured = ROW - {"compile_seconds", "device_memory_peak_bytes", "host_memory_bytes"}
    assert {name for name, value in empty.items() if value is None} == measured and performance.told(empty) == ""


def test_a_short_pause_is_taken_out(fake):
    meter = Meter(fake, 0)
    fake.durations[:] = [1.0, 1.0, 1.0]
    for _ in range(3):
        meter.program.update(None, None, ("a",))
        fake.clock[0] += 0.05
        meter.pause(0.05)
    assert meter.row()["step_seconds"] == pytest.approx(1.0)


def test_peaks_are_those_of_a_device_by_its_exact_name():
    assert peak("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12 and peak("TPU v5 lite", "float32") == 197e12
    for kind in ("cpu", "NVIDIA H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "nvidia h200", "TPU v7x", ""):
        assert peak(kind, "bfloat16") is None
    assert peak("NVIDIA H200", "float16") is None and peak("NVIDIA H200", None) is None
    with jax.default_matmul_precision("highest"):
        assert peak("NVIDIA H200", "float32") is None and peak("NVIDIA H200", "bfloat16") == 989e12
    # TF32 does half of bfloat16, but for the roundings of the data sheets.
    for kind, of in performance.PEAKS.items():
        assert of["float32"] == of["bfloat16"] if "TPU" in kind else abs(of["float32"] / of["bfloat16"] - 0.5) < 0.02


def test_the_type_of_most_products():
    small, large = jnp.ones((4, 4)), jnp.ones((8, 8), jnp.bfloat16)

    def mixed(times):
        step = lambda x, _: (x @ x, None)
        return jax.make_jaxpr(lambda x, y: (jax.lax.scan(step, x, length=times)[0], y @ y))(small, large)

    assert flops.operands(mixed(7)) == "bfloat16" and flops.operands(mixed(9)) == "float32"
    assert flops.operands(jax.make_jaxpr(jnp.sin)(1.0)) is None


def test_a_run_writes_down_what_the_clock_says_and_only_there(tmp_path, capsys):
    config = shrunk("vae_digits", tmp_path, train__steps=8)
    train(config, tmp_path / "run", say=True)
    rows = logbook.read_rows(tmp_path / "run/timing.jsonl")
    assert [row["step"] for row in rows] == [*range(1, 9)]
    assert all(row.keys() == {"step", "seconds", "images_per_second", *ROW} for row in rows)
    measured = rows[4]
    assert measured["device_memory_peak_bytes"] is None and measured["peak_share"] is None, "a CPU has neither"
    assert 0 < measured["step_seconds"] <= measured["step_seconds_p95"] and 0 <= measured["input_wait_share"] < 1
    assert measured["compile_seconds"] > 0 and 50e6 < measured["host_memory_bytes"] < 50e9
    # One update lies between two rows: its rate times its time is what --dry_run counts.
    (operations,) = re.findall(r"; (\S+) an update", describe(config))
    assert measured["flops_per_second"] * measured["step_seconds"] == pytest.approx(float(operations), rel=5e-3)
    assert re.search(
        r"img/s \| [\d.e+]+ ms \(p95 [\d.e+]+\) \| input \d+% \| \d+\.\d GiB \| eta", capsys.readouterr().err
    )
    assert not ROW & set(json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0]))
    # What could not be measured does not hinder a run that goes on.
    logbook.cut([tmp_path / "run/timing.jsonl"], 3)
    assert len(logbook.read_rows(tmp_path / "run/timing.jsonl")) == 3


def events(run):
    (trace,) = (run / "profile").rglob("perfetto_trace.json.gz")
    assert list((run / "profile/plugins/profile").rglob("*.xplane.pb")), "what XProf opens"
    return json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]


def test_a_profile_holds_the_steps_asked_for_and_changes_nothing(tmp_path):
    config = shrunk("vae_digits", tmp_path)
    train(config, tmp_path / "plain")
    train(config, tmp_path / "run", observers=[profile(2, 5)])
    steps = [event["args"]["step_num"] for event in events(tmp_path / "run") if event.get("name") == "train"]
    assert sorted(steps) == ["3", "4", "5"]
    assert "profiled steps 3 to 5" in (tmp_path / "run/log.txt").read_text()
    names = ("metrics.jsonl", "data.json")
    assert all((tmp_path / "run" / n).read_bytes() == (tmp_path / "plain" / n).read_bytes() for n in names)


def test_a_run_that_fails_ends_its_profile(tmp_path):
    def failing(program, workdir):
        return Observer(1, lambda state, step: 1 / 0 if step == 3 else None)

    with pytest.raises(Failed) as held:  # what holds the frames of the run, so that no collector ends it
        train(shrunk("vae_digits", tmp_path), tmp_path / "run", observers=[profile(2, 5), failing])
    assert held and events(tmp_path / "run")
    jax.profiler.start_trace(tmp_path / "other")  # refused while another is under way
    jax.profiler.stop_trace()


def test_steps_that_a_run_has_behind_it_are_not_profiled(shared):
    run = run_of("vae_digits", shared)
    with pytest.raises(InputError, match="--profile=1:3: the run goes on from step 3; choose later steps"):
        train(three("vae_digits", shared), run, observers=[profile(1, 3)])
    assert not (run / "profile").exists()


def test_bench_prints_a_roofline_of_each_program(shared, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    run = run_of("vae_digits", shared)
    assert main(["bench", str(run)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    number = r"([\d.,e+]+)"
    found = re.fullmatch(
        rf"vae update: {number} FLOP \| {number} bytes moved \| {number} FLOP/byte \| {number} ms \| {number} FLOP/s \|"
        rf" - of peak \| {number} images/s \| 1 x cpu, float32", line,
    )  # fmt: skip
    operations, moved, intensity, milliseconds, rate, images = (float(x.replace(",", "")) for x in found.groups())
    (counted,) = re.findall(r"; (\S+) an update", describe(shrunk("vae_digits", shared)))
    assert operations == float(counted)
    assert intensity == pytest.approx(operations / moved, rel=0.02)
    assert rate == pytest.approx(operations / milliseconds * 1e3, rel=0.02)
    assert images == pytest.approx(64 / milliseconds * 1e3, rel=0.02)
    # Not less than what is certainly read and written: parameters and both moments of Adam.
    parameters = 256 * 32 + 32 + 32 * 8 + 8 + 4 * 32 + 32 + 32 * 256 + 256
    assert moved > 2 * 3 * 4 * parameters


def test_the_table_on_paper_is_what_the_script_prints(tmp_path):
    root = Path(__file__).parents[2]
    script = runpy.run_path(str(root / "experiments/scaling_on_paper.py"))
    np.savez(tmp_path / "x.npz", images=np.zeros((500, 28, 28, 1), np.uint8), labels=np.arange(500) % 10)
    cells = script["row"]("vae_mnist", tmp_path / "x.npz")
    assert f"| {' | '.join(cells)} |\n" in (root / "docs/scale.md").read_text()
    assert float(cells[1]) == float(cells[2]), "each network once an update"
