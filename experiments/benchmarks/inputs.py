"""Ways of images to the step, in gen_jax and by PyTorch's DataLoader: float32 batches in [0, 1] on the device."""

from pathlib import Path

import numpy as np
from PIL import Image
from workers import Setting, Skip, Work, cores

IMAGES, BATCH, SHAPE = 4000, 64, (32, 32, 3)
FOREVER = 10**9


def written(setting: Setting, kind: str) -> str:
    """The path of the images as one .npz or as a folder of .png; whoever comes first writes them."""
    path = Path(setting.folder) / ("images.npz" if kind == "npz" else "images")
    if not path.exists():
        coarse = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
        images = coarse.repeat(4, axis=1).repeat(4, axis=2)
        if kind == "npz":
            np.savez(path, x_train=images, x_test=images[:10])
        else:
            path.mkdir()
            for i, image in enumerate(images):
                Image.fromarray(image).save(path / f"{i:05d}.png")
    return str(path)


def in_jax(setting: Setting, kind: str) -> Work:
    """What the loop does between two steps, and the head of the step: prefetch, transfer, gather, `transform`.

    `resident` gathers on the device; the others are read anew at every use (`data.resident_megabytes=0`).
    """
    import jax

    from gen_jax import data
    from gen_jax.data import tfds
    from gen_jax.data.dataset import floats
    from gen_jax.data.loader import prefetch

    if kind == "tfds":
        names = [name for name in ("mnist", "fashion_mnist", "cifar10") if name in tfds.prepared()]
        if not names:
            raise Skip("neither mnist nor fashion_mnist nor cifar10 is prepared; set TFDS_DATA_DIR")
        found = data.make(name=names[0], batch_size=BATCH, resident_megabytes=0)
    elif kind == "resident":
        found = data.make(name="npz", path=written(setting, "npz"), batch_size=BATCH)
    else:
        found = data.make(name=kind, path=written(setting, kind), batch_size=BATCH, resident_megabytes=0)
    rows = np.arange(BATCH)

    @jax.jit
    def arrive(batch, resident):
        batch = batch if resident is None else batch | jax.tree.map(lambda x: x[batch["index"]], resident)
        return floats(found.transform(batch, jax.random.key(0), 0))["image"]

    if found.resident is None:
        batches = (batch for (batch,) in prefetch(found, range(FOREVER), 1, rows))
    else:
        batches = ({"index": found.indices(p, rows), "row": rows} for p in range(FOREVER))
    resident = jax.device_put(found.resident)
    return Work(lambda: arrive(next(batches), resident).block_until_ready(), units=BATCH / 1000)


def in_torch(setting: Setting, kind: str) -> Work:
    """A DataLoader of shuffled batches, as PyTorch's tutorials have it; `resident` indexes a tensor on the device."""
    import torch
    from common_torch import images, started

    on = started(setting)
    if kind == "resident":
        draw = images(on, SHAPE)
        return Work(lambda: draw(BATCH), on.wait, BATCH / 1000)
    if kind == "npz":
        arrays = torch.from_numpy(np.load(written(setting, "npz"))["x_train"]).permute(0, 3, 1, 2).contiguous()
        found = torch.utils.data.TensorDataset(arrays)
    else:
        found = Pngs(sorted(Path(written(setting, "folder")).iterdir()))
    workers = {"num_workers": cores(), "persistent_workers": True}
    loader = torch.utils.data.DataLoader(
        found, BATCH, shuffle=True, drop_last=True, pin_memory=setting.device == "gpu", **workers
    )
    forever = (batch for _ in range(FOREVER) for batch in loader)
    arrived = lambda batch: batch[0].to(on.device, non_blocking=True).float().div_(255.0)
    return Work(lambda: arrived(next(forever)), on.wait, BATCH / 1000)


class Pngs:
    """A map-style data set of PyTorch's."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import torch

        with Image.open(self.paths[index]) as image:
            return (torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(),)
