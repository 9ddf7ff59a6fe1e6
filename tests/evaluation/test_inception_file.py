"""Reading a weights file, and images to features. The files are written by hand: PyTorch is not needed here."""

import io
import os
import pickle
import struct
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gen_jax.errors import InputError
from gen_jax.evaluation import inception_file
from gen_jax.networks.inception import Inception

# Every tensor is a stretch of this one storage, so that a whole file has 8 MB; it starts at an offset of its own.
NUMBERS = np.random.default_rng(0).uniform(0.01, 0.05, size=2048 * 1008 + 10_000).astype(np.float32)


def shapes():
    """{name: (shape, offset)} as PyTorch names and shapes them, out of the network's own variables."""
    last = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    template = jax.eval_shape(Inception().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    out = {"fc.bias": (1008,)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(template):
        *module, name = (key.key for key in path[1:])
        shape = leaf.shape
        if name == "kernel":
            shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
        out[".".join([*module, last[name]])] = shape
    return {name: (shape, 7 * i) for i, (name, shape) in enumerate(out.items())}


SHAPES = shapes()


def text(x):
    return b"X" + struct.pack("<i", len(x)) + x.encode()


def integers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def state_dict(tensors, storage=b"ctorch\nFloatStorage\n", view=b"", strides=None):
    """The pickle of {name: (shape, offset)}, opcode by opcode, as PyTorch writes it."""
    out = b"\x80\x02ccollections\nOrderedDict\n)R("
    for name, (shape, offset) in tensors.items():
        steps = (strides or {}).get(name) or [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
        identifier = b"(" + text("storage") + storage + text("0") + text("cpu") + integers([NUMBERS.size])[1:-1] + view
        out += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + identifier[1:] + b"tQ"
        out += integers([offset])[1:-1] + integers(shape) + integers(steps) + b"\x89ccollections\nOrderedDict\n)RtR"
    # PyTorch sets an attribute of the dictionary last.
    return out + b"u}" + text("_metadata") + b"ccollections\nOrderedDict\n)Rsb."


def archive(description, numbers=NUMBERS, byteorder=b"little"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("archive/data.pkl", description)
        file.writestr("archive/byteorder", byteorder)
        file.writestr("archive/data/0", numbers.tobytes())
    return out.getvalue()


def older(description, numbers=NUMBERS, little=True):
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": little}]
    return (
        b"".join(pickle.dumps(x, 2) for x in start)
        + description
        + pickle.dumps(["0"], 2)
        + struct.pack("<q", numbers.size)
        + numbers.tobytes()
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    path.write_bytes(archive(state_dict(SHAPES)))
    return inception_file.load(path)


def written(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    return tmp_path / "weights.pth"


def refused(tmp_path, content, reason):
    with pytest.raises(InputError, match=reason) as error:
        inception_file.load(written(tmp_path, content))
    assert "\n" not in str(error.value) and "weights.pth" in str(error.value)


def tensor(name):
    shape, offset = SHAPES[name]
    return NUMBERS[offset : offset + int(np.prod(shape))].reshape(shape)


def test_every_tensor_finds_its_place(weights):
    params, statistics = weights.variables["params"], weights.variables["batch_stats"]
    assert SHAPES["Conv2d_1a_3x3.conv.weight"][0] == (32, 3, 3, 3)
    assert SHAPES["Mixed_6c.branch7x7dbl_4.conv.weight"][0] == (160, 160, 7, 1)
    assert SHAPES["Mixed_7c.branch3x3_2a.conv.weight"][0] == (384, 384, 1, 3)
    kernel = tensor("Mixed_6c.branch7x7dbl_4.conv.weight")
    unit = params["Mixed_6c"]["branch7x7dbl_4"]
    np.testing.assert_array_equal(unit["conv"]["kernel"][5, 0, 11, 17], kernel[17, 11, 5, 0])
    np.testing.assert_array_equal(unit["bn"]["scale"], tensor("Mixed_6c.branch7x7dbl_4.bn.weight"))
    np.testing.assert_array_equal(unit["bn"]["bias"], tensor("Mixed_6c.branch7x7dbl_4.bn.bias"))
    unit = statistics["Mixed_6c"]["branch7x7dbl_4"]
    np.testing.assert_array_equal(unit["bn"]["mean"], tensor("Mixed_6c.branch7x7dbl_4.bn.running_mean"))
    np.testing.assert_array_equal(unit["bn"]["var"], tensor("Mixed_6c.branch7x7dbl_4.bn.running_var"))
    np.testing.assert_array_equal(params["fc"]["kernel"], tensor("fc.weight").T)
    assert params["fc"].keys() == {"kernel"}
    assert {leaf.dtype for leaf in jax.tree.leaves(weights.variables)} == {jnp.dtype("float32")}


def test_the_three_forms_hold_the_same(weights, tmp_path):
    (tmp_path / "older.pth").write_bytes(older(state_dict(SHAPES, view=b"N")))
    np.savez(tmp_path / "weights.npz", **{name: tensor(name) for name in SHAPES})
    (tmp_path / "tracked.pth").write_bytes(
        archive(state_dict(SHAPES | {"Conv2d_1a_3x3.bn.num_batches_tracked": ((), 0)}))
    )
    for name in ("older.pth", "weights.npz", "tracked.pth"):
        other = inception_file.load(tmp_path / name)
        jax.tree.map(np.testing.assert_array_equal, other.variables, weights.variables)
        assert other.sha256 != weights.sha256


def test_tensors_may_be_stored_in_any_order(weights, tmp_path):
    name = "Mixed_5b.branch1x1.conv.weight"  # [64, 192, 1, 1]
    transposed = archive(state_dict(SHAPES, strides={name: (1, 64, 1, 1)}))
    read = inception_file.load(written(tmp_path, transposed)).variables
    kernel = read["params"]["Mixed_5b"]["branch1x1"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 0], tensor(name).reshape(192, 64))


def test_only_the_standard_file_has_the_standard_name(weights, tmp_path, monkeypatch):
    content = archive(state_dict(SHAPES))
    (tmp_path / "pt_inception-2015-12-05-6726825d.pth").write_bytes(content)  # the name of a file proves nothing
    other = inception_file.load(tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    assert len(other.sha256) == 64 and not other.standard and other.name == f"inception-{other.sha256[:8]}"
    assert inception_file.STANDARD.startswith("6726825d") and len(inception_file.STANDARD) == 64
    monkeypatch.setattr(inception_file, "STANDARD", other.sha256)
    standard = inception_file.load(tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    assert standard.standard and standard.name == "inception"


def test_a_pickle_runs_nothing(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    attack = pickle.dumps(Attack(), 2)
    refused(tmp_path, archive(attack), "asks for .*system")
    refused(tmp_path, attack, "asks for .*system")
    refused(tmp_path, older(attack), "asks for .*system")
    for name in (b"builtins\neval", b"builtins\ngetattr", b"torch\nload", b"collections\nOrderedDict.fromkeys"):
        refused(tmp_path, archive(b"\x80\x02c" + name + b"\n."), "asks for")
    assert not (tmp_path / "ran").exists()
    # Nor can it leave anything behind in a function that it was given.
    change = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}" + text("__defaults__") + b"(NNNNtstb."
    refused(tmp_path, archive(change), "not a dictionary of tensors")
    inception_file.load(written(tmp_path, archive(state_dict(SHAPES))))


@pytest.mark.slow
def test_wrong_tensors_are_refused(tmp_path):
    some, (shape, offset) = "Mixed_5b.branch1x1.conv.weight", SHAPES["Mixed_5b.branch1x1.conv.weight"]
    without = {name: value for name, value in SHAPES.items() if name != some}
    refused(tmp_path, archive(state_dict(without)), f"lacks {some}")
    refused(tmp_path, archive(state_dict({})), "lacks .* and 471 more")
    refused(tmp_path, archive(state_dict(SHAPES | {"AuxLogits.fc.weight": ((3,), 0)})), "unknown AuxLogits.fc.weight")
    refused(tmp_path, archive(state_dict(SHAPES | {some: (shape[::-1], offset)})), f"{some} is float32 .*, not")
    refused(tmp_path, archive(state_dict(SHAPES | {some: (shape, NUMBERS.size - 1)})), f"{some} reaches outside")
    refused(tmp_path, archive(state_dict(SHAPES, b"ctorch\nHalfStorage\n")), "is float16")
    refused(tmp_path, archive(state_dict(SHAPES, b"ctorch\nBFloat16Storage\n")), "asks for torch.BFloat16Storage")
    for strides in ((1, 10**9, 1, 1), (-192, 1, 1, 1), (192, 11_000, 1, 1)):
        refused(tmp_path, archive(state_dict(SHAPES, strides={some: strides})), f"{some} reaches outside")
    refused(tmp_path, archive(state_dict(SHAPES | {some: (shape, -1)})), f"{some} reaches outside")
    for bad in (np.nan, np.inf):
        spoilt = NUMBERS.copy()
        spoilt[100_000] = bad
        refused(tmp_path, archive(state_dict(SHAPES), spoilt), "NaN")
    refused(tmp_path, archive(state_dict(SHAPES), -NUMBERS), "negative variance")
    refused(tmp_path, archive(pickle.dumps({"fc.bias": 1.0}, 2)), "not a dictionary of tensors")
    refused(tmp_path, archive(pickle.dumps([1], 2)), "not a dictionary of tensors")


def test_damaged_and_foreign_files_are_refused(tmp_path, monkeypatch):
    for form, description in ((archive, state_dict(SHAPES)), (older, state_dict(SHAPES, view=b"N"))):
        content = form(description)
        for part in (4, len(description) // 2, len(content) // 2, len(content) - 4):
            refused(tmp_path, content[:part], "not usable as Inception weights")
    flipped = bytearray(archive(state_dict(SHAPES)))
    flipped[len(flipped) // 2] ^= 1
    refused(tmp_path, flipped, "CRC")
    refused(tmp_path, archive(state_dict(SHAPES), byteorder=b"big"), "big-endian")
    refused(tmp_path, older(state_dict(SHAPES, view=b"N"), little=False), "big-endian")
    for content in (b"", b"<html>not found</html>", np.zeros(3).tobytes()):
        refused(tmp_path, content, "neither a PyTorch checkpoint nor an .npz")
    refused(tmp_path, pickle.dumps({"weights": 1}), "no PyTorch checkpoint")
    objects = io.BytesIO()
    np.savez(objects, **{"fc.bias": np.array([None])})
    refused(tmp_path, objects.getvalue(), "allow_pickle|Object arrays")
    monkeypatch.setattr(inception_file, "_LIMIT", 2**20)
    refused(tmp_path, archive(state_dict(SHAPES)), "too large")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", bytes(2**20 + 1))
    refused(tmp_path, bomb.getvalue(), "unpacks to more")
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(InputError, match="no such file"):
            inception_file.load(path)


IMAGES = np.random.default_rng(1).integers(0, 256, size=(3, 40, 40, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(weights):
    """Random weights under which activations keep their size, so that outputs tell images apart."""
    rng = np.random.default_rng(2)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            return rng.normal(size=leaf.shape, scale=(2.0 / np.prod(leaf.shape[:-1])) ** 0.5).astype(np.float32)
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    return weights._replace(variables=jax.tree_util.tree_map_with_path(fill, weights.variables))


@pytest.mark.slow
def test_features_of_images(model):
    extract = inception_file.features(model)
    out = jax.device_get(extract(IMAGES[:2]))
    assert {name: (x.shape, x.dtype.name) for name, x in out.items()} == {
        "features": ((2, 2048), "float32"),
        "probabilities": ((2, 1008), "float32"),
    }
    assert all(np.isfinite(x).all() for x in out.values())
    np.testing.assert_allclose(out["probabilities"].sum(1), 1.0, rtol=1e-5)
    # A row depends on its image alone, bit for bit.
    for name, x in jax.device_get(extract(IMAGES[[2, 0]])).items():
        np.testing.assert_array_equal(x[1], out[name][0])
        assert (x[0] != x[1]).any()
    # Grey is the colour with three equal channels.
    for name, x in jax.device_get(extract(IMAGES[:2].repeat(3, axis=3))).items():
        np.testing.assert_allclose(x, out[name], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(model):
    one = inception_file.features(model)(IMAGES[:2])
    mesh = jax.make_mesh((2,), ("batch",), devices=jax.devices()[:2])
    everywhere = jax.device_put(model.variables, NamedSharding(mesh, PartitionSpec()))
    images = jax.device_put(IMAGES[:2], NamedSharding(mesh, PartitionSpec("batch")))
    two = inception_file.features(model._replace(variables=everywhere))(images)
    assert not two["features"].sharding.is_fully_replicated
    for name in one:  # against the largest: what is near 0 is the difference of what is not
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6 * np.abs(one[name]).max())


@pytest.mark.parametrize(
    "images",
    [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:0], np.zeros((2, 8, 8, 4), np.uint8)],
    ids=["float", "one image", "none", "four channels"],
)
def test_unusable_images_are_refused(model, images):
    with pytest.raises(InputError, match="Inception reads uint8"):
        inception_file.features(model)(images)
