"""What --dry_run prints of a config is so."""

import re

from shrunk import shrunk

from gen_jax.cli.dry_run import describe


def _figures(text):
    found = re.search(r"one call: (\S+) floating-point operations, global batch; (\S+) an update", text)
    return [float(figure) for figure in found.groups()]


def test_operations_of_a_call_and_of_an_update(tmp_path):
    each = lambda calls: {"train__steps_per_call": calls, "train__log_every": calls}
    one, two = (describe(shrunk("vae_digits", tmp_path, **each(calls))) for calls in (1, 2))
    call, update = _figures(one)
    assert call == update
    assert _figures(two) == [float(f"{2 * update:.3g}"), update]
    # Dense layers from 16 x 16 pixels to 32 units to 4 + 4 latents, and from 4 to 32 to 256. One product forward,
    # two backward, but one at the images, which need no gradient.
    products = 3 * 2 * (256 * 32 + 32 * 8 + 4 * 32 + 32 * 256) - 2 * 256 * 32
    assert 64 * products < update < 1.3 * 64 * products
    for line in ("batch 64 over 1 device(s)", "compiled 1 update(s)", "working memory:", "state:", "encoder:"):
        assert line in one


def test_networks_beyond_memory_are_weighed_and_not_compiled(tmp_path):
    text = describe(shrunk("gan_digits", tmp_path, model__generator__width=10_000_000))
    (warning,) = (line for line in text.splitlines() if line.startswith("warning: "))
    assert re.match(r"warning: the state does not fit: [\d.,]+ PiB, and a device has [\d.,]+ [GT]iB$", warning)
    assert "compiled 1" not in text and "warning" not in describe(shrunk("vae_digits", tmp_path))
