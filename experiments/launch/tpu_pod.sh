#!/usr/bin/env bash
# A TPU pod slice: the same command on every host of it. The run directory lies on storage that all of them see, such as
# a mounted bucket (gcsfuse) or Filestore.
#
#     NAME=my-slice ZONE=europe-west4-b RUN=/mnt/shared/runs/sngan bash experiments/launch/tpu_pod.sh
#
# Not run here: there is no TPU.
set -euo pipefail
gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="
  cd gen_jax && uv sync --extra tpu &&
  uv run gen-jax train --config=sngan_cifar10 --workdir=$RUN --coordinator=auto
"
