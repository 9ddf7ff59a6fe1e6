"""Eight simulated devices for every test: the sharding tests need them, the others use one of them."""

import os

# A test runs most programs once or twice, so that compiling them is what takes the time: without optimisation it takes
# half of it. What XLA_FLAGS said before comes last and wins: `.ci/run` runs the slow tests optimised, as users train.
FLAGS = "--xla_force_host_platform_device_count=8"
FLAGS += " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TQDM_DISABLE", "1")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all worker processes of this session share."""
    mine = tmp_path_factory.getbasetemp()
    return mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(shared):
    """One cache for all workers, so that a program compiled by one test is loaded by the next."""
    os.environ["GEN_JAX_CACHE"] = str(shared / "cache")
    from gen_jax.runtime.compilation import enable_cache

    enable_cache()


@pytest.fixture(autouse=True)
def started_as_gen_jax(monkeypatch):
    """Commands in messages begin with gen-jax, however the tests were started."""
    monkeypatch.setattr("gen_jax.command._start", lambda: "gen-jax")


@pytest.fixture
def tfds_data():
    """The folder of prepared TFDS sets; skips where there is none."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not os.path.isdir(folder):
        pytest.skip("TFDS_DATA_DIR names no folder of prepared data sets")
    return folder
