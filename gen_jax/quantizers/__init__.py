"""Ways from vectors to codes and back, one file each: pure functions of arrays that read like their papers.

`vq`, the nearest of learned vectors; `fsq`, a grid of levels; `gumbel`, a relaxed categorical. Each ends in a function
`quantizer` that puts its equations behind one interface (`quantizer.Quantizer`), which the tokenizer's Method speaks.
"""

from gen_jax.quantizers import fsq, gumbel, vq
from gen_jax.quantizers.quantizer import Quantized, Quantizer
from gen_jax.quantizers.usage import codes_used, perplexity

__all__ = ["Quantized", "Quantizer", "codes_used", "fsq", "gumbel", "perplexity", "vq"]
