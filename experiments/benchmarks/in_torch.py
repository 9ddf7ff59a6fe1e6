"""The train steps that `train_step.py` times, in PyTorch: the same networks, eager, written as usual."""

import os
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

EXAMPLES = 1024


def build(model: str, batch: int, dtype: str, device: str, channels_last: bool = False, fused: bool = False):
    """(step(), wait(), parameter counts, smallest first) on the given device."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    device = torch.device("cuda" if device == "gpu" else device)
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if channels_last else torch.contiguous_format
    precision = torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")
    adam = partial(torch.optim.Adam, fused=True) if fused else torch.optim.Adam
    step, networks = {"dcgan": gan, "vae": vae}[model](batch, device, layout, precision, adam)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    return step, torch.cuda.synchronize if device.type == "cuda" else lambda: None, sorted(counts)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(128, 4 * 4 * 512)
        layers = []
        for channels in (512, 256, 128):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 3, 3, padding=1), nn.Tanh())

    def forward(self, z):
        return self.layers(self.dense(z).view(-1, 512, 4, 4))


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        layers, previous = [], 3
        for channels in (64, 128, 256):
            layers += self.layer(previous, channels, 3, 1) + self.layer(channels, channels, 4, 2)
            previous = channels
        self.layers = nn.Sequential(*layers, *self.layer(256, 512, 3, 1))
        self.dense = nn.Linear(512, 1)

    @staticmethod
    def layer(before, after, size, stride):
        conv = nn.Conv2d(before, after, size, stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.LeakyReLU(0.1, inplace=True)]

    def forward(self, images):
        return self.dense(self.layers(images).sum((2, 3)))[:, 0]


def gan(batch, device, layout, precision, adam):
    generator = Generator().to(device, memory_format=layout)
    critic = Critic().to(device, memory_format=layout)
    generator_adam = adam(generator.parameters(), 2e-4, (0.5, 0.999))
    critic_adam = adam(critic.parameters(), 2e-4, (0.5, 0.999))
    data = torch.randint(0, 256, (EXAMPLES, 3, 32, 32), dtype=torch.uint8, device=device)
    data = data.contiguous(memory_format=layout)

    def step():
        index = torch.randint(EXAMPLES, (batch,), device=device)
        reals = (data[index].float() / 127.5 - 1).contiguous(memory_format=layout)
        with precision:
            with torch.no_grad():
                fakes = generator(torch.randn(batch, 128, device=device))
            loss = F.softplus(-critic(reals).float()).mean() + F.softplus(critic(fakes).float()).mean()
        critic_adam.zero_grad(set_to_none=True)
        loss.backward()
        critic_adam.step()

        critic.requires_grad_(False)  # saves the weight gradients that nobody wants in the generator's turn
        with precision:
            logits = critic(generator(torch.randn(batch, 128, device=device)))
            loss = F.softplus(-logits.float()).mean()
        generator_adam.zero_grad(set_to_none=True)
        loss.backward()
        generator_adam.step()
        critic.requires_grad_(True)

    return step, (generator, critic)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
        self.mean, self.log_std = nn.Linear(200, 50), nn.Linear(200, 50)

    def forward(self, x):
        x = self.hidden(x)
        return self.mean(x), self.log_std(x)


def vae(batch, device, layout, precision, adam):
    encoder = Encoder().to(device)
    layers = nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 784)
    decoder = nn.Sequential(*layers).to(device)
    rule = adam([*encoder.parameters(), *decoder.parameters()], 1e-3, (0.99, 0.999), eps=1e-4)
    data = (torch.rand(EXAMPLES, 784, device=device) < 0.2).to(torch.uint8)

    def step():
        images = data[torch.randint(EXAMPLES, (batch,), device=device)].float()
        with precision:
            mean, log_std = encoder(images)
            logits = decoder(mean + log_std.exp() * torch.randn_like(mean)).float()
            mean, log_std = mean.float(), log_std.float()
        kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
        likelihood = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        loss = (likelihood + kl.sum()) / batch
        rule.zero_grad(set_to_none=True)
        loss.backward()
        rule.step()

    return step, (encoder, decoder)
