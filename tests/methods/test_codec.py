"""What cannot be the tokens of an image is refused in words, before anything is trained or drawn."""

import numpy as np
import pytest
from shrunk import run_of, shrunk

import gen_jax
from gen_jax.errors import InputError
from gen_jax.program import build


@pytest.mark.parametrize(
    "source, fields, message",
    [
        ("vae_digits", {}, "it is no tokenizer; train one: gen-jax train --config=vqvae_mnist"),
        ("gpt_digits", {}, "it is no tokenizer"),
        ("vqvae_mnist", {"data__image_size": 14}, "it encodes 28x28x1, data.name=npz has 14x14x1"),
        ("vqvae_mnist", {"model__levels": 4}, "model.levels=4: the tokens are codes of source.run="),
    ],
)
def test_sources_that_cannot_serve(source, fields, message, shared):
    fields = {"source__run": run_of(source, shared), **fields}
    with pytest.raises(InputError, match=message):
        build(shrunk("gpt_speech", shared, **fields))


@pytest.mark.parametrize(
    "name, fields, message",
    [
        (
            "gpt_shapes",
            {"source__run": ""},
            "shapes has colour images, whose pixels are no tokens; set source.run to a",
        ),
        ("gpt_digits", {"model__levels": 1}, "model.levels=1: pixels of npz have 256 values"),
        ("gpt_mnist", {"model__levels": 3}, "model.levels=3: pixels of npz have 2 values"),
    ],
)
def test_pixels_that_are_no_tokens(name, fields, message, shared):
    with pytest.raises(InputError, match=message):
        build(shrunk(name, shared, **fields))


def test_codes_of_another_tokenizer(shared):
    run = gen_jax.load(run_of("vqvae_mnist", shared))
    codes = np.zeros((2, *run.method.vocabulary.grid), np.int32)
    run.decode(codes)
    for wrong, message in [
        (codes + 16, "codes: 16 to 16, and this model has 0 to 15; were they made by another tokenizer"),
        (codes - 1, "codes: -1 to -1"),
        (codes[:, :5], r"expected integers \[N, 7x7\], got int32 \[2, 5, 7\]"),
        (codes.astype(np.float32), "got float32"),
    ]:
        with pytest.raises(InputError, match=message):
            run.decode(wrong)


@pytest.mark.parametrize("shape", [(4, 4), (8, 8, 3), (3, 8, 8, 1)], ids=str)
def test_masks_of_another_size(shape, shared):
    run = gen_jax.load(run_of("gpt_digits", shared))
    with pytest.raises(InputError, match="mask"):
        run.complete(np.zeros((2, 8, 8, 1), np.uint8), np.ones(shape))
