"""How programs are compiled: loops as loops or not, and each of them once, from a cache the next time."""

import os
from pathlib import Path

import jax


def scanned() -> bool:
    """Whether loops are compiled as loops: on a CPU they are not, since a convolution in one is 19 times slower."""
    return jax.default_backend() != "cpu"


def cache_directory() -> Path:
    """Where gen_jax keeps what can be made again: $GEN_JAX_CACHE or ~/.cache/gen_jax."""
    return Path(os.environ.get("GEN_JAX_CACHE") or "~/.cache/gen_jax").expanduser().absolute()


def enable_cache() -> None:
    """Turns the cache on, unless JAX's own variable already says where it is."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
