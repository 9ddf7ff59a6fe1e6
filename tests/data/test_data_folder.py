import contextlib
import json
import os
import struct
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import data
from gen_jax.data.condition import describe
from gen_jax.data.resize import resize
from gen_jax.errors import InputError
from gen_jax.runtime import directory


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


def labelled(root, **options):
    """(class names, file -> class of every image)."""
    found = {}
    for split in ("train", "test"):
        dataset = open_folder(root, split=split, **options)
        names = dataset.spec.class_names
        labels = dataset.resident["condition"]["label"] if names else [None] * dataset.spec.size
        for pixels, label in zip(dataset.resident["image"], labels, strict=True):
            found[int(pixels[0, 0, 0])] = None if label is None else names[label]
    return names, found


@pytest.fixture
def nested(tmp_path):
    """Images by who took them and of what, in splits of their own; the first pixel is the image's number."""
    places = ("train/ann/cat/1", "train/ann/dog/2", "train/bob/cat/3", "test/bob/dog/deep/4", "test/bob/cat/5")
    for place in places:
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), int(place[-1]), np.uint8)).save(path)
    return tmp_path


def test_classes_come_from_where_the_field_says(nested):
    people = {1: "ann", 2: "ann", 3: "bob", 4: "bob", 5: "bob"}
    animals = {1: "cat", 2: "dog", 3: "cat", 4: "dog", 5: "cat"}
    assert labelled(nested) == labelled(nested, labels="depth=1") == (("ann", "bob"), people)
    assert labelled(nested, labels="depth=2") == (("cat", "dog"), animals)
    assert labelled(nested, labels="none") == ((), dict.fromkeys(people))
    paths = {int(path.stem): path.relative_to(nested).as_posix() for path in nested.rglob("*.png")}
    table, said = nested / "labels.jsonl", {1: "b", 2: "a", 3: "b", 4: "a", 5: "c"}
    table.write_text("".join(json.dumps({"file": paths[n], "label": said[n]}) + "\n" for n in said))
    assert labelled(nested, labels="file") == (("a", "b", "c"), said)
    # The same names for other images: decoded images are kept on disk, their old classes are not.
    said[1], said[2] = said[2], said[1]
    table.write_text("".join(json.dumps({"file": paths[n], "label": said[n]}) + "\n" for n in said))
    assert labelled(nested, labels="file") == (("a", "b", "c"), said)


def test_classes_that_lack_are_refused(nested, write):
    with pytest.raises(InputError, match=r"4 images beside class folders \(test/bob/cat/5.png, .*3 folders deep"):
        open_folder(nested, labels="depth=3")
    with pytest.raises(InputError, match=r"labels\.jsonl: cannot be read \(No such file"):
        open_folder(nested, labels="file")
    (nested / "labels.jsonl").write_text('{"file": "test/bob/cat/5.png", "label": "cat"}\n')
    with pytest.raises(InputError, match=r"data.labels=file: 4 of 5 images have no line in labels\.jsonl: test/bob"):
        open_folder(nested, labels="file")
    (nested / "labels.jsonl").write_text('{"file": "test/bob/cat/5.png", "label": 3}\n')
    with pytest.raises(InputError, match=r'line 1 is not of the form {"file": "cats/1.png", "label": "cat"}'):
        open_folder(nested, labels="file")
    for labels in ("depth=0", "depth=", "depth=-1", "depth=2.5", "folders", ""):
        with pytest.raises(InputError, match=f"data.labels={labels}: must be none, folder, file, or depth=N"):
            open_folder(nested, labels=labels)
    with pytest.raises(InputError, match="data.labels=none: data.name=digits does not take it"):
        data.make(name="digits", labels="none", batch_size=4)


def test_without_classes_images_may_lie_anywhere(tmp_path, write):
    for place in ("1", "cat/2", "dog/deep/3"):
        write(tmp_path / f"{place}.png", 1)
    with pytest.raises(InputError, match="1 images beside class folders .* or set data.labels=none"):
        open_folder(tmp_path)
    dataset = open_folder(tmp_path, labels="none")
    assert dataset.spec.size == 3 and dataset.spec.conditions == {}


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
    for megabytes in (2048, 0):  # held or read as needed, and whatever split they are of
        with pytest.raises(InputError, match=r"2 of 300 images are broken: 007\.png \(.*250\.png .*") as error:
            open_folder(tmp_path, resident_megabytes=megabytes)
        assert "\n" not in str(error.value)


def spoiled(root, write):
    """A folder of 24 whole images and six of the ways to be none; the names of the latter, with the reasons."""
    for number in range(24):
        write(root / "ab"[number % 2] / f"{number:02}.png", number)
    whole = (root / "a/00.png").read_bytes()
    (root / "a/cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "a/empty.jpg").write_bytes(b"")
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + whole[24:29]
    (root / "b/bomb.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    (root / "b/gone.png").symlink_to(root / "nowhere.png")
    (root / "b/self.png").symlink_to(root / "b/self.png")
    os.mkfifo(root / "b/pipe.png")
    return {
        "a/cut.png": "truncated",
        "a/empty.jpg": "not an image",
        "b/bomb.png": "Image size (400000000 pixels) exceeds limit",
        "b/gone.png": "a dangling link",
        "b/pipe.png": "a device or a pipe, no file",
        "b/self.png": "a dangling link",
    }


@pytest.mark.parametrize("megabytes", [2048, 0])
def test_broken_images_are_left_out_where_that_is_asked_for(tmp_path, write, megabytes):
    reasons = spoiled(tmp_path, write)
    with pytest.raises(InputError, match=r"6 of 30 images are broken: a/cut\.png .* and 1 more; remove or") as error:
        open_folder(tmp_path, resident_megabytes=megabytes)
    assert "\n" not in str(error.value)
    train = open_folder(tmp_path, skip_broken=True, resident_megabytes=megabytes)
    test = open_folder(tmp_path, skip_broken=True, resident_megabytes=megabytes, split="test")
    assert train.spec.size + test.spec.size == 24 and train.spec.class_names == ("a", "b")
    for dataset in (train, test):
        assert list(dataset.skipped) == list(reasons)
        assert all(reasons[file] in reason and "\n" not in reason for file, reason in dataset.skipped.items())
    assert train.remarks == ("2 classes: a, b", "6 broken images are left out; data.json names them")
    assert len(train.gather(np.arange(train.spec.size))["image"]) == train.spec.size
    with contextlib.ExitStack() as stack:
        directory.claim(stack, {}, tmp_path / "run", "", {}, train)
    assert json.loads((tmp_path / "run/data.json").read_text())["skipped"] == train.skipped


def test_mended_images_are_seen_and_nothing_else_is_looked_at_twice(tmp_path, write, monkeypatch):
    reasons = spoiled(tmp_path, write)
    looked = []
    decode = data.images.decode
    monkeypatch.setattr(data.images, "decode", lambda encoded: looked.append(1) or decode(encoded))
    options = {"skip_broken": True, "resident_megabytes": 0, "image_size": 8, "channels": 3}
    open_folder(tmp_path, **options)
    first = len(looked)
    open_folder(tmp_path, **options)
    assert len(looked) - first <= first - 20, "the whole images are not decoded again to see whether they are whole"
    (tmp_path / "nowhere.png").write_bytes((tmp_path / "a/00.png").read_bytes())
    (tmp_path / "nowhere.png").rename(tmp_path / "b/nowhere.png")
    (tmp_path / "b/gone.png").unlink()
    (tmp_path / "b/gone.png").symlink_to(tmp_path / "b/nowhere.png")
    mended = open_folder(tmp_path, **options)
    assert list(mended.skipped) == [file for file in reasons if file != "b/gone.png"]


def test_nothing_but_broken_images_is_refused_even_so(tmp_path):
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"1 of 1 images are broken: 1\.png \(not an image\); remove or replace them$"):
        open_folder(tmp_path, skip_broken=True)


def test_linked_folders_are_read_once(tmp_path, write):
    for number in range(24):
        write(tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png", number)
    write(tmp_path / "elsewhere" / "24.png", 24)
    before = open_folder(tmp_path / "set", resident_megabytes=0)
    for name, target in (("a/top", "set"), ("b/up", "set/b"), ("again", "set/a"), ("a/across", "set/b")):
        (tmp_path / "set" / name).symlink_to(tmp_path / target)
    looped = open_folder(tmp_path / "set", resident_megabytes=0)
    assert looped.fingerprint() == before.fingerprint() and looped.spec == before.spec
    (tmp_path / "set/c").symlink_to(tmp_path / "elsewhere")
    assert open_folder(tmp_path / "set").spec.class_names == ("a", "b", "c"), "a link to other images brings them"


def test_a_file_that_went_away_is_named(tmp_path, write):
    for number in range(3):
        write(tmp_path / f"{number}.png", number)
    dataset = open_folder(tmp_path, resident_megabytes=0)
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png \(No such file or directory\)"):
        dataset.gather(np.arange(3))


def test_nothing_but_a_broken_image(tmp_path):
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"1 of 1 images are broken: 1\.png \(not an image\)"):
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


CAPTIONS = ("a red circle", "A blue circle.", "two red squares")


def captioned(root, write, names=("1", "2", "3"), captions=CAPTIONS):
    for number, (name, caption) in enumerate(zip(names, captions, strict=True)):
        write(root / f"{name}.png", number)
        (root / f"{name}.txt").write_text(caption + "\n")


def says(dataset):
    condition = dataset.spec.conditions["text"]
    return [describe(condition, row) for row in dataset.resident["condition"]["text"]]


def test_captions_stand_beside_images(tmp_path, write):
    captioned(tmp_path, write)
    dataset = open_folder(tmp_path)
    assert says(dataset) == ["a red circle", "a blue circle", "two red squares"]
    names = ("<pad>", "<begin>", "<end>", "a", "circle", "red", "blue", "squares", "two")
    assert dataset.spec.conditions == {"text": data.Condition("tokens", (5,), 9, names)}
    ahead = open_folder(tmp_path, resident_megabytes=0)
    index = np.array([2, 0])
    assert (ahead.gather(index)["condition"]["text"] == dataset.resident["condition"]["text"][index]).all()
    assert open_folder(tmp_path, text="none").spec.conditions == {}
    assert says(open_folder(tmp_path, text="bytes")) == list(CAPTIONS)
    assert says(open_folder(tmp_path, text_length=4)) == ["a red", "a blue", "two red"]


def test_captions_stand_in_a_table(tmp_path, write):
    for name in ("train/ant/1", "train/bee/2", "test/ant/1"):
        write(tmp_path / f"{name}.png")
    rows = [("test/ant/1.png", "ein Käfer"), ("./train/bee/2.png", "eine Biene"), ("train/ant/1.png", "ein Tier")]
    lines = [json.dumps({"file": file, "text": text}) for file, text in rows] + ["", '{"file": "gone.png", "text": ""}']
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    train, test = open_folder(tmp_path), open_folder(tmp_path, split="test")
    assert says(train) == ["ein tier", "eine biene"] and says(test) == ["ein käfer"]
    assert train.spec == test.spec._replace(size=2)
    assert train.spec.conditions["text"].names[3:] == ("ein", "biene", "eine", "käfer", "tier")
    assert train.spec.classes == 2


def test_captions_of_held_out_images_are_theirs(tmp_path, write):
    captioned(tmp_path, write, [f"{n:02}" for n in range(20)], [f"number {n}" for n in range(20)])
    assert says(open_folder(tmp_path, split="test")) == ["number 9", "number 19"]
    assert says(open_folder(tmp_path)) == [f"number {n}" for n in range(20) if n % 10 != 9]


def test_another_vocabulary_is_never_served_from_the_cache(tmp_path, write):
    captioned(tmp_path, write)
    before = open_folder(tmp_path)
    (tmp_path / "3.txt").write_text("circle circle")
    after = open_folder(tmp_path)
    assert says(after) == ["a red circle", "a blue circle", "circle circle"]
    assert after.fingerprint() != before.fingerprint()
    # The same numbers, but of other words.
    for name in "123":
        (tmp_path / f"{name}.txt").write_text((tmp_path / f"{name}.txt").read_text().replace("circle", "oval"))
    renamed = open_folder(tmp_path)
    assert (renamed.resident["condition"]["text"] == after.resident["condition"]["text"]).all()
    for megabytes in (0, 10):
        other = open_folder(tmp_path, resident_megabytes=megabytes)
        (tmp_path / "3.txt").write_text("oval oval oval" if megabytes == 0 else "oval oval")
        assert open_folder(tmp_path, resident_megabytes=megabytes).fingerprint() != other.fingerprint()
    assert renamed.fingerprint() != after.fingerprint()


def test_captions_that_lack_or_stand_twice_are_refused(tmp_path, write):
    captioned(tmp_path, write)
    for name in "4567":
        write(tmp_path / f"{name}.png")
    with pytest.raises(
        InputError, match=r"4 of 7 images have no caption: 4\.png, 5\.png, 6\.png and 1 more; write one"
    ):
        open_folder(tmp_path)
    assert open_folder(tmp_path, text="none").spec.size == 7
    table = tmp_path / "captions.jsonl"
    table.write_text('{"file": "1.png", "text": "x"}')
    with pytest.raises(InputError, match=r"it holds captions\.jsonl and 1\.txt; remove one"):
        open_folder(tmp_path)
    for name in "123":
        (tmp_path / f"{name}.txt").unlink()
    with pytest.raises(InputError, match=r"6 of 7 images have no caption: 2\.png"):
        open_folder(tmp_path)
    for line in ("1.png a cat", '{"file": "1.png"}', '{"file": "1.png", "text": 3}', '["file", "text"]', "3"):
        table.write_text('{"file": "2.png", "text": "x"}\n' + line)
        with pytest.raises(InputError, match=r"captions\.jsonl: line 2 is not of the form") as error:
            open_folder(tmp_path)
        assert "\n" not in str(error.value)
    table.write_text('{"file": "2.png", "text": "x"}\n' * 2)
    with pytest.raises(InputError, match=r"line 2 is a second line of 2\.png"):
        open_folder(tmp_path)
    table.write_text("\n")
    with pytest.raises(InputError, match="nothing in it"):
        open_folder(tmp_path)
    table.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"captions\.jsonl: cannot be read \(no UTF-8\)"):
        open_folder(tmp_path)


@pytest.mark.parametrize("option", [{"text_length": 8}, {"text": "bytes"}])
def test_options_of_captions_need_captions(tmp_path, write, option):
    write(tmp_path / "1.png")
    ((field, value),) = option.items()
    with pytest.raises(InputError, match=f"data.{field}={value}: no captions of folder are read"):
        open_folder(tmp_path, **option)


@pytest.fixture
def twins(tmp_path, write):
    """(folder of 12 images, folder of as many twins with another ending, the twins' pixels)."""
    pixels = []
    for number in range(12):
        name = f"{'ab'[number % 2]}/{number:02}"
        image = write(tmp_path / "images" / f"{name}.png", number, height=9, width=12)
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.webp", lossless=True)
        (tmp_path / "images" / f"{name}.png").unlink()
        pixels.append(write(tmp_path / "edges" / f"{name}.png", 100 + number, height=12, width=9, channels=1))
    order = sorted(range(12), key=lambda number: (number % 2, number))
    return tmp_path / "images", tmp_path / "edges", np.stack(pixels)[order]


def test_twins_lie_in_a_second_folder(twins):
    images, edges, pixels = twins
    for megabytes in (2048, 0):
        dataset = open_folder(images, condition_path=str(edges), resident_megabytes=megabytes)
        assert dataset.spec.conditions["image"] == data.Condition("image", (12, 9, 1))
        assert dataset.spec.shape == (9, 12, 3)
        batch = dataset.batch(1, np.arange(4))
        assert batch["condition"].keys() == {"label", "image"}
        train = np.delete(np.arange(12), 9)
        assert (batch["condition"]["image"] == pixels[train[batch["index"]]]).all()
    test = open_folder(images, condition_path=str(edges), split="test")
    assert (test.resident["condition"]["image"] == pixels[[9]]).all()


def test_a_twin_of_the_same_ending_goes_before_another(tmp_path, write):
    (tmp_path / "twins").mkdir()
    for grey, name in ((0, "1.jpg"), (100, "1.png"), (200, "2.png"), (255, "2.webp")):
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / "twins" / name)
    for name in ("1.jpg", "1.png", "2.png"):
        write(tmp_path / "images" / name)
    dataset = open_folder(tmp_path / "images", condition_path=str(tmp_path / "twins"))
    assert dataset.resident["condition"]["image"][:, 4, 4, 0].tolist() == [0, 100, 200]


def test_twins_are_resized_as_images_are(twins, picture):
    images, edges, pixels = twins
    for mode in ("crop", "stretch"):
        dataset = open_folder(images, condition_path=str(edges), image_size=6, resize=mode, channels=3)
        found = dataset.resident["condition"]["image"]
        assert found.shape == (11, 6, 6, 1) and dataset.spec.shape == (6, 6, 3)
        expected = np.stack([resize(twin, image_size=6, mode=mode) for twin in np.delete(pixels, 9, 0)])
        assert (found == expected).all()
    Image.fromarray(picture(5, height=12, width=9)).save(edges / "a" / "00.png")
    assert open_folder(images, condition_path=str(edges)).spec.conditions["image"].shape == (12, 9, 3)  # one of colour


def test_twins_are_part_of_what_a_cache_depends_on(twins):
    images, edges, pixels = twins
    before = [open_folder(images, condition_path=str(edges), resident_megabytes=m) for m in (2048, 0)]
    changed = edges / "a" / "00.png"
    Image.fromarray(255 - pixels[0, :, :, 0]).save(changed)
    changed.write_bytes(changed.read_bytes() + b" ")  # of sets read as needed only names and sizes are compared
    after = [open_folder(images, condition_path=str(edges), resident_megabytes=m) for m in (2048, 0)]
    assert (after[0].resident["condition"]["image"][0] == 255 - pixels[0]).all()
    for one, other in zip(before, after, strict=True):
        assert one.fingerprint() != other.fingerprint()
    assert open_folder(images).fingerprint() != after[0].fingerprint()


def test_twins_that_lack_or_are_broken_are_named(twins, tmp_path):
    images, edges, _ = twins
    (edges / "b" / "03.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1 of 12 images are broken: b/03\.webp \(its condition: not an image\)"):
        open_folder(images, condition_path=str(edges))
    for name in ("01", "03", "05", "07"):
        (edges / "b" / f"{name}.png").unlink()
    with pytest.raises(
        InputError, match=r"4 of 12 images have no image: b/01\.webp, b/03\.webp, b/05\.webp and 1 more"
    ):
        open_folder(images, condition_path=str(edges))
    with pytest.raises(InputError, match="data.condition_path=.*no such folder"):
        open_folder(images, condition_path=str(tmp_path / "absent"))
    with pytest.raises(InputError, match="data.condition_path=x: data.name=digits does not take it"):
        data.make(name="digits", batch_size=4, condition_path="x")


def test_a_flip_turns_the_twin_too(twins):
    images, edges, _ = twins
    options = {"condition_path": str(edges), "flip": True, "batch_size": 11}
    train = open_folder(images, **options)
    batch = train.batch(0, np.arange(11))
    out = jax.device_get(train.transform(batch, jax.random.key(0), 0))
    turned = (out["image"] == batch["image"][:, :, ::-1]).all((1, 2, 3))
    assert 0 < turned.sum() < 11
    expected = batch["condition"]["image"].copy()
    expected[turned] = expected[turned][:, :, ::-1]
    assert (out["condition"]["image"] == expected).all()
    test = open_folder(images, **options, split="test")
    batch = test.batch(0, np.arange(1))
    out = [test.transform(batch, jax.random.key(n), 0)["condition"]["image"] for n in range(8)]
    assert (np.asarray(out) == batch["condition"]["image"]).all()


def test_the_test_twins_follow_the_train_twins(tmp_path, write):
    for name in ("train/1", "test/2"):
        write(tmp_path / "images" / f"{name}.png")
        write(tmp_path / "twins" / f"{name}.png", channels=1)
    options = {"condition_path": str(tmp_path / "twins")}
    shape = lambda: open_folder(tmp_path / "images", **options, split="test").resident["condition"]["image"].shape
    assert shape() == (1, 8, 8, 1)
    write(tmp_path / "twins" / "train" / "1.png")  # of colour now
    assert shape() == (1, 8, 8, 3)  # and not from the cache
