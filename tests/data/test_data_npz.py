import io
import zipfile

import numpy as np
import pytest

from gen_jax import data
from gen_jax.data.resize import resize
from gen_jax.errors import InputError


@pytest.fixture
def open_npz(tmp_path):
    def make(split="train", options=(), **arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        path = str(tmp_path / "set.npz")
        return data.make(name="npz", path=path, batch_size=4, split=split, **dict(options))

    return make


def pixels(count=20, shape=(6, 6), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_images_and_labels(open_npz):
    images, labels = pixels(), np.arange(20) % 3
    train = open_npz(images=images, labels=labels)
    held = np.arange(20) % 10 == 9
    assert train.spec == data.Spec((6, 6, 1), 18, {"label": data.Condition("label", (), 3, ("0", "1", "2"))})
    assert (train.resident["image"][..., 0] == images[~held]).all()
    assert (train.resident["condition"]["label"] == labels[~held]).all()
    test = open_npz("test", images=images, labels=labels)
    assert (test.resident["image"][..., 0] == images[held]).all()


def test_keras_names(open_npz):
    arrays = {
        "x_train": pixels(5, (6, 6, 3)),
        "y_train": np.arange(5)[:, None],
        "x_test": pixels(3, (6, 6, 3)),
    }
    arrays["y_test"] = np.uint8([[7], [0], [1]])
    train, test = open_npz(**arrays), open_npz("test", **arrays)
    assert train.spec == test.spec._replace(size=5) and train.spec.classes == 8
    assert (test.resident["image"] == arrays["x_test"]).all()
    assert test.resident["condition"]["label"].tolist() == [7, 0, 1]


def test_the_fingerprint_of_a_large_archive_read_as_needed_follows_its_pixels(open_npz):
    options = {"resident_megabytes": 0}
    arrays = [np.full((4100, 64, 64), value, np.uint8) for value in (0, 1, 0)]  # above 16 MiB
    zeros, ones, again = (open_npz(images=images, options=options).fingerprint() for images in arrays)
    assert zeros == again != ones


def test_conditions_are_images_of_any_size(open_npz):
    images, conditions = pixels(shape=(6, 6, 3)), pixels(shape=(3, 4), seed=1)
    held = np.arange(20) % 10 == 9
    train = open_npz(images=images, conditions=conditions)
    assert train.spec.conditions == {"image": data.Condition("image", (3, 4, 1))}
    assert (train.resident["condition"]["image"][..., 0] == conditions[~held]).all()
    test = open_npz("test", images=images, conditions=conditions)
    assert (test.resident["condition"]["image"][..., 0] == conditions[held]).all()
    resized = open_npz(images=images, conditions=conditions, options={"image_size": 6})
    expected = [resize(condition[..., None], image_size=6) for condition in conditions[~held]]
    assert (resized.resident["condition"]["image"] == expected).all()
    assert (resized.resident["image"] == images[~held]).all()


def test_conditions_by_keras_names(open_npz):
    arrays = {"x_train": pixels(5), "x_test": pixels(3), "y_train": np.arange(5), "y_test": np.arange(3)}
    arrays |= {"condition_train": pixels(5, seed=1), "condition_test": pixels(3, seed=2)}
    for split in ("train", "test"):
        found = open_npz(split, **arrays).resident["condition"]
        assert (found["image"][..., 0] == arrays[f"condition_{split}"]).all()
        assert (found["label"] == arrays[f"y_{split}"]).all()


def test_no_labels(open_npz):
    dataset = open_npz(images=pixels())
    assert dataset.spec.classes == 0 and "condition" not in dataset.resident


def test_resized(open_npz):
    dataset = open_npz(images=pixels(), options={"image_size": 12, "channels": 3})
    assert dataset.resident["image"].shape == (18, 12, 12, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": pixels() / 255.0}, "images is float64; store uint8"),
        ({"images": pixels().astype(np.int64)}, "images is int64; store uint8"),
        ({"images": pixels(shape=(6,))}, r"images has shape \(20, 6\)"),
        ({"images": pixels(shape=(6, 6, 2))}, r"images has shape \(20, 6, 6, 2\)"),
        ({"images": pixels(0)}, r"images has shape \(0, 6, 6, 1\)"),
        ({"pictures": pixels()}, "it lacks `images`"),
        ({"x_test": pixels()}, "it lacks `images`"),
        ({"images": pixels(), "labels": np.arange(19)}, r"labels has shape \(19,\) for 20 images"),
        ({"images": pixels(), "labels": np.ones(20)}, "labels must be integers"),
        ({"images": pixels(), "labels": np.arange(20) - 1}, "labels must be integers from 0"),
        ({"images": np.array([pixels(1), None], object)}, "an array of objects"),
        (
            {"x_train": pixels(), "y_train": np.arange(20), "x_test": pixels()},
            "only one of y_train and y_test",
        ),
        (
            {"x_train": pixels(), "condition_test": pixels(), "x_test": pixels()},
            "only one of condition_train and condition_test",
        ),
        ({"images": pixels(), "conditions": pixels(19)}, "conditions holds 19 images for 20; give one each"),
        ({"images": pixels(), "conditions": pixels() / 255.0}, "conditions is float64; store uint8"),
    ],
)
def test_refused(open_npz, arrays, message):
    with pytest.raises(InputError, match=message) as error:
        open_npz(**arrays)
    assert str(error.value).startswith("data.path=") and "\n" not in str(error.value)


def test_more_classes_than_anybody_means_are_refused_with_their_number(open_npz):
    labels = np.array([0] * 19 + [790_000_000])
    for kind in (np.int64, np.uint64):
        with pytest.raises(InputError, match="labels up to 790,000,000, for 790,000,001 classes; the most are 65,536"):
            open_npz(images=pixels(), labels=labels.astype(kind))
    assert open_npz(images=pixels(), labels=labels.clip(max=65_535)).spec.classes == 65_536


def member(shape, content=b""):
    """An .npy file whose header says `shape`, of bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("zip_lies", [False, True])
def test_arrays_that_lie_about_their_size_are_refused_before_they_get_memory(tmp_path, monkeypatch, deflated, zip_lies):
    path = tmp_path / "liar.npz"
    said = 2**31
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr("images.npy", member((said // 64, 8, 8), bytes(64)))
        if zip_lies:  # in its table of contents too
            archive.infolist()[0].file_size = said + len(member((said // 64, 8, 8)))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("memory is asked for"))
    with pytest.raises(InputError, match=r"images says it holds 2,147,483,648 bytes, of shape \(33554432, 8, 8\)"):
        data.make(name="npz", path=str(path), batch_size=4)


def test_splits_of_other_shapes_are_refused(open_npz):
    with pytest.raises(InputError, match="5x5x1 where others are 6x6x1"):
        open_npz("test", x_train=pixels(), x_test=pixels(shape=(5, 5)))


def test_files_that_are_no_archive(tmp_path):
    np.savez(tmp_path / "whole.npz", images=pixels())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "lone.npy", pixels())
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("cut.npz", "text.npz", "lone.npy", "empty.npz"):
        with pytest.raises(InputError, match="not a readable archive"):
            data.make(name="npz", path=str(tmp_path / name), batch_size=4)
    with pytest.raises(InputError, match="no such file"):
        data.make(name="npz", path=str(tmp_path / "absent.npz"), batch_size=4)
    with pytest.raises(InputError, match=r"data.path"):
        data.make(name="npz", batch_size=4)
