"""What the rows of PyTorch share: threads, device, layout, precision and the optimiser."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from workers import Setting, cores

EXAMPLES = 1024


class Torch(NamedTuple):
    device: torch.device
    layout: torch.memory_format
    precision: Any  # a context: autocast
    adam: Callable
    place: Callable  # (network) -> the network on the device, in the layout, compiled where that is asked for
    compiled: bool
    wait: Callable


def started(setting: Setting, channels_last=False, fused=False, compiled=False) -> Torch:
    """PyTorch as a worker's options ask for it; it may use every core."""
    torch.set_num_threads(cores())
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if setting.device == "gpu" else "cpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def place(network):
        network = network.to(device, memory_format=layout)
        return torch.compile(network) if compiled else network

    return Torch(
        device=device,
        layout=layout,
        precision=torch.autocast(device.type, torch.bfloat16, enabled=setting.dtype == "bfloat16"),
        adam=partial(torch.optim.Adam, fused=True) if fused else torch.optim.Adam,
        place=place,
        compiled=compiled,
        wait=torch.cuda.synchronize if device.type == "cuda" else lambda: None,
    )


def images(on: Torch, shape: tuple[int, int, int]) -> Callable:
    """(batch) -> that many images [B, C, H, W] in [0, 1], gathered by a random index from a set on the device."""
    height, width, channels = shape
    data = torch.randint(0, 256, (EXAMPLES, channels, height, width), dtype=torch.uint8, device=on.device)
    data = data.contiguous(memory_format=on.layout)

    def draw(batch):
        index = torch.randint(EXAMPLES, (batch,), device=on.device)
        return (data[index].float() / 255.0).contiguous(memory_format=on.layout)

    return draw


def parameters(*networks) -> tuple[int, ...]:
    return tuple(sorted(sum(parameter.numel() for parameter in network.parameters()) for network in networks))
