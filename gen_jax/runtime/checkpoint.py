"""Checkpoints of a State, by Orbax; the only file that knows it.

Saving is asynchronous; what a kill leaves half-written is swept up at the next start, and is never
taken for a checkpoint.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.errors import InputError

FORMAT = 1


@jax.jit
def _copy(tree):
    return jax.tree.map(jnp.copy, tree)


class Checkpoints:
    """The checkpoints under one directory: `save`, `restore`, `steps`. Use through `opened`."""

    def __init__(self, manager, directory: Path):
        self._manager = manager
        self.directory = directory

    def steps(self) -> list[int]:
        """The steps that are there, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, meta: dict) -> None:
        """Starts writing `state`. The caller may donate it at once: it is copied first.

        On CPU the host's view of a buffer is the buffer, and the next step would write over it.
        """
        import orbax.checkpoint as ocp

        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(_copy(state)), meta=ocp.args.JsonSave({"format": FORMAT, **meta})
        )
        self._manager.save(step, args=arguments, force=True)

    def wait(self) -> None:
        """Returns when everything that `save` started is on disk."""
        self._manager.wait_until_finished()

    def restore(self, step: int, abstract: Any) -> tuple[Any, dict]:
        """The State of `step`, on the shardings of `abstract`, and its meta data.

        Raises:
          InputError: the checkpoint is damaged or of another format; nothing is changed on disk.
        """
        import orbax.checkpoint as ocp

        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
        try:
            restored = self._manager.restore(step, args=arguments)
        except Exception as error:  # a damaged file surfaces as any of a dozen types, by where it is damaged
            older = [s for s in self.steps() if s < step]
            way_out = f"move it away to go on from step {older[-1]}" if older else "move it away to start over"
            first = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise InputError(f"checkpoint {self.directory / str(step)} cannot be read ({first}); {way_out}") from error
        if restored.meta["format"] != FORMAT:
            raise InputError(
                f"checkpoint {self.directory / str(step)} has format {restored.meta['format']}, this version reads"
                f" {FORMAT}; use the version of gen_jax named in the run's env.json"
            )
        return restored.state, restored.meta


def committed(directory: Path) -> list[int]:
    """The steps of the checkpoints in `directory`, oldest first, without opening it."""
    return sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())


@contextmanager
def opened(directory: Path, *, keep: int = 1, read_only: bool = False) -> Iterator[Checkpoints]:
    """The checkpoints in `directory`, of which saving leaves the `keep` latest; waits for saves at the end."""
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(
        max_to_keep=None if read_only else keep,
        cleanup_tmp_directories=not read_only,
        create=not read_only,
        read_only=read_only,
    )
    with ocp.CheckpointManager(Path(directory).absolute(), options=options) as manager:
        yield Checkpoints(manager, Path(directory))
