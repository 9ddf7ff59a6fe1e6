"""Every claim of docs/metrics.md: what a metric sees and what leaves it still, on corrupted digits."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
spec = importlib.util.spec_from_file_location("metrics_table", ROOT / "experiments" / "metrics_table.py")
metrics_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics_table)


@pytest.fixture(scope="module")
def measured():
    return metrics_table.table()


@pytest.mark.slow
@pytest.mark.parametrize("name", metrics_table.CLAIMS)
def test_sees_what_it_claims_to_see_and_nothing_else_it_names(name, measured):
    clean, results = measured
    for kind, claim in metrics_table.CLAIMS[name].items():
        values = results[name][kind]
        assert metrics_table.holds(claim, values, clean.get(name)), (kind, claim, clean.get(name), values)


def test_the_page_has_a_row_for_every_metric():
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert all(f"| `{name}` |" in page for name in metrics_table.CLAIMS)
