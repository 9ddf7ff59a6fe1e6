"""Bad input gets one `error:` line with a hint and exit status 2; nothing is lost, nothing half-written is left."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from shrunk import shrunk

from gen_jax.cli.main import main
from gen_jax.export.dataset import write_tfds
from gen_jax.runtime.files import write_sealed
from gen_jax.train import train

GAN_PENALTY = "--config.model.discriminator.name=dcgan --config.model.discriminator.norm=batch"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a finished run and every kind of broken thing; commands run inside it."""
    root = tmp_path_factory.mktemp("world")
    train(shrunk("vae_digits", root, train__steps=4, train__checkpoint_every=2), root / "run")
    train(shrunk("gan_digits", root, train__steps=1, train__log_every=1), root / "gan")
    shutil.copytree(root / "run", root / "truncated")
    for path in (root / "truncated/checkpoints/4").rglob("d/*"):
        if path.stat().st_size > 2000:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    shutil.copytree(root / "run", root / "no_meta")
    (root / "no_meta/config.json").write_text('{"seed": 0,')
    shutil.copytree(root / "run", root / "gone")
    shutil.rmtree(root / "gone/checkpoints")
    shutil.copytree(root / "run", root / "changed")
    about = json.loads((root / "changed/data.json").read_text())
    del about["sha256"]
    write_sealed(root / "changed/data.json", {**about, "fingerprint": "0"})
    damaged_runs(root)
    damaged_sets(root / "tfds")
    (root / "foreign.py").write_text(
        "from gen_jax.config import base\ndef get_config():\n    c = base('vae')\n"
        "    c.model.encoder = {'name': 'mlp', 'width': 9}\n    c.model.decoder = {'name': 'mlp'}\n    return c\n"
    )
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full/diary.txt").write_text("not a run")
    (root / "pictures").mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16), 60 * i, np.uint8)).save(root / f"pictures/{i}.png")
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, "PNG")
    (root / "pictures/broken.png").write_bytes(buffer.getvalue()[:200])
    np.savez(root / "floats.npz", images=np.zeros((4, 16, 16), np.float32))
    np.savez(root / "odd.npz", images=np.zeros((40, 30, 30), np.uint8), labels=np.arange(40) % 2)
    np.savez(root / "colour.npz", images=np.zeros((80, 16, 16, 3), np.uint8))
    (root / "not.npz").write_text("hello")
    (root / "raises.py").write_text("def get_config():\n    return 1 / 0\n")
    (root / "module.py").write_text("import os\n\nimport no_such_module\n")
    (root / "deep_down.py").write_text("import json\ndef get_config():\n    return json.loads('{')\n")
    (root / "we:ird").mkdir()
    (root / "we:ird/co:nfig.py").write_text("def get_config(word):\n    raise ValueError(word)\n")
    (root / "nothing.py").write_text("x = 1\n")
    os.mkfifo(root / "pipe")
    (root / "syntax.py").write_text("def get_config(:\n")
    (root / "typo.py").write_text(
        "from gen_jax.config import base\ndef get_config():\n    c = base('vae')\n    c.optimizer.learning_rat = 1.0\n"
        "    c.model.encoder = {'name': 'mlp'}\n    c.model.decoder = {'name': 'mlp'}\n    return c\n"
    )
    return root


def damaged_runs(root):
    """Copies of a run in which config.json or data.json is no JSON, or none of a run."""

    def copy(name, file, content):
        (root / name).mkdir()
        for kept in ("config.json", "data.json"):
            shutil.copy(root / "run" / kept, root / name / kept)
        write = (root / name / file).write_bytes if isinstance(content, bytes) else (root / name / file).write_text
        write(content)

    def changed(name, file, change, sealed):
        values = json.loads((root / "run" / file).read_text())
        change(values)
        copy(name, file, json.dumps(values if sealed else {k: v for k, v in values.items() if k != "sha256"}))

    copy("a_list", "config.json", "[1]")
    copy("a_null", "data.json", "null")
    copy("deep", "config.json", '{"seed":\n' + "[" * 200_000)
    copy("binary", "data.json", bytes(range(256)))
    copy("long_number", "data.json", '{"spec": ' + "9" * 5000 + "}")
    changed("other_activation", "config.json", lambda v: v["model"]["decoder"].update(activation="gelu"), True)
    changed("other_binarisation", "data.json", lambda v: v["spec"].update(binary=False), True)
    changed("words_for_shape", "data.json", lambda v: v["spec"].update(shape=["16", "16", "1"]), False)
    changed("huge_shape", "data.json", lambda v: v["spec"].update(shape=[65536, 65536, 3]), False)
    changed("no_spec", "data.json", lambda v: v.pop("spec"), False)
    changed("odd_kind", "data.json", lambda v: v["spec"]["conditions"]["label"].update(kind="smell"), False)
    changed("model_is_a_list", "config.json", lambda v: v.update(model=[1, 2]), False)
    changed("steps_in_words", "config.json", lambda v: v["train"].update(steps="many"), False)


def damaged_sets(root):
    """Prepared TFDS sets in which one file is damaged."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
    for name in ("info_list", "features_binary", "features_odd", "records_cut", "records_flipped"):
        write_tfds(root, name, ({"image": image, "seed": i} for i in range(300)), (16, 16, 1), (), "")
    at = {name: root / name / "1.0.0" for name in ("info_list", "features_binary", "features_odd")}
    (at["info_list"] / "dataset_info.json").write_text("[1]")
    (at["features_binary"] / "features.json").write_bytes(bytes(range(256)))
    (at["features_odd"] / "features.json").write_text('{"type": "nothing.known"}')
    for name in ("records_cut", "records_flipped"):
        (file,) = (root / name).rglob("*array_record*")
        content = bytearray(file.read_bytes())
        content[200:210] = bytes(10)
        file.write_bytes(content if name == "records_flipped" else content[: len(content) // 2])


CASES = {
    "unknown verb": ("trian", "did you mean train"),
    "missing config": ("train --config=nope.py", "config file nope.py not found; there are: "),
    "config nearly named": ("train --config=vae_digit", "did you mean vae_digits"),
    "config that raises": ("train --config=raises.py", "line 2: ZeroDivisionError"),
    "config that imports what is not there": ("train --config=module.py", "module.py fails: line 3: ModuleNotFoundError"),
    "config that fails deep down": ("train --config=deep_down.py", "deep_down.py fails: line 3: JSONDecodeError"),
    "config in a path with colons": ("train --config=we:ird/co:nfig.py:an:argument", "we:ird/co:nfig.py fails: line 2: ValueError: an:argument"),
    "bucket to train in": ("train --workdir=gs://bucket/run", "gs://bucket/run: an address"),
    "bucket to read": ("sample gs://bucket/run", "gs:/bucket/run: an address, not a directory of this machine"),
    "bucket to write to": ("sample run --out=s3://bucket/x.png", "s3://bucket/x.png: an address"),
    "pipe to write to": ("sample run --out=pipe", "--out=pipe: cannot be written (a device or a pipe, no file)"),
    "page below a file": ("report run --out=nothing.py/x.html", "--out=nothing.py/x.html: cannot be written (Not a directory)"),
    "answers from a pipe": ("study score pipe --key=pipe", "pipe cannot be read (a device or a pipe, no file); give the key file"),
    "device to inspect": ("inspect /dev/zero", "cannot read /dev/zero (a device or a pipe"),
    "config without get_config": ("train --config=nothing.py", "has no get_config()"),
    "config with a syntax error": ("train --config=syntax.py", "line 1: SyntaxError"),
    "typo inside a config file": ("train --config=typo.py", "optimizer.learning_rat: no such field; did you mean optimizer.learning_rate"),
    "argument that a config does not take": ("train --config=vae_digits:5", "takes no argument"),
    "typo in a field": ("train --config.optimizer.learning_rat=1", "no such field; did you mean learning_rate"),
    "section instead of a field": ("train --config.model={}", "is a section; set one of its fields"),
    "field below a value": ("train --config.seed.x=1", "seed is a plain value"),
    "value missing": ("train --config.seed", "a value is missing"),
    "float for int": ("train --config.data.batch_size=1.5", "--config.data.batch_size=1.5: expected int"),
    "word for float": ("train --config.optimizer.b1=high", "--config.optimizer.b1=high: expected float"),
    "word for bool": ("train --config.data.flip=yes", "expected true or false"),
    "nan for a rate": ("train --config.optimizer.learning_rate=nan", "learning_rate=nan: expected"),
    "bad tuple": ("train --config=vae_digits --config.model.encoder.widths=a", "expected tuple of int"),
    "negative width": ("train --config.model.generator.width=-5", "model.generator.width=-5: must be >= 1"),
    "too large a moment": ("train --config.optimizer.b1=1.5", "optimizer.b1=1.5: must be <= 1"),
    "zero steps": ("train --config.train.steps=0", "train.steps=0: must be >= 1"),
    "unknown choice": ("train --config.objective.loss=hing", "did you mean hinge"),
    "network of another section": ("train --config.model.generator.name=mlp", "model.generator.name=mlp: no such generator"),
    "loose argument": ("train train.steps=9", "did you mean --config.train.steps=9"),
    "unknown flag": ("train --work_dir=x", "unknown flag --work_dir; did you mean --workdir"),
    "too many devices": ("train --config.mesh.devices=99", "mesh.devices=99"),
    "no devices": ("train --config.mesh.devices=-7", "mesh.devices=-7: must be >= -1"),
    "batch not divisible": ("train --config.data.batch_size=100", "data.batch_size=100 must be divisible by 8 devices"),
    "unprepared data set": ("train --config=gan_mnist --config.data.name=svhn_cropped", "is not prepared in"),
    "empty folder": ("train --config.data.name=folder --config.data.path=empty", "no images (.png .jpg .jpeg .webp) in"),
    "missing folder": ("train --config.data.name=folder --config.data.path=nowhere", "nowhere"),
    "folder without a path": ("train --config.data.name=folder", "data.path"),
    "truncated picture": ("train --config.data.name=folder --config.data.path=pictures --config.data.batch_size=8", "broken.png"),
    "floats in an archive": ("train --config.data.name=npz --config.data.path=floats.npz", "uint8"),
    "archive that is none": ("train --config.data.name=npz --config.data.path=not.npz", "not.npz"),
    "side not a multiple of 4": ("train --config.data.name=npz --config.data.path=odd.npz", "multiple of 4"),
    "two channels": ("train --config.data.channels=2", "channels=2"),
    "bernoulli on grey": ("train --config=vae_digits --config.data.binarize=none", "pixels of digits are not binary; set data.binarize"),
    "bernoulli on colour": ("train --config=vae_digits --config.data.name=npz --config.data.path=colour.npz --config.data.binarize=none", "colour images; use discretized_logistic"),
    "penalty with batch norm": (f"train {GAN_PENALTY}", "objective.r1_weight with model.discriminator.norm=batch"),
    "free wasserstein": ("train --config.objective.loss=wasserstein --config.objective.r1_weight=0 --config.objective.r2_weight=0", "must be held Lipschitz"),
    "classes without labels": ("train --config=vae_digits --config.data.name=npz --config.data.path=colour.npz --config.data.channels=1 --config.model.condition=label", "has no labels"),
    "steps not a multiple": ("train --config.train.steps_per_call=3", "multiple of train.steps_per_call=3"),
    "bad schedule kind": ("train --config.optimizer.learning_rate={'kind':'square'}", "kind=square: no such choice"),
    "schedule with a typo": ("train --config.optimizer.learning_rate={'kin':'linear'}", "no such field"),
    "directory of something else": ("train --workdir=full", "is not empty and not a run directory"),
    "run of another config": ("train --config=gan_digits --workdir=run", "is the run of another config"),
    "run with a broken config": ("sample no_meta", "no_meta/config.json, line 1 is damaged ("),
    "config that is a list": ("sample a_list", "a_list/config.json is damaged (it holds a list, not an object)"),
    "data that is null": ("sample a_null", "a_null/data.json is damaged (it holds a NoneType"),
    "config nested without end": ("sample deep", "deep/config.json is damaged (maximum recursion depth"),
    "data that is no text": ("sample binary", "binary/data.json is damaged (it is no text)"),
    "number of 5,000 digits": ("sample long_number", "long_number/data.json is damaged (Exceeds the limit"),
    "another activation": ("sample other_activation", "other_activation/config.json is not what was written"),
    "another activation, trained on": ("train --config=vae_digits --workdir=other_activation", "config.json is not what was written"),
    "another binarisation": ("evaluate other_binarisation", "other_binarisation/data.json is not what was written"),
    "words for a shape": ("sample words_for_shape", "words_for_shape/data.json cannot be used: shape='16' is no number from 1 to 65536"),
    "huge shape": ("sample huge_shape", "huge_shape/data.json cannot be used: shape=[65536, 65536, 3]: an image of that size"),
    "data without what it is": ("sample no_spec", "no_spec/data.json cannot be used: KeyError: 'spec'"),
    "condition of no kind": ("sample odd_kind", "conditions.label.kind='smell' is none"),
    "model that is a list": ("sample model_is_a_list", "model_is_a_list/config.json cannot be used: "),
    "steps in words": ("report steps_in_words", "steps_in_words/config.json cannot be used: train.steps='many': expected int"),
    "set described by a list": ("train --config.data.name=info_list", "info_list/1.0.0/dataset_info.json is damaged (it holds a list"),
    "features that are no text": ("train --config.data.name=features_binary", "features_binary/1.0.0/features.json is damaged (it is no text)"),
    "features of no kind": ("train --config.data.name=features_odd", "features_odd/1.0.0/dataset_info.json or features.json beside it is damaged"),
    "records cut short": ("train --config.data.name=records_cut", "records_cut-train.array_record-00000-of-00001 is damaged ("),
    "records with other bytes": ("train --config.data.name=records_flipped", "records_flipped-train.array_record-00000-of-00001 is damaged ("),
    "truncated checkpoint": ("sample truncated", "OUT_OF_RANGE); the one before it: --step=2"),
    "run that is none": ("sample full", "no run in full"),
    "no run": ("sample", "which run?"),
    "no such step": ("sample run --step=3", "no checkpoint of step 3 in run; there are: 2, 4"),
    "seeds that are none": ("sample run --seeds=a-b", "expected numbers and ranges"),
    "seeds downwards": ("sample run --seeds=5-2", "ranges go upwards"),
    "label of an unconditional model": ("sample run --condition.label=3", "--condition.label: the model is not conditional"),
    "one seed to interpolate": ("interpolate run --seeds=3", "needs at least two"),
    "animation of another kind": ("interpolate run --out=x.mov", "written as .webp or .gif"),
    "GAN cannot reconstruct": ("reconstruct gan", "no encoder"),
    "too many reconstructions": ("reconstruct run --count=1000000", "test split has"),
    "no importance samples": ("evaluate run --importance_samples=0", "--importance_samples=0: must be >= 1"),
    "no sampling seeds": ("evaluate run --seeds=0", "--seeds=0: must be >= 1"),
    "one sample": ("evaluate run --images=1", "--images=1: a set of samples needs two"),
    "no such extractor": ("evaluate run --extractor=nope", "there are: classifier, random, pixels, inception"),
    "inception without a file": ("evaluate run --extractor=inception", "give --weights=FILE"),
    "weights that are none": ("evaluate run --weights=nothing.py", "not usable as Inception weights"),
    "accuracy without classes": ("evaluate run --limit=1 --importance_samples=1 --images=2 --seeds=1 --extractor=random --classification_accuracy", "needs a model of labels"),
    "no best checkpoint": ("sample run --step=best", "no best checkpoint in run"),
    "step that is none": ("sample run --step=last", "expected a step's number, or best"),
    "comparison of nothing": ("compare full", "no run in full"),
    "comparison without scores": ("compare run", "has no scores; run: gen-jax evaluate run"),
    "best of no metric": ("train --config.train.evaluate_every=100 --config.evaluate.extractor=pixels --config.evaluate.best=beauty", "evaluate.best=beauty: there are: fd_pixels"),
    "report on nothing": ("report full", "no run in full"),
    "empty data set": ("export-dataset run --count=0", "--count=0: must be >= 1"),
    "data set in the way": ("export-dataset run --out=full", "full is there already"),
    "too few images to detect": ("detect run --count=5", "--count=5: must be between 50"),
    "study of one": ("study make run", "two"),
    "scores without a key": ("study score full/file", "--key: give the .key.json"),
    "inspection of no image": ("inspect nothing.py", "nothing.py"),
    "keys that are none": ("sample run --sign=full", "full"),
    "profile of no span": ("train --profile=5", "--profile=5: expected FIRST:LAST, two steps, as in 100:105"),
    "profile from before the first step": ("train --profile=-1:5", "--profile=-1:5: expected FIRST:LAST, two steps"),
    "profile of what is compiled": ("train --config=vae_digits --profile=0:5", "expected FIRST:LAST with 1 <= FIRST < LAST <= 4000"),
    "profile of no step": ("train --config=vae_digits --profile=7:7", "--profile=7:7: expected FIRST:LAST with 1 <= FIRST < LAST"),
    "profile beyond the end": ("train --config=vae_digits --profile=10:4001", "<= 4000, the steps of the run"),
    "profile inside a call": ("train --config=vae_digits --config.train.steps_per_call=10 --profile=15:20", "multiples of train.steps_per_call=10"),
    "profile of no updates": ("train --config=random_digits --profile=1:2", "the method makes no updates"),
    "bench of a run and a config": ("bench run --config=vae_mnist", "run has its own config; leave --config out"),
    "bench of a run with another field": ("bench run --config.seed=1", "run has its own config; leave --config out"),
    "bench of no updates": ("bench --config=random_digits", "makes no updates"),
    "bench of no run": ("bench nowhere", "no run in nowhere"),
    "config flag on a run": ("sample run --config.seed=3", "reads the config of its run"),
    "coordinator without a port": ("train --workdir=x --coordinator=localhost --processes=1 --process=0", "expected HOST:PORT"),
    "negative columns": ("sample run --columns=-1", "--columns=-1: must be >= 0"),
    "too many seeds": ("sample run --seeds=0-4294967295", "at most 100,000"),
    "field of another architecture in a file": ("train --config=foreign.py", "model.encoder.width: mlp has no such field"),
    "decay that adam has not": ("train --config.optimizer.weight_decay=0.1", "adam has none; set optimizer.name=adamw"),
    "seed beyond 32 bits": ("train --config.seed=4294967296", "seed=4294967296: must be <= 4294967295"),
    "schedule out of bounds": ("train --config.optimizer.learning_rate={'start':-1.0}", "must be >= 0"),
    "fewer steps than done": ("train --config=vae_digits --workdir=run --config.train.steps=1", "is at step 4 already"),
    "checkpoints gone": ("train --config=vae_digits --workdir=gone", "done but its checkpoints are gone"),
    "data that has changed": ("evaluate changed", "is not what the run"),
    "steps beyond int32": ("train --config.train.steps=2147483648", "train.steps=2147483648: must be <= 2147483647"),
    "infinite rate": ("train --config.optimizer.learning_rate=inf", "learning_rate=inf: expected a finite float"),
    "schedule that ends nowhere": ("train --config.optimizer.learning_rate={'end':1e999}", "learning_rate.end=inf: expected a finite float"),
    "half a step": ("train --config.train.steps=1.5e0", "train.steps=1.5e0: expected int"),
    "half a width": ("train --config=vae_digits --config.model.encoder.widths=1.5", "model.encoder.widths=(1.5,): expected tuple of int"),
    "temperature that is none": ("sample run --temperature=nan", "temperature=nan: must be between 0 and 1000"),
    "temperature without end": ("sample run --temperature=inf", "temperature=inf: must be between 0 and 1000"),
    "temperature below zero": ("sample run --temperature=-1", "temperature=-1.0: must be between 0 and 1000"),
    "frames without end": ("interpolate run --frames=1000000000", "--frames=1000000000: must be <= 1000"),
    "one frame": ("interpolate run --frames=1", "--frames=1: must be >= 2"),
    "frames of many seeds": ("interpolate run --seeds=0-99 --frames=1000", "--frames=1000: of 100 seeds; must be <= 100"),
    "sets without end": ("evaluate run --seeds=1000000000", "--seeds=1000000000: must be <= 1000"),
    "samples without end": ("evaluate run --images=1000000000", "--images=1000000000: must be <= 1000000"),
    "importance without end": ("evaluate run --importance_samples=1e12", "--importance_samples=1e12: must be <= 1000000"),
    "limit below zero": ("evaluate run --limit=-1", "--limit=-1: must be >= 0"),
    "seeds beyond the last": ("evaluate run --seed=4294967295 --seeds=2", "--seed=4294967295: 16 images are drawn from there on; must be <= 4294967280"),
    "data set without end": ("export-dataset run --count=1e15", "--count=1e15: must be <= 10000000"),
    "data set beyond the last seed": ("export-dataset run --seed=4294967295 --count=2", "--seed=4294967295: of 2 images; must be <= 4294967294"),
    "columns without end": ("sample run --columns=1000000000", "--columns=1000000000: must be <= 1000"),
    "half a column": ("sample run --columns=1.5", "--columns=1.5: expected a whole number"),
    "trials without end": ("study make run gan --trials=1e9", "--trials=1e9: must be <= 10000"),
    "nothing to resume": ("train --resume", "no unfinished run of this config in runs; there is no run"),
    "resumed twice": ("train --resume --workdir=run", "--workdir names one; give one of them"),
    "processes without a coordinator": ("train --processes=2", "need --coordinator"),
}  # fmt: skip


def snapshot(root):
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_line(case, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    monkeypatch.setenv("TFDS_DATA_DIR", str(world / "tfds"))
    line, expected = CASES[case]
    before = snapshot(world)
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    errors = [text for text in error.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1 and expected in errors[0], error
    assert error.strip() == errors[0], "nothing but the error line"
    assert snapshot(world) == before
    assert not list((world / "runs").glob("*")) if (world / "runs").exists() else True


def test_read_only_directory(tmp_path, monkeypatch, capsys):
    """Root may write anywhere, so the refusal is made by a file standing where the directory should be."""
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--workdir=file/run"]) == 2
    assert "cannot make file/run" in capsys.readouterr().err
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        assert main(["train", "--workdir=locked/run"]) == 2
        assert "cannot write in locked/run" in capsys.readouterr().err


def test_checkpoint_that_is_damaged_is_not_lost_by_training_on(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "truncated", "truncated")
    assert main(["sample", "truncated", "--step=2"]) == 0
    config = json.loads((world / "truncated/config.json").read_text())
    flags = ["--config.data.name=npz", f"--config.data.path={config['data']['path']}"]
    flags += ["--config.mesh.devices=1", "--config.model.latent_size=4", "--config.train.log_every=1"]
    flags += ["--config.model.encoder.widths=32", "--config.model.decoder.widths=32"]
    flags += ["--config.train.steps=4", "--config.train.checkpoint_every=2", "--config.train.sample_every=0"]
    before = snapshot(tmp_path / "truncated/checkpoints")
    capsys.readouterr()
    assert main(["train", "--config=vae_digits", "--workdir=truncated", *flags]) == 0
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("checkpoint truncated/checkpoints/4 is damaged (leaf "))
    assert line.endswith("OUT_OF_RANGE): set aside as 4.damaged; going on from step 2") and "resumed at step 2" in lines
    after = snapshot(tmp_path / "truncated/checkpoints")
    assert before.items() <= {k.replace("/4.damaged/", "/4/"): after[k] for k in after if "/4/" not in k}.items()
    assert main(["sample", "truncated"]) == 0


def test_damaged_checkpoint_that_is_the_only_one(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "truncated", "run")
    shutil.rmtree("run/checkpoints/2")
    before = snapshot(tmp_path)
    assert main(["sample", "run"]) == 2
    assert capsys.readouterr().err.strip().endswith("OUT_OF_RANGE); there is none before it")
    assert snapshot(tmp_path) == before


def test_debug_shows_where_it_came_from():
    from gen_jax.errors import InputError

    with pytest.raises(InputError):
        main(["train", "--config=nope", "--debug"])
