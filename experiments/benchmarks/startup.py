"""Seconds from the start of `gen-jax train` to the end of its first step.

The process is watched from outside: it says `compiling N s` on stderr as soon as its first update is done, and is ended
there. A cold start has an empty GEN_JAX_CACHE; a warm one that of the start before it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from workers import Setting, Work


def train(setting: Setting, config: str, warm: bool) -> Work:
    """One start of a config as shipped."""
    kept = Path(setting.folder) / "cache"

    def run():
        with tempfile.TemporaryDirectory() as folder:
            cache = kept if warm else Path(folder) / "cache"
            command = [sys.executable, "-m", "gen_jax", "train", f"--config={config}", f"--workdir={folder}/run"]
            environment = {**os.environ, "GEN_JAX_CACHE": str(cache)}
            environment.pop("JAX_COMPILATION_CACHE_DIR", None)
            process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            said = []
            for line in process.stderr:
                said.append(line)
                if line.startswith("compiling"):
                    break
            process.kill()
            process.wait()
            if not said or not said[-1].startswith("compiling"):
                raise RuntimeError("gen-jax train did not come to its first step:\n" + "".join(said))

    return Work(run, runs=1)
