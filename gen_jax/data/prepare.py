"""Puts a TFDS data set on disk in the form that training reads: the one job that needs TensorFlow."""

import difflib
import importlib.util
from pathlib import Path

from gen_jax.data import tfds as reader
from gen_jax.errors import InputError


def prepare(name: str, data_dir: str | Path | None = None) -> Path:
    """Downloads a data set and writes it as ArrayRecord; does nothing where that is done already.

    Args:
      name: of a TFDS data set: NAME, NAME/CONFIG, either with :1.2.3.
      data_dir: where; default $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Returns:
      The folder that holds it.

    Raises:
      InputError: unknown name, TensorFlow not installed, or TFDS could not finish.
    """
    root = Path(data_dir).expanduser().absolute() if data_dir else reader.data_dir()
    if folder := reader.find(name, root):
        return folder
    import tensorflow_datasets as tfds  # here, since it takes a second

    known = tfds.list_builders(with_community_datasets=False)
    stem = name.partition("/")[0].partition(":")[0]
    if stem not in known:
        near = difflib.get_close_matches(stem, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see the catalogue of TensorFlow Datasets"
        raise InputError(f"data set {name} is unknown to TFDS; {hint}")
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError("preparing a data set needs TensorFlow; run: pip install 'gen_jax[prepare]'")
    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # no network, a disk that is full, files to fetch by hand: TFDS says which
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"data set {name} could not be prepared: {reason}") from error
    return Path(builder.data_path)
