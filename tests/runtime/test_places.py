"""A disk that is full or may only be read, and a run directory that somebody removes."""

import errno
import shutil

import pytest
from shrunk import run_of, shrunk

from gen_jax.cli.main import main
from gen_jax.errors import Failed, InputError
from gen_jax.observers import Observer
from gen_jax.runtime import checkpoint, files
from gen_jax.train import train


@pytest.fixture
def full(monkeypatch):
    """A call that fills the disk, for all who ask whether there is room."""

    def no_room(folder, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda: monkeypatch.setattr(files, "try_room", no_room)


def at_step(step, act):
    """An observer that acts once."""
    return lambda program, workdir: Observer(1, lambda state, now: act() if now == step else None)


def test_a_full_disk_is_refused_before_the_work(shared, tmp_path, full, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(run_of("vae_digits", shared), run)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    full()
    for words in ("train --config=vae_digits --workdir=new", "detect run"):
        assert main(words.split()) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: cannot write in ") and "(disk full)" in line
    assert main(["train", "--config=vae_digits"]) == 2
    assert "a checkpoint takes 2,317,064 bytes; make room" in capsys.readouterr().err
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "runs") == before


def test_a_disk_that_fills_ends_the_run_and_leaves_its_checkpoints(tmp_path, full):
    config = shrunk("vae_digits", tmp_path, train__checkpoint_every=2)
    with pytest.raises(Failed, match=r"checkpoint .*/4 of [\d,]+ bytes could not be written \(disk full\)$"):
        train(config, tmp_path / "run", observers=[at_step(3, full)])
    assert checkpoint.committed(tmp_path / "run/checkpoints") == [2]
    assert "NotSaved" in (tmp_path / "run/FAILED.txt").read_text()


def test_books_that_cannot_be_written_are_said_in_one_line(tmp_path, monkeypatch):
    from gen_jax.runtime.logbook import Logbook

    def flush(book):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Logbook, "_flush", flush)
    with pytest.raises(Failed, match=r"^cannot write in .*/run \(disk full\); make room and go on with the same"):
        train(shrunk("vae_digits", tmp_path, train__checkpoint_every=2), tmp_path / "run")


@pytest.mark.parametrize("every", [2, 6], ids=["a save under way", "none under way"])
def test_a_removed_directory_ends_the_run_and_leaves_no_husk(every, tmp_path):
    run = tmp_path / "run"
    config = shrunk("vae_digits", tmp_path, train__checkpoint_every=every)
    with pytest.raises(Failed, match="^the run directory .*/run was removed while it trained; nothing is left"):
        # Renamed, which is one act: to delete it file by file would race with the save of step 2.
        train(config, run, observers=[at_step(3, lambda: run.rename(tmp_path / "away"))])
    assert not run.exists()


def test_a_directory_that_is_not_there_yet_is_weighed_where_it_will_be(tmp_path):
    files.check_room(tmp_path / "a/b/c", 10)
    assert not (tmp_path / "a").exists() and not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"cannot write in .* \((disk full|File too large)\): much; make room"):
        files.check_room(tmp_path / "a", 2**62, ": much")
