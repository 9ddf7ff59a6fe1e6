"""Steps and samples of GANs, in PyTorch, written as usual. Namesakes of the functions in `gans_jax.py`."""

import itertools

import torch
from common_torch import Torch, images, parameters, started
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn
from workers import Setting, Skip, Work

BATCH = 64
SHAPE = (32, 32, 3)
SAMPLED, SAMPLED_AT_ONCE = 1280, 256
SAMPLED_UNIT = 10_000


def dcgan(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    networks = on.place(DcganGenerator()), on.place(DcganCritic(norm=True))
    return playing(on, *networks, non_saturating, latent=128, shape=SHAPE, betas=(0.5, 0.999))


def r1(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    networks = on.place(DcganGenerator()), on.place(DcganCritic(norm=False))
    penalty = lambda critic, reals, fakes: 0.5 * squared_gradient(critic, reals)
    return playing(on, *networks, non_saturating, latent=128, shape=SHAPE, betas=(0.5, 0.999), penalty=penalty)


def sngan(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    networks = on.place(SnganGenerator(256)), on.place(SnganCritic(128))
    return playing(on, *networks, hinge, latent=128, shape=SHAPE, betas=(0.0, 0.9))


def digits(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    networks = on.place(ConvnetGenerator()), on.place(ConvnetCritic())

    def penalty(critic, reals, fakes):
        return 4 * 0.5 * 0.1 * (squared_gradient(critic, reals) + squared_gradient(critic, fakes))

    return playing(
        on,
        *networks,
        relativistic,
        latent=64,
        shape=(16, 16, 1),
        rate=1e-3,
        betas=(0.0, 0.95),
        classes=10,
        penalty=penalty,
        penalty_every=4,
        ema=0.5 ** (BATCH / 20_000),
        run=4,
    )


def dcgan_sampling(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    generator = on.place(DcganGenerator()).eval()
    return sampling(on, generator, 128, lambda images: (images + 1.0) / 2.0, parameters(generator))


def sampling(on: Torch, generator, latent, finish, counts) -> Work:
    def run():
        for _ in range(SAMPLED // SAMPLED_AT_ONCE):
            with torch.inference_mode(), on.precision:
                drawn = finish(generator(torch.randn(SAMPLED_AT_ONCE, latent, device=on.device)).float())
                drawn.mul(255).round_().clamp_(0, 255).byte().cpu().numpy()

    return Work(run, on.wait, SAMPLED / SAMPLED_UNIT, counts)


# The games: logits on reals and on fakes -> the critic's loss, the generator's loss.


def non_saturating(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean(), F.softplus(-fake).mean()


def hinge(real, fake):
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean(), -fake.mean()


def relativistic(real, fake):
    return F.softplus(fake - real).mean(), F.softplus(real - fake).mean()


def squared_gradient(critic, images):
    """Of R1 and R2, by double backward."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def playing(
    on: Torch,
    generator,
    critic,
    game,
    latent,
    shape,
    betas,
    rate=2e-4,
    classes=0,
    penalty=None,
    penalty_every=1,
    ema=0.0,
    run=1,
) -> Work:
    """`run` steps of a game: a critic step, a generator step, each on images and noise of its own."""
    if penalty and on.compiled:
        raise Skip("torch.compile has no double backward")
    generator_adam = on.adam(generator.parameters(), rate, betas)
    critic_adam = on.adam(critic.parameters(), rate, betas)
    draw = images(on, shape)
    average = [parameter.detach().clone() for parameter in generator.parameters()] if ema else []
    move_average = get_ema_multi_avg_fn(ema)
    steps = itertools.count()

    def batch():
        reals, z = 2.0 * draw(BATCH) - 1.0, torch.randn(BATCH, latent, device=on.device)
        return reals, z, (torch.randint(classes, (BATCH,), device=on.device),) if classes else ()

    def step():
        reals, z, label = batch()
        with on.precision:
            with torch.no_grad():
                fakes = generator(z, *label)
            loss, _ = game(critic(reals, *label).float(), critic(fakes, *label).float())
            if penalty and next(steps) % penalty_every == 0:
                loss = loss + penalty(lambda images: critic(images, *label).float(), reals, fakes)
        critic_adam.zero_grad(set_to_none=True)
        loss.backward()
        critic_adam.step()

        critic.requires_grad_(False)  # saves the weight gradients that nobody wants in the generator's turn
        reals, z, label = batch()
        with on.precision:
            # Only the relativistic game looks at the reals here.
            real = critic(reals, *label).float() if game is relativistic else torch.zeros((), device=on.device)
            _, loss = game(real, critic(generator(z, *label), *label).float())
        generator_adam.zero_grad(set_to_none=True)
        loss.backward()
        generator_adam.step()
        critic.requires_grad_(True)
        if average:
            with torch.no_grad():
                move_average(average, list(generator.parameters()), None)

    def many():
        for _ in range(run):
            step()

    return Work(many, on.wait, run, parameters(generator, critic))


class DcganGenerator(nn.Module):
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


class DcganCritic(nn.Module):
    def __init__(self, norm):
        super().__init__()
        layers, previous = [], 3

        def layer(before, after, size, stride):
            conv = nn.Conv2d(before, after, size, stride, padding=1, bias=not norm)
            return [conv, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.1, inplace=True)]

        for channels in (64, 128, 256):
            layers += layer(previous, channels, 3, 1) + layer(channels, channels, 4, 2)
            previous = channels
        self.layers = nn.Sequential(*layers, *layer(256, 512, 3, 1))
        self.dense = nn.Linear(512, 1)

    def forward(self, images):
        return self.dense(self.layers(images).sum((2, 3)))[:, 0]


class SnganGenerator(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.dense = nn.Linear(128, 4 * 4 * width)
        self.blocks = nn.ModuleList(self.block(width) for _ in range(3))
        last = nn.Conv2d(width, 3, 3, padding=1), nn.Tanh()
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True), *last)

    @staticmethod
    def block(width):
        conv = lambda size: nn.Conv2d(width, width, size, padding=size // 2, bias=False)
        residual = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            conv(3),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            conv(3),
        )
        # A 1x1 convolution commutes with nearest upsampling: four times cheaper before it.
        return nn.ModuleList([residual, nn.Sequential(conv(1), nn.Upsample(scale_factor=2))])

    def forward(self, z):
        x = self.dense(z).view(-1, self.width, 4, 4)
        for residual, shortcut in self.blocks:
            x = shortcut(x) + residual(x)
        return self.last(x)


class SnganCritic(nn.Module):
    def __init__(self, width):
        super().__init__()
        conv = lambda before, size: spectral_norm(nn.Conv2d(before, width, size, padding=size // 2))
        pair = lambda before: nn.ModuleList([conv(before, 3), conv(width, 3)])
        self.pairs = nn.ModuleList([pair(3), pair(width), pair(width), pair(width)])
        self.shortcuts = nn.ModuleList([conv(3, 1), conv(width, 1)])
        self.dense = spectral_norm(nn.Linear(width, 1))

    def forward(self, x):
        (first, second), *rest = self.pairs
        x = F.avg_pool2d(second(F.relu(first(x))), 2) + self.shortcuts[0](F.avg_pool2d(x, 2))
        for i, (first, second) in enumerate(rest):
            residual = second(F.relu(first(F.relu(x))))
            # The shortcut's 1x1 convolution commutes with the mean of four pixels.
            x = x + residual if i else F.avg_pool2d(residual, 2) + self.shortcuts[1](F.avg_pool2d(x, 2))
        return self.dense(F.relu(x).sum((2, 3)))[:, 0]


class ConvnetGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 64)
        self.dense = nn.Linear(128, 4 * 4 * 64)
        layers = []
        for before, after in ((64, 64), (64, 32)):
            conv = nn.Conv2d(before, after, 3, padding=1)
            layers += [nn.Upsample(scale_factor=2), conv, nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(32, 1, 3, padding=1), nn.Tanh())

    def forward(self, z, label):
        x = F.leaky_relu(self.dense(torch.cat([z, self.embed(label)], 1)), 0.2)
        return self.layers(x.view(-1, 64, 4, 4))


class ConvnetCritic(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(1, 32, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for before in (32, 64):
            layers += [nn.AvgPool2d(2), nn.Conv2d(before, 64, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Linear(1024, 1)
        self.embed = nn.Embedding(10, 1024)

    def forward(self, images, label):
        x = self.layers(images)
        return self.dense(x)[:, 0] + (self.embed(label) * x).sum(1)
