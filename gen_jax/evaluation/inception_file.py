"""The standard Inception network for published FID and Inception scores, with weights that the user has.

The weights are not shipped and not downloaded. The file that everybody uses is
pt_inception-2015-12-05-6726825d.pth (95,628,359 bytes): the graph of 2015-12-05 as a PyTorch state dict. By PyTorch's
convention the last part of its name is the beginning of its sha256, which is how it is recognised here.
"""

import functools
import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import InputError
from gen_jax.method import PyTree
from gen_jax.networks.inception import CLASSES, Inception

STANDARD = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # sha256 of the standard file

# For the protocol of a score: what `features` does to the size of an image.
RESIZER = "bilinear 299x299, half-pixel centres, no antialiasing (as pytorch-fid)"

# A weights file has 96 MB. Whatever is much larger, packed or unpacked, is something else.
_LIMIT = 2**28

_HINT = "give pt_inception-2015-12-05-6726825d.pth, or an .npz with the same names"

# What a state dict of tensors asks its unpickler for. A storage is known by the type of its elements.
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "LongStorage": "int64",
}


class InceptionWeights(NamedTuple):
    """Weights as `load` returns them.

    Attributes:
      variables: {"params", "batch_stats"} of networks.inception.Inception, float32, on the default device.
      sha256: of the file, hexadecimal.
      standard: whether it is the standard file, byte for byte. Only then may a score be called FID or IS.
      name: "inception" where standard, else "inception-" and the first eight digits of the sha256: the name that
        scores bear.
    """

    variables: PyTree
    sha256: str
    standard: bool
    name: str


def load(path: str | Path) -> InceptionWeights:
    """Reads a weights file: a state dict saved by torch.save, in its older or its zip form, or an .npz.

    PyTorch is not needed. The pickle of a state dict is read by an unpickler that knows a dictionary and tensors,
    and refuses all else, so that a file can run no code. The .npz holds the same names, without pickled objects;
    it has another sha256, hence another name, even where its numbers are those of the standard file.

    Raises:
      InputError: no such file, a foreign or damaged one, one that asks for code, or a tensor that is missing,
        unexpected (num_batches_tracked may be there), of another shape or type, or not finite.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{path}: no such file; {_HINT}")
    try:
        if file.stat().st_size > _LIMIT:
            raise ValueError("too large for Inception weights")
        content = file.read_bytes()
        variables = _variables(_arrays(content))
    except Exception as error:  # of any type: what a damaged pickle or archive raises depends on where it breaks
        known = isinstance(error, ValueError | pickle.UnpicklingError | zipfile.BadZipFile | OSError)
        reason = " ".join(str(error).split())[:200].rstrip(".") if known else "a damaged or foreign file"
        raise InputError(f"{path}: not usable as Inception weights: {reason}; {_HINT}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    standard = sha256 == STANDARD
    return InceptionWeights(variables, sha256, standard, "inception" if standard else f"inception-{sha256[:8]}")


def features(weights: InceptionWeights) -> Callable[[jax.Array], dict[str, jax.Array]]:
    """The function from images to features that published scores rest on; pure, compiled once for every shape.

    It maps uint8 [N, H, W, C], C in {1, 3}, to {"features": float32 [N, 2048], "probabilities": float32 [N, 1008]}:
    the pool3 features of FID (Heusel et al. 2017) and p(y | x) of the Inception score (Salimans et al. 2016). An
    image's row does not depend on the others. Images may be split over devices along N; then put `weights.variables`
    on all of them first, or every call copies them. The function is a pytree of the weights: give it to an
    enclosing jit as an argument, and they are not baked into the program.

    Grey is repeated to three channels, the size becomes 299 x 299 by `RESIZER`, the range [-1, 1]: what pytorch-fid
    does. Scores by other resizers are other scores (Parmar et al. 2022):

    - The TensorFlow graph of the FID paper samples bilinearly too, but at i * scale, without the half pixel, and maps
      0 .. 255 to (x - 128) / 128, so that white is 0.992.
    - clean-fid shrinks and enlarges by an antialiased bicubic filter (Pillow's, in floating point). Images larger than
      299 are aliased here and not there.

    Raises:
      InputError: by the function: not uint8 [N, H, W, C], no image, or channels other than 1 or 3.
    """
    return jax.tree_util.Partial(_extract, weights.variables)


@jax.jit
def _extract(variables, images):
    if images.dtype != jnp.uint8 or images.ndim != 4 or 0 in images.shape or images.shape[-1] not in (1, 3):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; Inception reads uint8 [N, H, W, C] with 1 or 3 channels"
        )
    x = images.astype(jnp.float32) / 255.0
    x = jax.image.resize(x, (len(x), 299, 299, x.shape[-1]), "linear", antialias=False)
    x = jnp.broadcast_to(2.0 * x - 1.0, (*x.shape[:3], 3))
    pooled, logits = Inception().apply(variables, x)
    return {"features": pooled, "probabilities": jax.nn.softmax(logits)}


def _variables(arrays: Mapping[str, np.ndarray]) -> PyTree:
    """Arrays by the names of the state dict -> Flax variables, all checked."""
    template = jax.eval_shape(Inception().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32))
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [_name([key.key for key in path]) for path, _ in leaves]
    shapes = {name: _theirs(leaf.shape) for name, (_, leaf) in zip(names, leaves, strict=True)}
    shapes["fc.bias"] = (CLASSES,)  # in every file, and used by neither score

    found = {name for name in arrays if not name.endswith(".num_batches_tracked")}
    for problem, those in (("it lacks", shapes.keys() - found), ("it holds the unknown", found - shapes.keys())):
        if those:
            raise ValueError(f"{problem} {min(those)}" + (f" and {len(those) - 1} more" if len(those) > 1 else ""))
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype != np.float32 or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, not float32 {list(shape)}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity")
        if name.endswith("running_var") and (array < 0).any():
            raise ValueError(f"{name} holds a negative variance")
    return jax.tree.unflatten(structure, [jnp.asarray(_ours(arrays[name])) for name in names])


def _name(path: list[str]) -> str:
    """The state dict's name of a Flax leaf: params/Mixed_5b/branch1x1/bn/scale is Mixed_5b.branch1x1.bn.weight."""
    last = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return ".".join([*path[1:-1], last[path[-1]]])


def _theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """PyTorch's shape of a Flax one: output channels first, spatial axes last."""
    return shape[:-3:-1] + shape[:-2]


def _ours(array: np.ndarray) -> np.ndarray:
    """A PyTorch tensor in Flax's order of axes, the inverse of `_theirs`."""
    return array.transpose(*range(2, array.ndim), 1, 0) if array.ndim > 1 else array


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a weights file by name; any exception where it is none."""
    if content.startswith(b"\x80"):
        return _older(io.BytesIO(content))
    if not content.startswith(b"PK"):
        raise ValueError("neither a PyTorch checkpoint nor an .npz")
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(record.file_size for record in archive.infolist()) > _LIMIT:
        raise ValueError("it unpacks to more than Inception weights have")
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if pickles:
        return _newer(archive, pickles[0].removesuffix("data.pkl"))
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _newer(archive: zipfile.ZipFile, root: str) -> dict[str, np.ndarray]:
    """A torch zip checkpoint (PyTorch 1.6 and later): ROOT/data.pkl, and the bytes of storage K in ROOT/data/K."""
    if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") != b"little":
        raise ValueError("its numbers are big-endian")
    storage = functools.cache(lambda key: archive.read(f"{root}data/{key}"))
    tensors = _unpickle(io.BytesIO(archive.read(root + "data.pkl")))
    return {name: _array(name, tensor, storage(tensor.key)) for name, tensor in _checked(tensors)}


def _older(stream: io.BytesIO) -> dict[str, np.ndarray]:
    """A checkpoint of PyTorch before 1.6: five pickles in a row, the fourth the state dict, then the storages.

    The standard file is of this form, by its size: a zip of these 472 tensors would be 60 kB larger.

    A storage is its number of elements (int64) and their bytes; the fifth pickle lists the keys in that order.
    """
    if _unpickle(stream) != 0x1950A86A20F9469CFC6C or _unpickle(stream) != 1001:
        raise ValueError("a pickle, but no PyTorch checkpoint")
    if not _unpickle(stream)["little_endian"]:
        raise ValueError("its numbers are big-endian")
    tensors = list(_checked(_unpickle(stream)))
    sizes = {tensor.key: np.dtype(tensor.dtype).itemsize for _, tensor in tensors}
    storages = {}
    for key in _unpickle(stream):
        count = int.from_bytes(stream.read(8), "little")
        storages[key] = stream.read(count * sizes[key])
        if len(storages[key]) < count * sizes[key]:
            raise ValueError("truncated")
    return {name: _array(name, tensor, storages[tensor.key]) for name, tensor in tensors}


class _Tensor(NamedTuple):
    """What the pickle says of a tensor; its numbers are in the storage `key`."""

    dtype: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _checked(tensors):
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise ValueError("not a dictionary of tensors (a state dict)")
    return tensors.items()


def _array(name: str, tensor: _Tensor, storage: bytes) -> np.ndarray:
    """A tensor's numbers, in whatever order its storage has them; ValueError where it reaches outside."""
    flat = np.frombuffer(storage, tensor.dtype)
    axes = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((count - 1) * step for count, step in axes)
    if min([tensor.offset, *tensor.shape, *tensor.strides]) < 0 or last >= flat.size:
        raise ValueError(f"{name} reaches outside its storage")
    steps = [step * flat.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)


def _unpickle(stream: io.BytesIO):
    """The next pickle of a checkpoint, every tensor as a `_Tensor`; only what `find_class` lists can be called."""

    # Functions are born here and not in the module: a pickle may set attributes of what it was given.
    def tensor(storage, offset, shape, strides, *_):
        return _Tensor(*storage, offset, shape, strides)

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) not in known:
                raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no state dict of tensors needs")
            return known[module, name]

        def persistent_load(self, identifier):
            kind, dtype, key, _, _, *view = identifier  # a view is None in the older form, absent in the newer
            if kind != "storage" or any(view) or dtype not in _STORAGES.values():
                raise pickle.UnpicklingError("its tensors are of a kind that is not known here")
            return dtype, key

    return Unpickler(stream).load()
