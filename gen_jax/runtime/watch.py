"""Several processes watch each other: of one that dies, is stopped or stays behind, the others tell, and end.

JAX alone ends them 100 s after a death, by an abort that names nobody, and waits for ever for a process that is alive
but elsewhere. Here a thread in every process sends a beat a second over a connection to process 0, and gets one back.

- A connection that closes without a goodbye: the process died. It is known at once.
- No beat for SILENT seconds: it is stopped, or its machine is gone.
- A beat says how many marks the process has passed: one a program that it started, and one before each wait for the
  others. All pass the same marks. Who stays where it was for BEHIND seconds while another is further is named in a
  line, and after STUCK seconds given up. After STILL seconds in which nobody passed a mark, all are.

Who is given up ends the run: each process prints one line that names it, and leaves with the exit status LOST. What is
on disk stays as it is, and the same command goes on from it, with as many processes or fewer.
"""

import json
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import wait

LOST = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong with the run, the same command goes on
JOIN = 290  # seconds for all to be there; JAX aborts after 300
# In beats, a second each. A process counts those that it made itself: where all of them slept, nobody is silent.
SILENT, BEHIND, STUCK, STILL, GRACE = 20, 20, 900, 3600, 5


class _Self:
    """What this process says of itself."""

    marks, at = 0, "starting"
    ended: str | None = None  # how, once it has: "together" with the others, or "alone"
    links: "_Links | None" = None  # None: it is the only one


def at(place: str) -> None:
    """Passes a mark: `place` says what comes next, which may be a wait for the others."""
    _Self.marks, _Self.at = _Self.marks + 1, place


def joining(address: str) -> threading.Event:
    """Says that the others are not there yet, and gives them up in the end; set what it returns once they are."""
    there = threading.Event()

    def patience():
        if not there.wait(BEHIND):
            _say(f"waiting for the other processes to join at {address}; ends after {JOIN} s")
            if not there.wait(JOIN - BEHIND):
                _end(f"not all processes joined at {address} within {JOIN} s")

    threading.Thread(target=patience, daemon=True).start()
    return there


def begin(process: int, processes: int, store, host: str) -> None:
    """Starts to watch, and to be watched.

    Args:
      store: JAX's key-value store, by which process 0 tells where it listens.
      host: the address of process 0.
    """
    if process == 0:
        server = socket.create_server(("", 0))
        token = secrets.token_hex(16)
        store.key_value_set("gen_jax/watch", f"{server.getsockname()[1]} {token}")
        links = _Links(process, token, [str(i) for i in range(1, processes)], server)
    else:
        port, token = store.blocking_key_value_get("gen_jax/watch", SILENT * 1000).split()
        links = _Links(process, token, ["0"])
        links.open["0"] = socket.create_connection((host, int(port)), timeout=SILENT)
    _Self.links = links
    threading.Thread(target=links.watch, daemon=True).start()


def settle() -> None:
    """Called where something failed: if that is because a process is gone, the line that says so comes first."""
    if _Self.links:
        time.sleep(GRACE)


def agreed() -> None:
    """Says that this process ends as all of them do."""
    _Self.ended = "together"
    if _Self.links:
        _Self.links.beat()


def leave(status: int) -> int:
    """The exit status. One of several processes that ends alone leaves here: JAX would wait for the others in vain."""
    if _Self.links and _Self.ended is None:
        _Self.ended = "alone"
        _Self.links.beat()
        _exit(status)
    return status


class _Peer:
    """What is known of a process."""

    def __init__(self, process):
        self.name, self.marks, self.at, self.ended = f"process {process}", 0, "starting", None
        self.silent = self.still = self.late = self.over = 0  # beats: unheard, without a mark, behind, after its end

    def hear(self, told):
        self.silent = 0
        if told["marks"] != self.marks:
            self.still = self.late = 0
        self.name, self.marks, self.at, self.ended = (told[key] for key in ("name", "marks", "at", "ended"))


class _Links:
    """The connections of one process: of process 0 to all others, of another to process 0."""

    def __init__(self, process, token, others, server=None):
        self.process, self.token, self.server = process, token, server
        self.peers = {other: _Peer(other) for other in others}
        self.open: dict[str, socket.socket] = {}
        self.new: list[socket.socket] = []  # connected, and not known yet
        self.unread: dict[socket.socket, bytes] = {}
        self.me = _Peer(process)
        self.lock = threading.Lock()
        self.nobody = 0  # beats in which nobody passed a mark

    def watch(self):
        while True:
            self.beat()
            until = time.monotonic() + 1
            while (left := until - time.monotonic()) > 0:
                self.listen(left)
            if lost := self.judge():
                self.beat(lost)
                _end(lost)

    def beat(self, lost=None):
        name = f"process {self.process} ({socket.gethostname()}, pid {os.getpid()})"
        told = {"process": str(self.process), "token": self.token, "name": name, "marks": _Self.marks}
        told |= {"at": _Self.at, "ended": _Self.ended, "lost": lost}
        self.me.hear(told)
        with self.lock:
            for connection in list(self.open.values()):
                with suppress(OSError):  # closed there: what it said last is read first
                    connection.sendall(json.dumps(told).encode() + b"\n")

    def listen(self, seconds):
        sockets = [*self.open.values(), *self.new, *([self.server] if self.server else [])]
        for ready in wait(sockets, seconds):
            if ready is self.server:
                connection = ready.accept()[0]
                connection.settimeout(SILENT)
                self.new.append(connection)
            else:
                self.read(ready)

    def read(self, connection):
        try:
            data = connection.recv(2**16)
        except OSError:
            data = b""
        *lines, self.unread[connection] = (self.unread.get(connection, b"") + data).split(b"\n")
        for line in lines:
            try:
                told = json.loads(line)
                if told["token"] != self.token:
                    raise ValueError
                peer = self.peers[told["process"]]
            except (ValueError, KeyError, TypeError):  # a stranger
                data = b""
                break
            if connection in self.new:
                self.new.remove(connection)
                self.open[told["process"]] = connection
            if told["lost"]:
                _end(told["lost"])
            peer.hear(told)
        if not data:
            self.close(connection)

    def close(self, connection):
        connection.close()
        self.unread.pop(connection, None)
        if connection in self.new:
            self.new.remove(connection)
        for process in [process for process, opened in self.open.items() if opened is connection]:
            del self.open[process]
            if self.peers[process].ended is None:
                lost = f"{self.peers[process].name} died"
                self.beat(lost)
                _end(lost)

    def judge(self):
        """Who is to be given up and why, in words; "" where nobody is."""
        for peer in self.peers.values():
            peer.silent += peer.ended is None
            peer.over += peer.ended == "alone"
            if peer.silent > SILENT:
                return f"{peer.name} has not answered for {SILENT} s: it is stopped, or its machine is gone"
            if peer.over > GRACE:  # who was refused as it was is quicker than this
                return f"{peer.name} ended by itself; what it printed says why"
        if self.process:
            return ""
        everybody = [peer for peer in (self.me, *self.peers.values()) if peer.ended is None]
        first = max(everybody, key=lambda peer: peer.marks, default=self.me)
        for peer in everybody:
            peer.still += 1
            peer.late += peer.marks < first.marks
            behind = f"{peer.name} is behind: at {peer.at} for {peer.still} s, while {first.name} is at {first.at}"
            if peer.late == BEHIND:
                _say(f"{behind}; ends after {STUCK} s")
            if peer.late > STUCK:
                return behind
        if everybody and min(peer.still for peer in everybody) > STILL:
            return f"no process has gone on for {STILL} s, at {first.at}"
        return ""


def _say(line):
    print(line, file=sys.stderr, flush=True)


def _end(lost):
    _say(f"error: {lost}; start all again by the same command, or fewer: it goes on from the last checkpoint")
    _exit(LOST)


def _exit(status):
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
