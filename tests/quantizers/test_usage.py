"""How much of a codebook is in use, in closed form."""

import numpy as np
import pytest

from gen_jax.quantizers import codes_used, perplexity


def test_usage():
    assert float(perplexity(np.float32([0, 7, 0]))) == pytest.approx(1.0)
    assert float(perplexity(np.full(8, 3.0, np.float32))) == pytest.approx(8.0, rel=1e-6)
    assert float(perplexity(np.float32([2, 1, 1]))) == pytest.approx(2**1.5, rel=1e-6)
    assert float(codes_used(np.float32([2, 0, 1, 0]))) == 0.5
