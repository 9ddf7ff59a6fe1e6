"""A process that trains, with a fault inside.

    python experiments/harm/inject.py PLACE NTH WHAT -- train ...

is `gen-jax train ...` in which something happens at the nth call of PLACE (compile, update, fit, evaluation, grid,
save): "SIGNAL:SECONDS", a signal so much later; "nan", parameters that are no numbers; "clock:SECONDS", a clock that
jumps.
"""

import dataclasses
import functools
import os
import signal
import sys
import threading
import time


def inject(place: str, nth: int, what: str, words: list[str]) -> int:
    """Runs gen-jax with `what` at the nth call of `place`: "SIGNAL:SECONDS" (so much later), "nan", "clock:SECONDS"."""
    import gen_jax.observers as observers
    import gen_jax.train  # noqa: F401
    from gen_jax.cli.main import main
    from gen_jax.evaluation import scores
    from gen_jax.runtime import checkpoint

    train = sys.modules["gen_jax.train"]
    name, _, number = what.partition(":")

    def act():
        if name == "clock":
            real = time.time
            time.time = lambda: real() + float(number)
        elif name != "nan":
            timer = threading.Timer(float(number), os.kill, (os.getpid(), getattr(signal, name)))
            timer.daemon = True
            timer.start()

    def watched(function):
        calls = []

        @functools.wraps(function)
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == nth:
                act()
            result = function(*arguments, **options)
            return poisoned(result) if name == "nan" and len(calls) == nth else result

        return call

    def poisoned(result):
        import jax

        state, metrics = result
        params = jax.tree.map(lambda x: x * float("nan"), state.params)
        return dataclasses.replace(state, params=params), metrics

    def rebuilt(function):
        def build(*arguments):
            program = function(*arguments)
            return program._replace(**{field: watched(getattr(program, field))})

        return build

    field = {"compile": "update", "update": "update", "fit": "fit"}.get(place)
    if field:
        train.build = rebuilt(train.build)
    elif place == "evaluation":
        scores.generated = watched(scores.generated)
    elif place == "grid":
        observers.write_png = watched(observers.write_png)
    elif place == "save":
        checkpoint.Writer.save = watched(checkpoint.Writer.save)
    return main(words)


if __name__ == "__main__":
    at, count, what_happens, _, *command = sys.argv[1:]
    sys.exit(inject(at, int(count), what_happens, command))
