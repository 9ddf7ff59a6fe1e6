"""What devices exchange in a compiled program, read from its text."""

import re
from collections import Counter

_OPERATION = re.compile(
    r" = (?P<shape>\(.*?\)|\S+) "
    r"(?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?P<half>-start|-done)?\("
)
_ARRAY = re.compile(r"(?P<type>[a-z]+)(?P<bits>\d*)\w*\[(?P<sizes>[\d,]*)\]")
_OF_PARTS = ("reduce-scatter", "all-to-all", "collective-permute")  # each device ends with a part of the whole


def exchanged(text: str, devices: int) -> dict[str, tuple[int, int]]:
    """Operation -> how many there are, and the bytes of the whole arrays that they gather, sum or move.

    What stands in a loop is counted once. On a ring a device sends (n - 1) / n of these bytes, of an all-reduce twice
    that.

    Args:
      text: of a program compiled for `devices` devices, `compiled.as_text()`.
    """
    times, total = Counter(), Counter()
    for found in _OPERATION.finditer(text):
        if found["half"] != "-start":  # that of an operation in two halves names its operands beside its result
            times[found["kind"]] += 1
            parts = devices if found["kind"] in _OF_PARTS else 1
            total[found["kind"]] += parts * sum(map(_bytes, _ARRAY.finditer(found["shape"])))
    return {kind: (times[kind], total[kind]) for kind in sorted(times)}


def _bytes(array: re.Match) -> int:
    size = max(1, int(array["bits"] or 8) // 8)  # pred has no bits in its name, and takes a byte
    for axis in filter(None, array["sizes"].split(",")):
        size *= int(axis)
    return size
