"""What is written is there whole, and is what was written."""

import errno
import json
import os

import pytest

from gen_jax.errors import InputError
from gen_jax.runtime.files import read_bytes, read_json, read_sealed, reason, write_sealed, write_whole

VALUES = {"seed": 0, "data": {"path": "/here", "batch_size": 64}, "source": {"run": "runs/1"}, "sizes": [1, 2]}


def test_sealed_values_come_back(tmp_path):
    write_sealed(tmp_path / "a.json", VALUES)
    assert read_sealed(tmp_path / "a.json") == VALUES
    write_sealed(tmp_path / "b.json", {**VALUES, "sizes": (1, 2)})
    assert read_sealed(tmp_path / "b.json") == VALUES, "a tuple becomes a list, and the hash is that of the list"


@pytest.mark.parametrize(
    "change, holds",
    [
        (lambda v: v["data"].update(path="/there"), True),
        (lambda v: v["source"].update(run="/moved/1"), True),
        (lambda v: v.pop("sha256"), True),  # as older versions wrote it
        (lambda v: v["data"].update(batch_size=65), False),
        (lambda v: v.update(seed=1), False),
        (lambda v: v.update(path="new"), False),
        (lambda v: v["sizes"].reverse(), False),
        (lambda v: v.update(sha256="0"), False),
        (lambda v: v.update(sha256=None), True),
    ],
)
def test_only_where_things_lie_may_change(change, holds, tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, VALUES)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    if holds:
        read_sealed(path)
    else:
        with pytest.raises(InputError, match=r"a\.json is not what was written"):
            read_sealed(path)


def test_damage_is_named_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": 2,\n oops}')
    with pytest.raises(InputError, match=r"a\.json, line 3 is damaged \(Expecting property name"):
        read_json(tmp_path / "a.json")


def test_a_full_disk_is_called_so():
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "disk full"
    assert reason(OSError(errno.EDQUOT, "Disk quota exceeded")) == "disk full"
    assert reason(OSError(errno.EROFS, "Read-only file system")) == "Read-only file system"


def test_a_pipe_is_neither_waited_for_nor_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for use in (read_bytes, lambda path: write_whole(path, b"new")):
        with pytest.raises(OSError, match="a device or a pipe, no file"):
            use(tmp_path / "pipe")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"] and (tmp_path / "pipe").is_fifo()
