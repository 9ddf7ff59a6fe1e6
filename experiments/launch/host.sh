#!/usr/bin/env bash
# One host with several GPUs. A process uses all of them, so one is enough:
#
#     bash experiments/launch/host.sh
#
# Run here: its command with a VAE on 2 cores and no GPU. Not run here: several GPUs.
set -euo pipefail
RUN=${RUN:-runs/sngan}
# Exit 0: done. 75 (a process was lost, where there are several), 129, 130, 143 (asked to stop, saved), or a kill: the
# same command goes on. 1 and 2: what it printed says why, and it would end so again.
uv run gen-jax train --config=sngan_cifar10 --workdir="$RUN"
# Many runs instead, one a GPU:
#     uv run gen-jax sweep sweeps/lr --config=sngan_cifar10 --config.optimizer.learning_rate=1e-4,2e-4 --seeds=4
