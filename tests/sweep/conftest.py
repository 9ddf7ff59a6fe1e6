import json

import pytest
from sweeps import FAKE


@pytest.fixture
def fake(monkeypatch):
    """Runs are trained by fake_train.py; the function says what happens to which."""
    monkeypatch.setattr("gen_jax.sweep.workers.PROGRAM", FAKE)
    monkeypatch.setattr("gen_jax.sweep.drive.POLL", 0.02)
    return lambda plan: monkeypatch.setenv("FAKE", json.dumps(plan))
