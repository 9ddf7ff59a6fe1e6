"""Steps and samples of VAEs, and the step of a classifier, in PyTorch. Namesakes: `vaes_jax.py`."""

import math

import torch
from common_torch import EXAMPLES, Torch, images, parameters, started
from gans_torch import sampling
from torch import nn
from torch.nn import functional as F
from workers import Setting, Work


def mlp(setting: Setting, batch: int, **options) -> Work:
    on = started(setting, **options)
    return training(on, on.place(MlpEncoder()), on.place(mlp_decoder()), batch, betas=(0.99, 0.999), eps=1e-4)


def conv(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    return training(on, on.place(ConvEncoder()), on.place(conv_decoder()), 64)


def iwae(setting: Setting, batch: int, k: int, **options) -> Work:
    on = started(setting, **options)
    networks = on.place(MlpEncoder()), on.place(mlp_decoder())
    return training(on, *networks, batch, betas=(0.99, 0.999), eps=1e-4, loss=importance_weighted, k=k)


def mlp_sampling(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    decoder = on.place(mlp_decoder())
    return sampling(on, decoder, 50, torch.sigmoid, parameters(decoder))


def classifier(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    layers = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2)]
    last = nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(inplace=True), nn.Linear(128, 10)
    network = on.place(nn.Sequential(*layers, *last))
    rule = on.adam(network.parameters(), 1e-3)
    draw = images(on, (32, 32, 3))

    def run():
        labels = torch.randint(10, (64,), device=on.device)
        with on.precision:
            logits = network(2.0 * draw(64) - 1.0)
        loss = F.cross_entropy(logits.float(), labels)
        rule.zero_grad(set_to_none=True)
        loss.backward()
        rule.step()

    return Work(run, on.wait, parameters=parameters(network))


def elbo(on, encoder, decoder, images):
    with on.precision:
        mean, log_std = encoder(images)
        logits = decoder(mean + log_std.exp() * torch.randn_like(mean)).float()
    mean, log_std = mean.float(), log_std.float()
    kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
    likelihood = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return (likelihood + kl.sum()) / len(images)


def importance_weighted(on, encoder, decoder, images, k):
    """Minus the bound of k samples, the samples of all images in one batch."""
    with on.precision:
        mean, log_std = (x.float() for x in encoder(images))
        noise = torch.randn(k, *mean.shape, device=on.device)
        z = mean + log_std.exp() * noise
        logits = decoder(z.view(-1, z.shape[-1])).float().view(k, len(images), -1)
    log_p = -F.binary_cross_entropy_with_logits(logits, images.expand(k, -1, -1), reduction="none").sum(-1)
    weights = log_p + (0.5 * noise**2 + log_std - 0.5 * z**2).sum(-1)
    return -(torch.logsumexp(weights, 0) - math.log(k)).mean()


def training(on: Torch, encoder, decoder, batch, betas=(0.9, 0.999), eps=1e-8, loss=elbo, **more) -> Work:
    rule = on.adam([*encoder.parameters(), *decoder.parameters()], 1e-3, betas, eps=eps)
    data = (torch.rand(EXAMPLES, 784, device=on.device) < 0.2).to(torch.uint8)

    def run():
        images = data[torch.randint(EXAMPLES, (batch,), device=on.device)].float()
        value = loss(on, encoder, decoder, images, **more)
        rule.zero_grad(set_to_none=True)
        value.backward()
        rule.step()

    return Work(run, on.wait, parameters=parameters(encoder, decoder))


class MlpEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
        self.mean, self.log_std = nn.Linear(200, 50), nn.Linear(200, 50)

    def forward(self, x):
        x = self.hidden(x)
        return self.mean(x), self.log_std(x)


def mlp_decoder():
    return nn.Sequential(nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 784))


class ConvEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        convs = nn.Conv2d(1, 32, 4, 2, 1), nn.SiLU(inplace=True), nn.Conv2d(32, 64, 4, 2, 1), nn.SiLU(inplace=True)
        self.hidden = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), *convs, nn.Flatten(), nn.Linear(3136, 256), nn.SiLU(inplace=True)
        )
        self.mean, self.log_std = nn.Linear(256, 16), nn.Linear(256, 16)

    def forward(self, x):
        x = self.hidden(x)
        return self.mean(x), self.log_std(x)


def conv_decoder():
    dense = nn.Linear(16, 256), nn.SiLU(inplace=True), nn.Linear(256, 3136), nn.SiLU(inplace=True)
    convs = nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.SiLU(inplace=True), nn.ConvTranspose2d(32, 1, 4, 2, 1)
    return nn.Sequential(*dense, nn.Unflatten(1, (64, 7, 7)), *convs, nn.Flatten())
