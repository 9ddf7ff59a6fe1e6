"""Architectures by the name that a config gives them; one file each, Flax Linen.

All take the image shape (H, W, C), H and W multiples of 4 from 8 up, C 1 or 3, and, like every
network, plain keyword fields. Adversarial pairs speak images in [-1, 1], encoders read [0, 1].

    Generator(shape, width, conditions, norm, dtype)(z [B, Z], condition, train) -> images [B, H, W, C]
    Discriminator(shape, width, conditions, norm, dtype)(images, condition, train) -> logits [B]
    Encoder(latent_size, ..., heads, conditions, dtype)(images, condition) -> [B, Z] a head: mean, log_std
    Classifier(classes, ..., dtype)(images) -> features [B, F], logits [B, K]
    Reader(size, conditions, dtype)(condition) -> [B, size]
    Decoder(shape, ..., outputs, conditions, dtype)(z, condition) -> [B, H, W, C, outputs]
    Transformer(tokens, grid, conditions, causal, ..., dtype)(tokens [B, T], condition) -> logits [B, T, tokens]

and those of a tokenizer, whose latents are a grid of h = H / factor, w = W / factor places:

    Encoder(features, factor, ..., dtype)(images) -> [B, h, w, features]
    Decoder(shape, factor, ..., outputs, dtype)(latents [B, h, w, D]) -> [B, H, W, C, outputs]
    Critic(..., dtype)(images) -> logits [B, rows, columns], one a patch

Values of `conditions` are a dict of arrays [B, ...] (networks/conditions.py). What a config may set is a `setting`,
with its default, meaning and bounds. Collections besides the parameters:
"batch_stats" (batch norm) and "spectral" (spectral norm), both changed by train=True calls only.
"""

import jax

from gen_jax.networks import classifier, conv, convnet, dcgan, grid, mlp, patch, reader, sngan, transformer

GENERATORS = {"dcgan": dcgan.Generator, "sngan": sngan.Generator, "convnet": convnet.Generator}
DISCRIMINATORS = {
    "dcgan": dcgan.Discriminator,
    "sngan": sngan.Discriminator,
    "convnet": convnet.Discriminator,
}
ENCODERS = {"mlp": mlp.Encoder, "conv": conv.Encoder}
CLASSIFIERS = {"cnn": classifier.Classifier}
TRANSFORMERS = {"transformer": transformer.Transformer}
DECODERS = {"mlp": mlp.Decoder, "conv": conv.Decoder}
GRID_ENCODERS = {"residual": grid.Encoder}
GRID_DECODERS = {"residual": grid.Decoder}
PATCH_CRITICS = {"patch": patch.Critic}
READERS = {"transformer": reader.Reader}

# The last layer of every decoder: params[OUTPUT]["bias"] holds, flat, the parameters that a method may
# start at the data's mean: [H * W * C * outputs] of a mlp, [C * outputs] of a conv.
OUTPUT = "output"


def start_at(decoder: dict, raw: jax.Array) -> None:
    """Sets the bias of a decoder's last layer: at the mean image, or the first epochs only learn where the ink is."""
    bias = decoder[OUTPUT]["bias"]
    decoder[OUTPUT]["bias"] = (raw if bias.size == raw.size else raw.mean((0, 1))).reshape(bias.shape)
