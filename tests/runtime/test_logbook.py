"""The run directory survives what happens to it."""

import json
import threading

from gen_jax.runtime import logbook


def test_two_starts_never_share_a_directory(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(logbook.create(tmp_path, "x"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16
    assert sorted(p.name for p in made) == [f"{i:04d}-x" for i in range(1, 17)]


def test_names_are_safe_for_a_file_system(tmp_path):
    made = logbook.create(tmp_path, "gan-lr{'kind': 1}/x")
    assert made.parent == tmp_path and "/" not in made.name and "'" not in made.name


def test_cut_removes_later_rows_and_a_torn_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = "".join(json.dumps({"step": i}) + "\n" for i in range(1, 6))
    path.write_text(rows + '{"step": 6, "lo')
    logbook.cut([path], 3)
    assert logbook.read_rows(path) == [{"step": 1}, {"step": 2}, {"step": 3}]
    path.write_text(rows + '{"step": 6, "lo')
    logbook.cut([path], 9)
    assert path.read_text() == rows


def test_a_row_of_metrics_can_be_read_while_the_run_goes_on(tmp_path):
    with logbook.opened(tmp_path, 0) as book:
        book.metrics({"step": 1, "loss": 0.5})
        assert logbook.read_rows(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 0.5}]


def test_environment_names_what_ran():
    found = logbook.environment()
    assert {"gen_jax", "packages", "devices", "git_commit", "git_diff", "command"} <= set(found)
    json.dumps(found)


def test_a_run_is_named_in_whole_words(tmp_path):
    long = "gan_digits-" + "-".join(f"learning_rate{i}" for i in range(9))
    assert logbook.create(tmp_path, long).name == "0001-gan_digits-" + "-".join(f"learning_rate{i}" for i in range(4))
    fits = "a" * 40 + "-" + "b" * 39
    assert logbook.create(tmp_path, fits).name == f"0002-{fits}"
    assert logbook.create(tmp_path, fits + "-c").name == f"0003-{fits}"
    assert logbook.create(tmp_path, "a" * 99).name == f"0004-{'a' * 80}"
