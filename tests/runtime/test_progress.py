"""What long work says of itself in a pipe."""

from gen_jax.runtime import progress


def test_stages_tell_what_is_left_at_most_every_ten_seconds(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Stages() as tell:
        for second in range(0, 31):
            now[0] = 100.0 + second
            tell("first", second, 60)
        tell("second", 4, 8)  # begun in the middle, as a training that goes on
        now[0] += 10.0
        tell("second", 6, 8)
    assert capsys.readouterr().err.splitlines() == [
        "first 10/60  16% | eta 0:00:50",
        "first 20/60  33% | eta 0:00:40",
        "first 30/60  50% | eta 0:00:30",
        "second 6/8  75% | eta 0:00:10",
    ]
