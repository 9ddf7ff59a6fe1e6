import os

import numpy as np
import pytest

from gen_jax import data
from gen_jax.data import cache


@pytest.fixture
def folder(tmp_path, write):
    path = tmp_path / "set"
    for number in range(8):
        write(path / f"{number}.png", number)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Counts the times that a whole split is decoded."""
    counts = []
    read = data.images.read

    def counting(source, how, indices):
        counts.append(len(indices))
        return read(source, how, indices)

    monkeypatch.setattr(data.images, "read", counting)
    return counts


def open_folder(path, **options):
    return data.make(**{"name": "folder", "path": str(path), "batch_size": 4, **options})


def test_the_second_time_nothing_is_decoded(folder, decoded):
    first = open_folder(folder).resident["image"]
    assert decoded == [8]
    again = open_folder(folder, batch_size=2, seed=3, flip=True, binarize="dynamic").resident["image"]
    assert decoded == [8]
    assert (first == again).all()


def test_a_changed_file_is_read_again(folder, decoded, write):
    before = open_folder(folder)
    pixels = write(folder / "3.png", 99)
    stat = (folder / "3.png").stat()
    os.utime(folder / "3.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    after = open_folder(folder)
    assert decoded == [8, 8]
    assert (after.resident["image"][3] == pixels).all()
    assert after.fingerprint() != before.fingerprint()
    write(folder / "8.png", 8)
    assert open_folder(folder).spec.size == 9 and decoded == [8, 8, 9]


@pytest.mark.parametrize("option", [{"image_size": 4}, {"channels": 1}, {"resize": "stretch"}])
def test_options_that_change_pixels_are_part_of_the_key(folder, decoded, option):
    open_folder(folder)
    open_folder(folder, **option)
    assert decoded == [8, 8]


def test_another_rule_of_resizing_is_part_of_the_key(folder, decoded, monkeypatch):
    open_folder(folder)
    monkeypatch.setattr(data.resizing, "RULE", data.resizing.RULE + 1)
    open_folder(folder)
    assert decoded == [8, 8]


def test_labels_are_renumbered_when_the_other_split_brings_a_class(tmp_path, write):
    for name in ("train/b/1", "train/c/2", "test/b/3", "test/c/4"):
        write(tmp_path / f"{name}.png")
    assert open_folder(tmp_path, split="test").resident["condition"]["label"].tolist() == [0, 1]
    write(tmp_path / "train" / "a" / "5.png")
    assert open_folder(tmp_path, split="test").resident["condition"]["label"].tolist() == [1, 2]


def test_splits_do_not_share_a_file(tmp_path, write):
    for number in range(20):
        write(tmp_path / f"{number:02}.png", number)
    for _ in range(2):
        assert open_folder(tmp_path).resident["image"].shape[0] == 18
        assert open_folder(tmp_path, split="test").resident["image"].shape[0] == 2


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_a_damaged_cache_is_rebuilt(folder, decoded, cache_directory, damage):
    expected = open_folder(folder).resident["image"]
    file, verdict = sorted(cache_directory.iterdir(), key=lambda one: "broken" in one.name)
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    file.write_bytes({"truncate": whole[:-100], "flip": flipped, "empty": b"", "text": b"hello"}[damage])
    assert (open_folder(folder).resident["image"] == expected).all()
    assert decoded == [8, 8]
    assert {one.name for one in cache_directory.iterdir()} == {file.name, verdict.name}
    assert file.read_bytes() == whole
    open_folder(folder)
    assert decoded == [8, 8]


def test_a_cache_that_cannot_be_written_is_no_error(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "file" / "cache"))
    assert open_folder(folder).spec.size == 8


def test_a_failed_write_leaves_nothing_behind(cache_directory, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    arrays = cache.cached("set", ["key"], lambda: {"image": np.zeros(3)})
    assert arrays["image"].shape == (3,)
    assert not list(cache_directory.iterdir())


def test_fingerprints_follow_the_content(folder):
    resident = open_folder(folder)
    assert resident.fingerprint() == open_folder(folder, seed=5).fingerprint()
    assert resident.fingerprint() != open_folder(folder, image_size=4).fingerprint()
    ahead = open_folder(folder, resident_megabytes=0)
    os.utime(folder / "3.png")  # touched, not changed
    assert open_folder(folder).fingerprint() == resident.fingerprint()
    assert open_folder(folder, resident_megabytes=0).fingerprint() == ahead.fingerprint()
    (folder / "7.png").rename(folder / "9.png")
    assert open_folder(folder, resident_megabytes=0).fingerprint() != ahead.fingerprint()
