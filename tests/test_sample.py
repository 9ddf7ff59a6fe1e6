"""Sampling: the image of a seed is one image, wherever and beside whatever it is drawn."""

import json

import jax
import numpy as np
import pytest
from PIL import Image
from shrunk import shrunk
from shrunk import trained as train

import gen_jax
from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.provenance.pictures import grid
from gen_jax.runtime import mesh
from gen_jax.sample import pixels, sampler, spherical


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of both families."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("vae_digits", "gan_digits"):
        train(shrunk(name, root, train__steps=2, train__log_every=1), root / name)
    return root


@pytest.mark.parametrize("name", ["vae_digits", "gan_digits"])
def test_image_of_a_seed_does_not_depend_on_its_neighbours(name, runs):
    run = gen_jax.load(runs / name)
    many = run.sample(range(70))
    assert many.shape == (70, 16, 16, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(many[67], run.sample(range(67, 68))[0])
    np.testing.assert_array_equal(many[3:9], run.sample(range(3, 9)))
    assert len(np.unique(many.reshape(70, -1), axis=0)) == 70


def test_image_of_a_seed_does_not_depend_on_devices(runs):
    run = gen_jax.load(runs / "gan_digits")
    variables = jax.device_get(run.variables)
    drawn = [sampler(run.method, mesh.make(n)).sample(variables, [5, 6]) for n in (1, 8)]
    # Eight rows a device instead of 64: the same sums in another order, at most one level of 256 apart.
    assert np.abs(drawn[0].astype(int) - drawn[1].astype(int)).max() <= 1


def test_grid_in_the_run_directory_is_what_load_draws(runs):
    run = gen_jax.load(runs / "gan_digits")
    picture = np.asarray(Image.open(runs / "gan_digits/samples/step_000002.png"))
    np.testing.assert_array_equal(picture, grid(run.sample(range(64)))[..., 0])


def test_raw_weights_differ_from_averaged_ones(runs):
    averaged, raw = (gen_jax.load(runs / "gan_digits", average=a) for a in (True, False))
    assert not np.array_equal(averaged.sample(range(4)), raw.sample(range(4)))


def test_a_run_samples_without_its_data(runs, tmp_path):
    import shutil

    shutil.copytree(runs / "vae_digits", tmp_path / "moved")
    config = json.loads((tmp_path / "moved/config.json").read_text())
    config["data"]["path"] = "/nowhere.npz"
    (tmp_path / "moved/config.json").write_text(json.dumps(config))
    moved = gen_jax.load(tmp_path / "moved").sample(range(3))
    np.testing.assert_array_equal(moved, gen_jax.load(runs / "vae_digits").sample(range(3)))


def test_spherical_interpolation_keeps_the_norm_and_the_ends():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    np.testing.assert_allclose(spherical(a, b, 0.0), a)
    np.testing.assert_allclose(spherical(a, b, 1.0), b)
    u, v = np.eye(2)
    np.testing.assert_allclose(spherical(u, v, 1 / 3), [np.cos(np.pi / 6), np.sin(np.pi / 6)])
    np.testing.assert_allclose(spherical(2 * u, 4 * u, 0.5), 3 * u)


def test_sample_verb_writes_seed_and_step_into_the_file(runs, tmp_path, capsys):
    assert main(["sample", str(runs / "gan_digits"), "--seeds=3-4,9", "--each", f"--out={tmp_path}"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path)
    files = sorted(tmp_path.glob("*.png"))
    assert [f.name for f in files] == ["seed_000003.png", "seed_000004.png", "seed_000009.png"]
    with Image.open(files[2]) as image:
        assert image.text["Seed"] == "9" and image.text["Step"] == "2" and image.text["Comment"] == "AI-generated"
        pixels = np.asarray(image)[..., None]
    np.testing.assert_array_equal(pixels, gen_jax.load(runs / "gan_digits").sample(range(9, 10))[0])


def test_interpolate_verb_writes_a_looping_animation(runs, tmp_path, capsys):
    out = tmp_path / "deep/er/x.webp"
    assert main(["interpolate", f"--run={runs / 'vae_digits'}", "--seeds=0-2", "--frames=4", f"--out={out}"]) == 0
    with Image.open(out) as animation:
        assert animation.n_frames == 12 and animation.info["loop"] == 0
    frames = gen_jax.load(runs / "vae_digits").interpolate([0, 1, 2], frames=4)
    np.testing.assert_array_equal(frames[4], gen_jax.load(runs / "vae_digits").sample(range(1, 2))[0])


def test_reconstruct_verb(runs, tmp_path):
    assert main(["reconstruct", str(runs / "vae_digits"), "--count=4", f"--out={tmp_path / 'r.png'}"]) == 0
    run = gen_jax.load(runs / "vae_digits")
    test = run.dataset("test").gather(np.arange(4))["image"]
    sheet = np.asarray(Image.open(tmp_path / "r.png"))
    # A pair in a row: image and reconstruction; digits are binarised for this model.
    assert sheet.shape == (4 * 66 + 2, 2 * 66 + 2)
    assert set(np.unique(sheet[2:66, 2:66])) <= {0, 255} and test.shape == (4, 16, 16, 1)


def test_evaluate_verb_prints_records_with_their_protocol(runs, capsys):
    flags = ["--importance_samples=5", "--images=20", "--seeds=2", "--extractor=random"]
    first, second = (evaluate(runs / "vae_digits", flags, capsys) for _ in range(2))
    assert first == second, "the same seed gives the same numbers, bit for bit"
    names = {r["metric"] for r in first}
    assert {"elbo", "nll", "bits_per_dim", "reconstruction_psnr", "reconstruction_ssim", "precision"} <= names
    for record in first:
        protocol = record["protocol"]
        assert record["step"] == 2 and record["checkpoint"] == "final" and protocol["code"].startswith("0.1.0")
        assert protocol.get("seed") == 0 and protocol["data_sha256"] or protocol["sampling_seeds"] == ["0-19", "20-39"]
    by_name = {r["metric"]: r["value"] for r in first}
    assert by_name["bits_per_dim"] == pytest.approx(by_name["nll"] / np.log(2) / 256, rel=1e-6)
    lines = (runs / "vae_digits/evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines[: len(first)]] == first
    other = evaluate(runs / "vae_digits", [*flags, "--seed=1"], capsys)
    assert other != first
    assert not {"elbo", "nll"} & {r["metric"] for r in evaluate(runs / "gan_digits", flags, capsys)}


def evaluate(run, flags, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(run), *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_files_tell_apart_what_is_different(runs, capsys):
    """Same seeds, other weights or temperature: another file, and each says what made it."""
    made = []
    for flags in ([], ["--raw"], ["--temperature=0.5"]):
        capsys.readouterr()
        assert main(["sample", str(runs / "gan_digits"), "--seeds=0-3", *flags]) == 0
        made.append(capsys.readouterr().out.strip())
    assert len(set(made)) == 3
    told = [Image.open(file).text for file in made]
    assert [t["Weights"] for t in told] == ["average", "raw", "average"]
    assert [float(t["Temperature"]) for t in told] == [1.0, 1.0, 0.5]


@pytest.mark.slow
def test_evaluation_says_which_weights(runs, capsys):
    flags = ["--importance_samples=1", "--images=10", "--seeds=1", "--limit=1", "--extractor=random"]
    for name, more, weights in [
        ("gan_digits", [], "average"),
        ("gan_digits", ["--raw"], "raw"),
        ("vae_digits", [], "raw"),
    ]:
        records = evaluate(runs / name, [*flags, *more], capsys)
        assert {r["weights"] for r in records} == {weights}
    assert [r["standard_error"] for r in records if r["metric"] == "elbo"] == [None]


def test_uint8_is_the_nearest_level():
    np.testing.assert_array_equal(pixels(np.array([0.0, 0.5 / 255 + 1e-6, 1.0, 2.0, -1.0])), [0, 1, 255, 255, 0])


def test_grid_holds_every_image():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2)
    sheet = grid(images, columns=2, gap=2)
    assert sheet.shape == (3 * 66 + 2, 2 * 66 + 2, 1)
    assert [sheet[2 + 66 * (i // 2), 2 + 66 * (i % 2), 0] for i in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), -1.0, 1001])
def test_a_temperature_out_of_bounds_is_refused(runs, temperature):
    with pytest.raises(InputError, match=r"temperature=\S+: must be between 0 and 1000"):
        gen_jax.load(runs / "vae_digits").sample(range(2), temperature=temperature)
