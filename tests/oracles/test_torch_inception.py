"""The Inception network and its weights file against an independent one in PyTorch, written as a table of layers."""

import jax
import numpy as np
import pytest

from gen_jax.evaluation import inception_file
from gen_jax.networks.inception import Inception

torch = pytest.importorskip("torch", reason="PyTorch is an optional oracle: install gen_jax[torch]")
F = torch.nn.functional

# Block -> branches; a branch is its pool, if any, then units "name outputs kernel". A list ends in parallel units.
# A kernel of a stride of 2 has no padding, any other keeps the size.
A = lambda pooled: [
    ["branch1x1 64 1x1"],
    ["branch5x5_1 48 1x1", "branch5x5_2 64 5x5"],
    ["branch3x3dbl_1 64 1x1", "branch3x3dbl_2 96 3x3", "branch3x3dbl_3 96 3x3"],
    ["average", f"branch_pool {pooled} 1x1"],
]
B = [
    ["branch3x3 384 3x3/2"],
    ["branch3x3dbl_1 64 1x1", "branch3x3dbl_2 96 3x3", "branch3x3dbl_3 96 3x3/2"],
    ["halve"],
]
C = lambda n: [
    ["branch1x1 192 1x1"],
    [f"branch7x7_1 {n} 1x1", f"branch7x7_2 {n} 1x7", "branch7x7_3 192 7x1"],
    [f"branch7x7dbl_1 {n} 1x1", f"branch7x7dbl_2 {n} 7x1", f"branch7x7dbl_3 {n} 1x7", f"branch7x7dbl_4 {n} 7x1"]
    + ["branch7x7dbl_5 192 1x7"],
    ["average", "branch_pool 192 1x1"],
]
D = [
    ["branch3x3_1 192 1x1", "branch3x3_2 320 3x3/2"],
    ["branch7x7x3_1 192 1x1", "branch7x7x3_2 192 1x7", "branch7x7x3_3 192 7x1", "branch7x7x3_4 192 3x3/2"],
    ["halve"],
]
E = lambda pool: [
    ["branch1x1 320 1x1"],
    ["branch3x3_1 384 1x1", ("branch3x3_2a 384 1x3", "branch3x3_2b 384 3x1")],
    ["branch3x3dbl_1 448 1x1", "branch3x3dbl_2 384 3x3", ("branch3x3dbl_3a 384 1x3", "branch3x3dbl_3b 384 3x1")],
    [pool, "branch_pool 192 1x1"],
]
BLOCKS = {"Mixed_5b": A(32), "Mixed_5c": A(64), "Mixed_5d": A(64), "Mixed_6a": B}
BLOCKS |= {"Mixed_6b": C(128), "Mixed_6c": C(160), "Mixed_6d": C(160), "Mixed_6e": C(192)}
BLOCKS |= {"Mixed_7a": D, "Mixed_7b": E("average"), "Mixed_7c": E("maximum")}
POOLS = {
    "average": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "maximum": lambda x: F.max_pool2d(x, 3, 1, 1),
    "halve": lambda x: F.max_pool2d(x, 3, 2),
}

pytestmark = pytest.mark.extra


def unit(weights, name, x, channels, kernel, stride=1, padded=True):
    """Convolution, batch norm, ReLU; a name that `weights` lacks gets random ones first, statistics too."""
    if f"{name}.conv.weight" not in weights:
        fan_in = x.shape[1] * kernel[0] * kernel[1]
        weights[f"{name}.conv.weight"] = torch.randn(channels, x.shape[1], *kernel) * (2.0 / fan_in) ** 0.5
        weights[f"{name}.bn.weight"] = 0.5 + torch.rand(channels)
        weights[f"{name}.bn.bias"] = 0.2 * torch.randn(channels)
        weights[f"{name}.bn.running_mean"] = 0.2 * torch.randn(channels)
        weights[f"{name}.bn.running_var"] = 0.5 + torch.rand(channels)
        weights[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
    padding = [k // 2 if padded else 0 for k in kernel]
    x = F.conv2d(x, weights[f"{name}.conv.weight"], stride=stride, padding=padding)
    norm = [weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.relu(F.batch_norm(x, *norm, eps=1e-3))


def layer(weights, block, text, x):
    if text in POOLS:
        return POOLS[text](x)
    name, channels, kernel = text.split()
    kernel, _, stride = kernel.partition("/")
    kernel = [int(k) for k in kernel.split("x")]
    return unit(weights, f"{block}.{name}", x, int(channels), kernel, int(stride or 1), padded=not stride)


def network(weights, x):
    """float [N, 3, H, W] in [-1, 1] -> pool3 [N, 2048], logits [N, 1008]; fills in the weights that are missing."""
    x = unit(weights, "Conv2d_1a_3x3", x, 32, (3, 3), 2, padded=False)
    x = unit(weights, "Conv2d_2a_3x3", x, 32, (3, 3), padded=False)
    x = F.max_pool2d(unit(weights, "Conv2d_2b_3x3", x, 64, (3, 3)), 3, 2)
    x = unit(weights, "Conv2d_3b_1x1", x, 80, (1, 1))
    x = F.max_pool2d(unit(weights, "Conv2d_4a_3x3", x, 192, (3, 3), padded=False), 3, 2)
    for block, branches in BLOCKS.items():
        outputs = []
        for branch in branches:
            y = x
            for step in branch:
                y = (
                    [layer(weights, block, s, y) for s in step]
                    if isinstance(step, tuple)
                    else layer(weights, block, step, y)
                )
            outputs += y if isinstance(y, list) else [y]
        x = torch.cat(outputs, 1)
    pooled = F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]
    if "fc.weight" not in weights:
        weights["fc.weight"] = torch.randn(1008, 2048) / 2048**0.5
        weights["fc.bias"] = torch.randn(1008)
    return pooled, pooled @ weights["fc.weight"].T


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same random weights for PyTorch, and as read from the file that PyTorch saved."""
    torch.manual_seed(0)
    weights = {}
    with torch.no_grad():
        network(weights, torch.zeros(1, 3, 75, 75))
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(weights, path)
    return weights, inception_file.load(path), path


def close(ours, theirs):
    """Within 1e-4 of the largest value of every row."""
    theirs = theirs.numpy()
    assert np.ptp(theirs) > 0.1
    assert (np.abs(np.asarray(ours) - theirs) < 1e-4 * np.abs(theirs).max(1, keepdims=True)).all()


@pytest.mark.parametrize("height, width", [(75, 75), (107, 150), (299, 299)])
def test_network(both, height, width):
    weights, loaded, _ = both
    images = np.random.default_rng(height).uniform(-1.0, 1.0, size=(2, height, width, 3)).astype(np.float32)
    with torch.no_grad():
        theirs = network(weights, torch.from_numpy(images).permute(0, 3, 1, 2))
    for ours, expected in zip(jax.jit(Inception().apply)(loaded.variables, images), theirs, strict=True):
        close(ours, expected)


@pytest.mark.parametrize("shape", [(2, 32, 45, 3), (2, 320, 299, 1)])
def test_images_to_features(both, shape):
    weights, loaded, _ = both
    images = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    ours = inception_file.features(loaded)(images)
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float() / 255.0
        x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        pooled, logits = network(weights, 2.0 * x - 1.0)
    close(ours["features"], pooled)
    np.testing.assert_allclose(ours["probabilities"], torch.softmax(logits, 1).numpy(), rtol=2e-3, atol=1e-6)


def test_both_forms_of_the_file_are_read_as_pytorch_reads_them(both, tmp_path):
    weights, loaded, path = both
    assert not loaded.standard
    # The older form is that of PyTorch before 1.6, and PyTorch still writes it.
    torch.save(weights, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    assert path.read_bytes()[:2] == b"PK" != (tmp_path / "older.pth").read_bytes()[:2]
    jax.tree.map(np.testing.assert_array_equal, inception_file.load(tmp_path / "older.pth").variables, loaded.variables)
    # Parameters with their gradients' flags, and memory in another order, are state dicts too.
    other = {n: torch.nn.Parameter(w) if w.is_floating_point() else w for n, w in weights.items()}
    other["fc.weight"] = weights["fc.weight"].T.contiguous().T
    torch.save(other, tmp_path / "other.pth")
    jax.tree.map(np.testing.assert_array_equal, inception_file.load(tmp_path / "other.pth").variables, loaded.variables)
    read = torch.load(path, weights_only=True)
    kernel = loaded.variables["params"]["Mixed_7b"]["branch3x3_2b"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), read["Mixed_7b.branch3x3_2b.conv.weight"])
