"""Steps and samples of a transformer over 64 tokens, in PyTorch. Namesakes: `tokens_jax.py`."""

import torch
from common_torch import images, parameters, started
from torch import nn
from torch.nn import functional as F
from workers import Setting, Work

LAYERS, WIDTH, HEADS, TOKENS, SIDE, BATCH = 4, 192, 6, 256, 8, 64
PLACES = SIDE * SIDE


def gpt(setting: Setting, **options) -> Work:
    on = started(setting, **options)
    network = on.place(Transformer())
    adamw = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.9, 0.95), fused=options.get("fused", False))
    draw = images(on, (SIDE, SIDE, 1))

    def run():
        tokens = (draw(BATCH) * 255).round().long().reshape(BATCH, PLACES)
        with on.precision:
            logits = network(tokens)
        loss = F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten()) * PLACES
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adamw.step()

    return Work(run, on.wait, parameters=parameters(network))


def gpt_sampling(setting: Setting, **options) -> Work:
    """With a cache of fixed size for the keys and values of every layer."""
    on = started(setting, **options)
    network = on.place(Transformer())

    @torch.inference_mode()
    def run():
        caches = [torch.zeros(2, BATCH, HEADS, PLACES, WIDTH // HEADS, device=on.device) for _ in range(LAYERS)]
        x = network.start.expand(BATCH, 1, WIDTH)
        tokens = []
        for place in range(PLACES):
            logits = network.step(x, place, caches)
            tokens.append(torch.multinomial(logits.softmax(-1), 1))
            x = network.table(tokens[-1])
        return (torch.cat(tokens, 1).reshape(BATCH, SIDE, SIDE).float() / 255 * 255).round().byte().cpu().numpy()

    return Work(run, on.wait, units=1, parameters=parameters(network))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.LayerNorm(WIDTH, bias=False, eps=1e-6) for _ in range(2))
        self.joint = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def split(self, x):
        """Queries, keys and values [3, B, heads, N, D]."""
        return self.joint(self.first(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)

    def joined(self, x, found):
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.second(x)), approximate="tanh"))

    def forward(self, x):
        return self.joined(x, F.scaled_dot_product_attention(*self.split(x), is_causal=True))

    def step(self, x, place, cache):
        queries, keys, values = self.split(x)
        cache[0, :, :, place], cache[1, :, :, place] = keys[:, :, 0], values[:, :, 0]
        return self.joined(x, F.scaled_dot_product_attention(queries, *cache[:, :, :, : place + 1]))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(TOKENS, WIDTH)
        self.start = nn.Parameter(0.02 * torch.randn(WIDTH))
        self.rows, self.columns = (nn.Parameter(0.02 * torch.randn(SIDE, WIDTH)) for _ in range(2))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH, bias=False, eps=1e-6), nn.Linear(WIDTH, TOKENS)

    def places(self):
        return (self.rows[:, None] + self.columns).flatten(0, 1)

    def forward(self, tokens):
        x = torch.cat([self.start.expand(len(tokens), 1, WIDTH), self.table(tokens[:, :-1])], 1) + self.places()
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def step(self, x, place, caches):
        x = x + self.places()[place]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block.step(x, place, cache)
        return self.head(self.norm(x[:, 0]))
