"""The importance-weighted likelihood in PyTorch, and pythae's, on the weights that `likelihood_jax.py` left."""

import math
from pathlib import Path

import numpy as np
import torch
from common_torch import started
from torch import nn
from torch.nn import functional as F
from workers import Setting, Skip, Work

BATCH = 200
AT_ONCE = 4000  # samples of images that are decoded together


def likelihood(setting: Setting, k: int, **options) -> Work:
    """Plain PyTorch in the fastest of the forms that were tried: blocks of samples, softplus, and x.l through h.

    x.(Wh + b) = (W'x).h + x.b is one small product in the place of one with every pixel of every sample. No faster
    were max(l, 0) + log1p(exp(-|l|)), logsigmoid and binary_cross_entropy_with_logits.
    """
    on = started(setting, **options)
    encode, decode, images, noise, counts = read(setting, on.device)
    hidden, output = decode[:-1], decode[-1]

    def weights(images, noise):
        """log p(x, z) - log q(z | x) [S, B] of samples noise [S, B, Z]."""
        mean, log_std = encode(images)
        z = mean + log_std.exp() * noise
        h = hidden(z)
        inked = (h * (images @ output.weight)).sum(-1) + images @ output.bias
        log_p = inked - F.softplus(output(h)).float().sum(-1)
        return log_p + (0.5 * noise**2 + log_std - 0.5 * z**2).sum(-1)

    def estimate(images, drawn):
        with torch.inference_mode(), on.precision:
            return torch.cat([weights(images, part) for part in drawn])

    def run():
        size = AT_ONCE // BATCH
        rows = images[BATCH * (held["turn"] % turns) :][:BATCH]
        held["turn"] += 1
        drawn = (torch.randn(size, BATCH, noise.shape[-1], device=on.device) for _ in range(k // size))
        torch.logsumexp(estimate(rows, drawn), 0) - math.log(k)

    held, turns = {"turn": 0}, len(images) // BATCH

    def values():
        found = estimate(images[: len(noise)], noise.transpose(0, 1).split(AT_ONCE // len(noise))).double()
        value = -(torch.logsumexp(found, 0) - math.log(k)).mean().item()
        # Of other noise the values would differ by the error of the estimate: of log mean w it is that of w / mean.
        shares = torch.softmax(found, 0)
        error = ((shares**2).sum(0) - 1 / k).clamp(min=0).sum().sqrt().item() / len(noise)
        return {"nll": (value, 1e-3), "standard error of nll": (error, 1.0)}

    return Work(run, on.wait, BATCH, counts, values)


def pythae(setting: Setting, k: int) -> Work:
    """pythae's `get_nll`, at its own default of 100 samples at once: it takes one image after another."""
    if setting.dtype != "float32":
        raise Skip("it takes the log of probabilities, which bfloat16 rounds to 0 and 1")
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    on = started(setting)
    encode, decode, images, noise, counts = read(setting, on.device)

    class Encoder(BaseEncoder):
        def forward(self, x):
            mean, log_std = encode(x)
            return ModelOutput(embedding=mean, log_covariance=2 * log_std)

    class Decoder(BaseDecoder):
        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(decode(z)))

    config = VAEConfig(input_dim=(784,), latent_dim=noise.shape[-1], reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder()).to(on.device).eval()

    def nll(images):
        with torch.no_grad(), on.precision:
            return float(-model.get_nll(images, n_samples=k, batch_size=100))

    # The compared value is of the noise that all have; get_nll draws it image by image, 100 samples at a time.
    def values():
        usual, given = model._sample_gauss, iter(noise.reshape(-1, 100, noise.shape[-1]))
        model._sample_gauss = lambda mean, std: (mean + next(given) * std, None)
        value = nll(images[: len(noise)])
        model._sample_gauss = usual
        return {"nll": (value, 1e-3)}

    turn = iter(range(10**9))
    run = lambda: nll(images[next(turn) % len(images) :][:1])
    return Work(run, on.wait, 1, counts, values)


def read(setting: Setting, device):
    """(encode, decode, images [N, 784], noise [n, k, Z], parameter counts) as gen_jax's worker left them."""
    left = Path(setting.folder) / "likelihood.npz"
    if not left.exists():
        raise Skip("gen_jax's worker left no weights")
    arrays = np.load(left)
    kept = {name: torch.tensor(arrays[name], device=device) for name in arrays.files}

    def dense(name):
        kernel, bias = kept[f"{name}/kernel"], kept[f"{name}/bias"]
        layer = nn.Linear(*kernel.shape, device=device)
        layer.weight.data, layer.bias.data = kernel.T.contiguous(), bias
        return layer

    def hidden(network):
        count = len({name for name in kept if name.startswith(f"{network}/Dense_") and name.endswith("kernel")})
        return [layer for i in range(count) for layer in (dense(f"{network}/Dense_{i}"), nn.Tanh())]

    trunk = nn.Sequential(*hidden("encoder"))
    heads = dense("encoder/mean"), dense("encoder/log_std")
    encode = lambda images: tuple(head(x) for x in (trunk(images),) for head in heads)
    decode = nn.Sequential(*hidden("decoder"), dense("decoder/output"))
    sizes = [sum(x.numel() for name, x in kept.items() if name.startswith(side)) for side in ("encoder", "decoder")]
    images = kept["images"].reshape(len(kept["images"]), -1)
    return encode, decode, images, kept["noise"], tuple(sorted(sizes))
