"""Several processes, on one machine or on many, as one cluster of devices."""

import jax

from gen_jax.errors import InputError


def join(coordinator: str | None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes before any device is used; does nothing for a single process.

    Args:
      coordinator: None; "auto" where the cluster says who is who (Slurm, Open MPI, Kubernetes, Cloud
        TPU); or HOST:PORT of process 0, with `processes` and `process`.
    """
    if coordinator is None:
        if processes is not None or process is not None:
            raise InputError("--processes and --process need --coordinator=HOST:PORT")
        return
    if coordinator == "auto":
        try:
            jax.distributed.initialize()
        except (ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0]
            raise InputError(f"--coordinator=auto: no cluster found ({first}); give HOST:PORT") from error
        return
    if processes is None or process is None or not 0 <= process < processes:
        raise InputError(f"--coordinator={coordinator}: give --processes=N and --process=I with I from 0 to N - 1")
    if not coordinator.rpartition(":")[0] or not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"--coordinator={coordinator}: expected HOST:PORT, or auto")
    jax.distributed.initialize(coordinator, processes, process)
