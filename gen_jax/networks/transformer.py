"""The transformer (Vaswani et al. 2017) over a row of tokens, layer norm first (Radford et al. 2019).

    x = x + attention(norm(x)),   x = x + mlp(norm(x)),   logits = head(norm(x))

What the image is asked for by stands in front, as vectors of its own (`prefix`). With `causal` the row is a start and
then every token but the last, and place t, which sees what stands before it, predicts token t: p(x) = prod_t p(x_t |
x_<t, condition). Without, every place sees all, and predicts the token that a mask hides there.

A causal model draws with the keys and values of what it has seen kept in a cache of fixed size, so that a new token
costs one place and nothing is compiled twice. `Transformer.__call__` is the same function of all places at once.

The head starts at zero: before it has learned anything every token is equally likely.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gen_jax.field import setting
from gen_jax.networks import prefix
from gen_jax.networks.conditions import Conditions, Values
from gen_jax.networks.pyramid import block

_normal = nn.initializers.normal(0.02)


class Layer(NamedTuple):
    """What a layer has seen: the first `at` of S places; the others hold nothing yet.

    Heads stand before places, as the products take them: else all of it would be transposed for each new token.
    """

    keys: Float[Array, "B H S D"]
    values: Float[Array, "B H S D"]


Cache = tuple[Layer, ...]


class Attention(nn.Module):
    """Self-attention of `heads` heads, over what stands in the row or in a cache."""

    width: int
    heads: int
    turns: bool  # rotary positions
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, places, layer: Layer | None, at):
        """x [B, N, width], mask [N, S], places [N, 2] -> [B, N, width], and the Layer with the new places in it."""
        rows, count, _ = x.shape
        each = self.width // self.heads
        joint = nn.Dense(3 * self.width, use_bias=False, kernel_init=_normal, dtype=self.dtype, name="joint")(x)
        queries, keys, values = joint.reshape(rows, count, 3, self.heads, each).transpose(2, 0, 3, 1, 4)
        if self.turns:
            queries, keys = rotated(queries, places), rotated(keys, places)
        if layer is not None:
            put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), at, 2)
            layer = Layer(put(layer.keys, keys), put(layer.values, values))
            keys, values = layer
        weights = attention(queries, keys, mask)
        self.sow("attention", "weights", weights)  # kept where somebody asks for them
        found = jnp.einsum("bhns,bhsd->bhnd", weights.astype(values.dtype), values)
        found = found.swapaxes(1, 2).reshape(rows, count, self.width)
        return nn.Dense(self.width, use_bias=False, kernel_init=_normal, dtype=self.dtype, name="out")(found), layer


def attention(queries, keys, mask) -> Float[Array, "B H N S"]:
    """softmax(q k / sqrt(D)) where `mask` [N, S] is true (Vaswani et al. 2017, eq. 1), in float32.

    Where nothing may be seen every place counts alike: no number is lost.
    """
    scores = jnp.einsum("bhnd,bhsd->bhns", queries, keys).astype(jnp.promote_types(queries.dtype, jnp.float32))
    return jax.nn.softmax(jnp.where(mask, scores / np.sqrt(queries.shape[-1]), jnp.finfo(scores.dtype).min))


def rotated(x: Float[Array, "B H N D"], places: Float[Array, "N 2"], base: float = 100.0) -> Float[Array, "B H N D"]:
    """Rotary positions in two dimensions (Su et al. 2021): half of each head turns by the row, half by the column.

    Pair i of a half turns by place * base ** (-i / pairs), so that q.k depends on the difference of places alone.
    """
    pairs = x.shape[-1] // 4
    angles = places[:, :, None] * base ** (-jnp.arange(pairs) / pairs)  # [N, 2, pairs]
    sin, cos = (f(angles).astype(x.dtype) for f in (jnp.sin, jnp.cos))
    first, second = jnp.moveaxis(x.reshape(*x.shape[:-1], 2, 2, pairs), -2, 0)
    turned = jnp.stack([first * cos - second * sin, second * cos + first * sin], -2)
    return turned.reshape(x.shape)


class Block(nn.Module):
    """Attention and a layer of 4 * width units, each beside what it changes."""

    width: int
    heads: int
    turns: bool
    depth: int  # layers in all: what a layer adds starts smaller, so that the sum does not grow with them
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, places, layer=None, at=0, keys=None):
        """As `Attention`; `keys` [B], one an image, where its dropout is wanted."""
        norm = lambda name: nn.LayerNorm(use_bias=False, dtype=self.dtype, name=name)
        dense = lambda name, size, init: nn.Dense(size, kernel_init=init, dtype=self.dtype, name=name)
        kept = lambda x, n: x if keys is None else dropout(x, self.dropout, keys, n)
        small = nn.initializers.normal(0.02 / np.sqrt(2 * self.depth))
        attention = Attention(self.width, self.heads, self.turns, self.dtype, name="attention")
        found, layer = attention(norm("first")(x), mask, places, layer, at)
        x = x + kept(found, 0)
        hidden = nn.gelu(dense("up", 4 * self.width, _normal)(norm("second")(x)))
        return block(x + kept(dense("down", self.width, small)(hidden), 1)), layer


def dropout(x: Float[Array, "B N D"], rate: float, keys, n: int) -> Float[Array, "B N D"]:
    """x with a share `rate` of it at zero and the rest scaled up (Srivastava et al. 2014), row i by keys[i]."""
    if not rate:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, n), 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


class Transformer(nn.Module):
    """Tokens of a grid, in raster order, and conditions -> logits of the tokens; see the top of this file.

    Attributes:
      tokens: how many there are; without `causal` one more, the last, is the mask.
      grid: (rows, columns) of the tokens; T = rows * columns.
      said: name of a caption among the conditions that is predicted too, as one stream with the image; "" for none.
    """

    tokens: int
    grid: tuple[int, int]
    conditions: Conditions = ()
    causal: bool = True
    said: str = ""
    layers: int = setting(4, "layers", least=1)
    width: int = setting(128, "entries of a vector", least=4)
    heads: int = setting(4, "heads of attention; they divide the width", least=1)
    dropout: float = setting(0.0, "share of what each layer adds that is left out in training", least=0, most=0.9)
    positions: str = setting("learned", "of tokens: learned alone, or rotary besides", choices=("learned", "rotary"))
    dtype: Any = jnp.float32

    def setup(self):
        """The layers."""
        turns = self.positions == "rotary"
        self.prefix = prefix.Prefix(self.conditions, self.width, self.dtype) if self.conditions else None
        rows = self.tokens + (not self.causal)
        self.table = nn.Embed(rows, self.width, embedding_init=_normal, dtype=self.dtype)
        self.start = self.param("start", _normal, (self.width,)) if self.causal else None
        self.rows = self.param("rows", _normal, (self.grid[0], self.width))
        self.columns = self.param("columns", _normal, (self.grid[1], self.width))
        make = lambda: Block(self.width, self.heads, turns, self.layers, self.dropout, self.dtype)
        self.blocks = [make() for _ in range(self.layers)]
        self.norm = nn.LayerNorm(use_bias=False, dtype=self.dtype)
        head = lambda size: nn.Dense(size, kernel_init=nn.initializers.zeros, dtype=self.full)
        self.head = head(self.tokens)
        self.words = head(dict(self.conditions)[self.said].size) if self.said else None

    @property
    def full(self):
        """The type of logits: float32, whatever layers compute in; or float64."""
        return jnp.promote_types(self.dtype, jnp.float32)

    def seen(self, variables, *rest):
        """The weights of attention [B, layers, heads, P + T, P + T] in a call with these arguments."""
        _, kept = self.apply(variables, *rest, mutable=["attention"])
        return jnp.stack([kept["attention"][f"blocks_{n}"]["attention"]["weights"][0] for n in range(self.layers)], 1)

    @property
    def ahead(self) -> int:
        """P, the places of the conditions."""
        return prefix.length(self.conditions)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        condition: Values = None,
        dropped: Bool[Array, " B"] | None = None,
        keys: Array | None = None,
    ) -> tuple[Float[Array, "B T {self.tokens}"], Float[Array, "B L words"] | None]:
        """Logits of every token, and of every word of the caption `said` but its first, float32.

        Args:
          tokens: with `causal`, of the image whose tokens are predicted; else what is seen of it, masks included.
          condition, dropped: see `Prefix`.
          keys: one an image, where dropout is wanted.
        """
        x = self.table(tokens)
        if self.causal:
            x = jnp.concatenate([self.started(len(x)), x[:, :-1]], 1)
        x, _ = self.run(self.after(condition, dropped, x + self.places()), 0, None, keys)
        return self.head(x[:, self.ahead :]), self.words(x[:, self.caption]) if self.said else None

    @property
    def caption(self) -> slice:
        """The places of the caption `said` that predict a word of it: all but its last."""
        names = [name for name, _ in self.conditions]
        first = prefix.length(self.conditions[: names.index(self.said)])
        return slice(first, first + dict(self.conditions)[self.said].shape[0] - 1)

    def started(self, rows):
        """The start of each row [B, 1, width]."""
        return jnp.broadcast_to(self.start.astype(self.dtype), (rows, 1, self.width))

    def after(self, condition, dropped, x):
        """What an image is asked for by, and x [B, N, width] behind it."""
        return x if self.prefix is None else jnp.concatenate([self.prefix(condition, dropped), x], 1)

    def places(self):
        """What a place of the grid adds to its vector [T, width]."""
        return (self.rows[:, None] + self.columns).reshape(-1, self.width).astype(self.dtype)

    def run(self, x, at, cache: Cache | None, keys=None):
        """Vectors [B, N, width] that stand at places `at` to at + N -> those that the heads read, and the cache."""
        count, seen = x.shape[1], x.shape[1] if cache is None else cache[0].keys.shape[2]
        here = at + jnp.arange(count)
        mask = jnp.arange(seen) <= here[:, None] if self.causal else jnp.ones((count, seen), bool)
        layers = []
        for n, each in enumerate(self.blocks):
            of_layer = None if keys is None else jax.vmap(lambda key, n=n: jax.random.fold_in(key, n))(keys)
            x, layer = each(x, mask, self.where(here), cache and cache[n], at, of_layer)
            layers.append(layer)
        return self.norm(x).astype(self.full), tuple(layers)

    def where(self, here):
        """(row, column) [N, 2] of places counted from the first condition on; conditions stand above the image."""
        token = here - self.ahead
        inside = jnp.stack([token // self.grid[1], token % self.grid[1]], -1)
        return jnp.where(token[:, None] < 0, jnp.stack([token, -jnp.ones_like(token)], -1), inside).astype(jnp.float32)

    def begin(self, condition: Values, dropped: Bool[Array, " B"]):
        """Sees the conditions and the start: the logits [B, tokens] of the first token, and the cache."""
        rows = len(dropped)
        each = self.width // self.heads
        total = self.ahead + self.grid[0] * self.grid[1]
        empty = lambda: jnp.zeros((rows, self.heads, total, each), self.dtype)
        x = self.after(condition, dropped, self.started(rows) + self.places()[0])
        x, cache = self.run(x, 0, tuple(Layer(empty(), empty()) for _ in self.blocks))
        return self.head(x[:, -1]), cache

    def follow(self, token: Int[Array, " B"], place, cache: Cache):
        """Sees the token before `place`: the logits [B, tokens] of the token there, and the cache."""
        x = self.table(token)[:, None] + jax.lax.dynamic_index_in_dim(self.places(), place, 0)
        x, cache = self.run(x, self.ahead + place, cache)
        return self.head(x[:, 0]), cache
