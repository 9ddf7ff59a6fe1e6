"""What `gen-jax list` offers under each title is of that kind."""

from gen_jax import metrics
from gen_jax.cli.main import main


def test_metrics_are_metrics_only(capsys):
    assert main(["list"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("metrics ")]
    shown = {name.strip(",") for name in line.split()[1:]}
    assert {"frechet_distance", "vendi_score", "ssim"} <= shown == set(metrics.METRICS) <= set(metrics.__all__)
    assert not shown & {"METRICS", "Moments", "Neighbours", "check_enough", "moments", "update_moments", "nearest"}
