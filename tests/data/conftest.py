"""What the data tests share: a cache of their own, and images written to disk."""

import io
import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_directory(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GEN_JAX_CACHE", str(directory))
    return directory / "data"


@pytest.fixture
def picture():
    """(number, height, width, channels) -> uint8 pixels, different for every number."""

    def make(number=0, height=8, width=8, channels=3):
        return np.random.default_rng(number).integers(0, 256, (height, width, channels), dtype=np.uint8)

    return make


@pytest.fixture
def write(picture):
    """(path, number) -> the pixels that now stand at path, as PNG."""

    def make(path, number=0, **shape):
        pixels = picture(number, **shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(path)
        return pixels

    return make


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """(name, features, examples by split) -> a TFDS set of that name, prepared in a directory of its own.

    An example holds pixels, text, whole numbers or samples, by the name of its feature.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))

    def stored(value):
        if isinstance(value, np.ndarray) and value.ndim == 3:
            buffer = io.BytesIO()
            Image.fromarray(value.squeeze()).save(buffer, "PNG")
            value = buffer.getvalue()
        if isinstance(value, str | bytes):
            value = value.encode() if isinstance(value, str) else value
            return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[value]))
        return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=np.ravel(value).tolist()))

    def make(name, features, examples):
        folder = tmp_path / "tfds" / name / "1.0.0"
        folder.mkdir(parents=True)
        tfds.features.FeaturesDict(features).save_config(str(folder))
        splits = []
        for split, rows in examples.items():
            writer = ArrayRecordWriter(str(folder / f"{name}-{split}.array_record-00000-of-00001"), "group_size:1")
            for row in rows:
                values = tf_feature_pb2.Features(feature={key: stored(value) for key, value in row.items()})
                writer.write(tf_example_pb2.Example(features=values).SerializeToString())
            writer.close()
            template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
            about = {"name": split, "numBytes": "1", "shardLengths": [str(len(rows))], "filepathTemplate": template}
            splits.append(about)
        about = {"name": name, "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
        (folder / "dataset_info.json").write_text(json.dumps(about))

    return make
