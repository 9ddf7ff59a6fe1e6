"""Several processes watch each other: who is named, and when. Here they are two ends in one process."""

import socket

import pytest

from gen_jax.runtime import watch


class Ended(Exception):
    pass


@pytest.fixture
def links(monkeypatch):
    """Of process 0 and process 1, connected; what would end a process raises Ended."""

    def end(lost):
        raise Ended(lost)

    monkeypatch.setattr(watch, "_end", end)
    monkeypatch.setattr(watch, "_Self", type("_Self", (), {"marks": 0, "at": "starting", "ended": None, "links": None}))
    server = socket.create_server(("127.0.0.1", 0))
    ends = watch._Links(0, "token", ["1"], server), watch._Links(1, "token", ["0"])
    ends[1].open["0"] = socket.create_connection(server.getsockname())
    yield ends
    for connection in (server, *ends[0].new, *ends[0].open.values(), *ends[1].open.values()):
        connection.close()


def heard(links, listener):
    """Listens until the other has been heard."""
    (peer,) = links[listener].peers.values()
    peer.silent = 1
    while peer.silent:
        links[listener].listen(1)


def exchange(links):
    for listener in (0, 1):
        links[1 - listener].beat()
        heard(links, listener)


def test_who_answers_is_not_given_up(links, capsys):
    for _ in range(3 * watch.SILENT):
        watch.at("a step")
        exchange(links)
        assert not links[0].judge() and not links[1].judge()
    assert "process 1" in links[0].peers["1"].name and links[1].peers["0"].at == "a step"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("judge", [0, 1])
def test_who_is_silent_is_given_up_after_so_many_beats_of_ones_own(links, judge):
    exchange(links)
    said = [links[judge].judge() for _ in range(watch.SILENT + 1)]
    assert not any(said[:-1]) and f"process {1 - judge}" in said[-1] and "has not answered for 20 s" in said[-1]


@pytest.mark.parametrize("judge", [0, 1])
def test_who_dies_is_named_at_once(links, judge):
    exchange(links)
    (connection,) = links[1 - judge].open.values()
    connection.close()
    with pytest.raises(Ended, match=rf"process {1 - judge} \(.+\) died"):
        links[judge].listen(1)


def test_who_ends_with_the_others_is_not_missed_and_who_ends_alone_is(links):
    exchange(links)
    for ended in ("together", "alone"):
        watch._Self.ended = ended
        links[1].beat()
        heard(links, 0)
        said = [links[0].judge() for _ in range(2 * watch.SILENT)]
        assert any(said) == (ended == "alone")
    assert "ended by itself" in said[watch.GRACE]


def test_who_is_alive_and_behind_is_told_and_in_the_end_given_up(links, capsys):
    watch.at("step 7")
    exchange(links)
    watch.at("step 8")  # of process 0; process 1 is heard, and stays where it is
    for beats in range(1, watch.STUCK + 2):
        links[0].me.hear({"name": "process 0", "marks": 2, "at": "step 8", "ended": None})
        links[0].peers["1"].silent = 0
        said = links[0].judge()
        assert bool(said) == (beats > watch.STUCK)
        (line, *more) = capsys.readouterr().err.splitlines() or [""]
        assert not more and bool(line) == (beats == watch.BEHIND)
        if line:
            assert "process 1" in line and "is behind: at step 7 for 20 s, while process 0 is at step 8" in line
    assert "is behind" in said


def test_nobody_who_goes_on_for_an_hour_ends(links):
    exchange(links)
    for _ in range(watch.STILL + 1):
        links[0].peers["1"].silent = 0
        said = links[0].judge()
    assert said == "no process has gone on for 3600 s, at starting"


def test_what_one_gives_up_the_others_say_too(links):
    exchange(links)
    links[0].beat("process 2 died")
    with pytest.raises(Ended, match="^process 2 died$"):
        links[1].listen(1)


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\n", b'{"token": "x", "process": "1"}\n', b"[]\n", b"\xff\n"])
def test_a_stranger_is_turned_away(links, words):
    exchange(links)
    with socket.create_connection(links[0].server.getsockname()) as stranger:
        stranger.sendall(words)
        for _ in range(2):
            links[0].listen(1)
        stranger.settimeout(1)
        assert stranger.recv(1) == b"" and not links[0].new and len(links[0].open) == 1
