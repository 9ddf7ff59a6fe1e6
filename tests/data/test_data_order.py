import numpy as np
import pytest

from gen_jax.data import order


@pytest.mark.parametrize(("size", "batch_size"), [(12, 4), (10, 4), (7, 7), (3, 8), (1, 5)])
def test_every_epoch_holds_every_image_once(size, batch_size):
    indices = order.make(seed=3, size=size, batch_size=batch_size)
    rows = np.arange(batch_size)
    stream = np.concatenate([indices(position, rows) for position in range(4 * size)])
    epochs = stream[: len(stream) // size * size].reshape(-1, size)
    assert len(epochs) >= 4
    assert (np.sort(epochs, axis=1) == np.arange(size)).all()


def test_epochs_and_seeds_are_shuffled_differently():
    orders = [order.permutation(seed, epoch, 100).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(one) for one in orders}) == 9
    assert list(range(100)) not in orders


def test_a_permutation_is_uniform():
    # Each image stands at place 0 in 1/5 of the epochs: 5 sigma of a binomial count.
    first = np.array([order.permutation(0, epoch, 5)[0] for epoch in range(5000)])
    counts = np.bincount(first, minlength=5)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(5000 * 0.2 * 0.8)


def test_rows_may_be_read_by_any_number_of_processes():
    whole = order.make(seed=1, size=37, batch_size=16)
    for position in (0, 5, 1000):
        expected = whole(position, np.arange(16))
        for processes in (2, 4, 16):
            fresh = order.make(seed=1, size=37, batch_size=16)
            parts = [fresh(position, rows) for rows in np.arange(16).reshape(processes, -1)]
            assert (np.concatenate(parts) == expected).all()
        assert (whole(position, np.arange(16)[::-1]) == expected[::-1]).all()


def test_a_position_needs_no_history():
    stream = order.make(seed=9, size=11, batch_size=4)
    for position in range(50):
        stream(position, np.arange(4))
    fresh = order.make(seed=9, size=11, batch_size=4)
    assert (fresh(49, np.arange(4)) == stream(49, np.arange(4))).all()
    assert fresh(10**9, np.arange(4)).dtype == np.int32
