"""People judging images: a study is one static page to hand out, and a key that stays at home."""

from gen_jax.study.make import images_needed, make, most_trials
from gen_jax.study.score import fleiss_kappa, score

__all__ = ["fleiss_kappa", "images_needed", "make", "most_trials", "score"]
