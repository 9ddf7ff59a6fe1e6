import numpy as np
import pytest
from PIL import Image

from gen_jax import data
from gen_jax.errors import InputError


def open_folder(path, **options):
    return data.make(**{"name": "folder", "path": str(path), "batch_size": 4, **options})


def test_a_flat_folder_holds_out_every_tenth(tmp_path, write):
    pixels = np.stack([write(tmp_path / f"{n:02}.png", n) for n in range(25)])
    train, test = open_folder(tmp_path), open_folder(tmp_path, split="test")
    held = np.arange(25) % 10 == 9
    assert (train.resident["image"] == pixels[~held]).all()
    assert (test.resident["image"] == pixels[held]).all()
    assert train.spec == test.spec._replace(size=23)
    assert train.spec.classes == 0 and "condition" not in train.batch(0, np.arange(4))


def test_sub_folders_are_classes(tmp_path, write):
    write(tmp_path / "cat" / "deep" / "1.PNG", 1)
    write(tmp_path / "cat" / "2.png", 2)
    write(tmp_path / "ant" / "3.png", 3)
    (tmp_path / "bee").mkdir()  # holds no image: no class
    dataset = open_folder(tmp_path)
    assert dataset.spec.class_names == ("ant", "cat") and dataset.spec.classes == 2
    label = dataset.resident["condition"]["label"]
    assert label.dtype == np.int32 and label.tolist() == [0, 1, 1]
    batch = dataset.batch(5, np.arange(4))
    assert (batch["condition"]["label"] == label[batch["index"]]).all()
    assert (batch["image"] == dataset.resident["image"][batch["index"]]).all()


def test_one_sub_folder_is_no_class(tmp_path, write):
    write(tmp_path / "all" / "1.png", 1)
    assert open_folder(tmp_path).spec.classes == 0


def test_train_and_test_folders_share_one_numbering(tmp_path, write):
    for number, name in enumerate(("train/ant/1", "train/cat/2", "test/bee/3", "test/cat/4")):
        write(tmp_path / f"{name}.png", number)
    train, test = open_folder(tmp_path), open_folder(tmp_path, split="test")
    assert train.spec == test.spec
    assert train.spec.class_names == ("ant", "bee", "cat")
    assert train.resident["condition"]["label"].tolist() == [0, 2]
    assert test.resident["condition"]["label"].tolist() == [1, 2]


def test_other_splits_are_refused(tmp_path, write):
    write(tmp_path / "train" / "1.png")
    write(tmp_path / "val" / "2.png")
    with pytest.raises(InputError, match=r"train/, val/ and not train/, test/"):
        open_folder(tmp_path)


def test_images_beside_classes_are_refused(tmp_path, write):
    write(tmp_path / "1.png")
    write(tmp_path / "cat" / "2.png")
    with pytest.raises(InputError, match=r"1 images beside class folders \(1\.png"):
        open_folder(tmp_path)


def test_hidden_and_other_files_are_not_seen(tmp_path, write):
    write(tmp_path / "1.png")
    write(tmp_path / ".2.png")
    write(tmp_path / ".thumbnails" / "3.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert open_folder(tmp_path).spec.size == 1


def test_no_images(tmp_path):
    with pytest.raises(InputError, match=r"^no images \(\.png \.jpg \.jpeg \.webp\) in "):
        open_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        open_folder(tmp_path / "absent")
    with pytest.raises(InputError, match=r"data.path"):
        data.make(name="folder", batch_size=4)


def test_too_few_images_for_a_test_split(tmp_path, write):
    write(tmp_path / "1.png")
    assert open_folder(tmp_path).spec.size == 1
    with pytest.raises(InputError, match="too few to hold out"):
        open_folder(tmp_path, split="test")


def test_all_broken_images_are_named_at_once(tmp_path, write):
    for number in range(300):
        write(tmp_path / f"{number:03}.png", number, height=16, width=16)
    for number in (7, 250):
        whole = (tmp_path / f"{number:03}.png").read_bytes()
        (tmp_path / f"{number:03}.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"2 images cannot be used: .*007\.png.*250\.png") as error:
        open_folder(tmp_path)
    assert "\n" not in str(error.value)
    ahead = open_folder(tmp_path, resident_megabytes=0)  # not read yet, so not known yet
    with pytest.raises(InputError, match=r"007\.png"):
        ahead.gather(np.arange(10))


def test_a_file_that_went_away_is_named(tmp_path, write):
    for number in range(3):
        write(tmp_path / f"{number}.png", number)
    dataset = open_folder(tmp_path, resident_megabytes=0)
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png \(No such file or directory\)"):
        dataset.gather(np.arange(3))


def test_nothing_but_a_broken_image(tmp_path):
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"1\.png cannot be decoded"):
        open_folder(tmp_path)


def test_shapes_that_differ_need_a_size(tmp_path, write):
    write(tmp_path / "1.png", height=8, width=8)
    write(tmp_path / "2.png", height=8, width=12)
    with pytest.raises(InputError, match=r"2\.png \(8x12x3 where others are 8x8x3: set data\.image_size"):
        open_folder(tmp_path)
    assert open_folder(tmp_path, image_size=4).resident["image"].shape == (2, 4, 4, 3)


def test_channels_that_differ_need_a_number(tmp_path, write):
    write(tmp_path / "1.png", channels=1)
    write(tmp_path / "2.png", channels=3)
    with pytest.raises(InputError, match=r"set data\.channels"):
        open_folder(tmp_path)
    assert open_folder(tmp_path, channels=1).spec.shape == (8, 8, 1)


def test_transparent_and_palette_images_mix_with_colour(tmp_path, write, picture):
    rgb = write(tmp_path / "1.png")
    Image.fromarray(np.dstack([rgb, np.full((8, 8), 255, np.uint8)])).save(tmp_path / "2.png")
    Image.fromarray(rgb).quantize(64).save(tmp_path / "3.png")
    images = open_folder(tmp_path).resident["image"]
    assert (images[1] == images[0]).all()
    assert np.abs(images[2].astype(int) - rgb).max() < 64


def test_masks_of_zero_and_one_become_black_and_white(tmp_path):
    for number in range(3):
        mask = np.random.default_rng(number).integers(0, 2, (8, 8), dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
    dataset = open_folder(tmp_path)
    assert dataset.spec.binary
    assert set(np.unique(dataset.resident["image"])) == {0, 255}
    assert not open_folder(tmp_path, image_size=12).spec.binary  # interpolated


def test_a_folder_read_as_needed_equals_the_resident_one(tmp_path, write):
    for number in range(50):
        write(tmp_path / "abc"[number % 3] / f"{number}.png", number, height=9, width=12)
    resident = open_folder(tmp_path, image_size=8, resize="stretch")
    ahead = open_folder(tmp_path, image_size=8, resize="stretch", resident_megabytes=0)
    assert resident.resident is not None and ahead.resident is None
    assert ahead.spec == resident.spec
    for position in (0, 3, 40):
        one, other = (dataset.batch(position, np.arange(4)) for dataset in (resident, ahead))
        assert one.keys() == other.keys()
        assert (one["image"] == other["image"]).all()
        assert (one["condition"]["label"] == other["condition"]["label"]).all()
    assert (ahead.mean() == resident.mean()).all()
    expected = resident.resident["image"].mean(0) / 255
    assert np.abs(resident.mean() - expected).max() < 1e-6 and resident.mean().dtype == np.float32
