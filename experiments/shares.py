"""What the scripts that count what is right have in common."""

import ast
from collections.abc import Sequence

import numpy as np


def share(right: np.ndarray) -> str:
    """How much of bool [N] is true, and its standard error: "0.933 ± 0.014"."""
    return f"{right.mean():.3f} ± {right.std() / max(1, len(right) - 1) ** 0.5:.3f}"


def options(words: Sequence[str]) -> dict:
    """Flags such as --guidance=2, for `run.sample`."""
    return {name: ast.literal_eval(value) for name, value in (word[2:].split("=") for word in words)}
