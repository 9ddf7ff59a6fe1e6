"""Several processes, on one machine or on many, as one cluster of devices."""

import jax
from jax._src.distributed import global_state  # the store by which processes find each other has no public name

from gen_jax.errors import InputError
from gen_jax.runtime import watch

HEARTBEAT = 3600  # seconds


def join(coordinator: str | None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes before any device is used, and watches them; does nothing for a single process.

    Args:
      coordinator: None; "auto" where the cluster says who is who (Slurm, Open MPI, Kubernetes, Cloud
        TPU); or HOST:PORT of process 0, with `processes` and `process`.
    """
    if coordinator is None:
        if processes is not None or process is not None:
            raise InputError("--processes and --process need --coordinator=HOST:PORT")
        return
    if coordinator != "auto":
        if processes is None or process is None or not 0 <= process < processes:
            raise InputError(f"--coordinator={coordinator}: give --processes=N and --process=I with I from 0 to N - 1")
        if not coordinator.rpartition(":")[0] or not coordinator.rpartition(":")[2].isdigit():
            raise InputError(f"--coordinator={coordinator}: expected HOST:PORT, or auto")
    there = watch.joining(coordinator)
    where = () if coordinator == "auto" else (coordinator, processes, process)
    try:
        # JAX's own watch would abort all after a pause of the whole machine; ours knows such a pause.
        jax.distributed.initialize(*where, heartbeat_timeout_seconds=HEARTBEAT)
    except (ValueError, RuntimeError) as error:
        if coordinator != "auto":
            raise
        first = str(error).splitlines()[0]
        raise InputError(f"--coordinator=auto: no cluster found ({first}); give HOST:PORT") from error
    finally:
        there.set()
    if global_state.num_processes > 1:
        host = global_state.coordinator_address.rpartition(":")[0].strip("[]")
        watch.begin(global_state.process_id, global_state.num_processes, global_state.client, host)
