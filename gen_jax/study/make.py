"""Writes a study: one self-contained page for raters, and the key that says which image is whose.

The page is blind. It holds pixels under random ids, sorted by id, and neither the names of the sources nor the
seed. The ids are drawn from the seed and a hash of all images, so that the code and a guessed seed do not
give them away. Every rater judges the same trials; the page shuffles them anew for each.
"""

import base64
import hashlib
import html
import io
import json
import re
from importlib import resources
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from gen_jax.errors import InputError
from gen_jax.runtime.files import reason, write_whole
from gen_jax.version import __version__

# Goes up whenever the page changes in what it shows or records.
PAGE = 1
# The two answers of each kind of trial, in the order of the keys 1 and 2.
ANSWERS = {"preference": ("left", "right"), "real_or_fake": ("real", "fake")}
TITLES = {"preference": "Which image looks better?", "real_or_fake": "Real or generated?"}
MAX_BYTES = 5_000_000


def make(
    sources: list[tuple[str, np.ndarray]],
    out: Path,
    *,
    kind: str,
    trials: int = 60,
    attention: int = 5,
    seed: int = 0,
    title: str | None = None,
) -> Path:
    """Writes the page `out` (.html) and beside it `<stem>.key.json`, which raters must not see.

    Args:
      sources: (name, images uint8 [N, H, W, C]), C 1 or 3, of one shape. "real" names the real images.
      kind: "preference", two images of different sources side by side, every pair of sources equally often and
        each source as often left as right; or "real_or_fake", one image at a time without a time limit, half
        of them real (HYPE-infinity, Zhou et al. 2019).
      trials: how many are scored. No image is shown in two of them.
      attention: how many trials more have an obvious answer: an instruction, or an image against pixel noise
        (noise alone in "real_or_fake"). A rater who fails one is not scored. They show images of the
        scored trials again; a model that draws pixel noise needs attention=0.
      title: the heading that raters see.

    Returns:
      The path of the page. The same arguments write the same bytes.

    Raises:
      InputError: unusable sources or numbers, too few images, the same picture from two sources, a title or file name
        that tells a source, a page of 5 MB or more, or a study already there.
    """
    out = Path(out)
    title = TITLES.get(kind, "") if title is None else title
    names = [name for name, _ in sources]
    needed = images_needed(kind, names, trials)
    _check(sources, needed, attention, seed)
    _check_blind(names, out, title)

    digests = [hashlib.sha256(np.ascontiguousarray(images)).digest() for _, images in sources]
    rng = np.random.default_rng([seed, *np.frombuffer(b"".join(digests), np.uint32).tolist()])
    images = dict(sources)
    chosen = {name: rng.permutation(len(images[name]))[: needed[name]].tolist() for name in names}
    _check_distinct(images, chosen)
    shown = [(name, index) for name in names for index in chosen[name]]

    # What each trial shows, as (source, index) or None for noise; and its answer, where that is known beforehand.
    scored = _pairs(names, chosen) if kind == "preference" else [[one] for one in shown]
    checks = _checks(kind, attention, shown, rng)

    ids = (f"{n:08x}" for n in rng.choice(2**32, size=len(shown) + 2 * attention + len(scored), replace=False))
    known, pictures, key_pictures, page_trials, key_trials, key_checks = {}, {}, {}, [], {}, {}
    shape = sources[0][1].shape[1:]

    def picture(which) -> str:
        """The id of a picture; noise is new each time."""
        if which in known:
            return known[which]
        name = next(ids)
        if which is None:
            pixels = rng.integers(0, 256, shape, np.uint8)
        else:
            known[which], pixels = name, images[which[0]][which[1]]
        pictures[name] = "data:image/png;base64," + base64.b64encode(_png(pixels)).decode()
        key_pictures[name] = {"source": which[0] if which else None, "index": which[1] if which else None}
        return name

    for check, answer, content in [(None, None, content) for content in scored] + checks:
        trial, parts = next(ids), [picture(which) for which in content]
        page_trials.append({"id": trial, "pictures": parts, "instruction": answer if check == "instruction" else None})
        if check is None:
            key_trials[trial] = {"pictures": parts}
        else:
            key_checks[trial] = {"check": check, "answer": answer, "pictures": parts}

    content = {
        "page": PAGE,
        "kind": kind,
        "title": title,
        "width": shape[1],
        "height": shape[0],
        "pictures": dict(sorted(pictures.items())),
        "trials": sorted(page_trials, key=lambda trial: trial["id"]),
    }
    study = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    key = {
        "study": study,
        "page": PAGE,
        "kind": kind,
        "title": title,
        "seed": seed,
        "code": f"gen_jax {__version__}",
        "sources": [
            {"name": name, "images": len(images[name]), "sha256": digest.hex()}
            for name, digest in zip(names, digests, strict=True)
        ],
        "pictures": dict(sorted(key_pictures.items())),
        "trials": dict(sorted(key_trials.items())),
        "attention": dict(sorted(key_checks.items())),
    }
    page = _page(title, {"study": study, **content})
    if len(page) >= MAX_BYTES:
        raise InputError(f"the page would have {len(page) / 1e6:.1f} MB, 5 is the limit; use fewer trials")
    # The key first: a page without its key is worth nothing.
    _write(out.with_name(f"{out.stem}.key.json"), (json.dumps(key, indent=1) + "\n").encode())
    _write(out, page)
    return out


def images_needed(kind: str, names: list[str], trials: int) -> dict[str, int]:
    """How many images of each source a study shows.

    Raises:
      InputError: an unknown kind, too few sources or two of one name, or trials that cannot be shared out equally.
    """
    if kind not in ANSWERS:
        raise InputError(f"kind {kind!r} is not known; use {' or '.join(ANSWERS)}")
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"the sources are named {', '.join(map(repr, names))}; give each a name of its own")
    if len(names) < 2:
        raise InputError(f"a study compares two sources or more, got {len(names)}; add a run or the real images")
    if kind == "real_or_fake" and "real" not in names:
        raise InputError("real_or_fake needs a source named 'real'; add the real images, or use preference")
    unit = _unit(kind, names)
    if trials < unit or trials % unit:
        nearest = max(1, round(trials / unit)) * unit
        raise InputError(f"{trials} trials cannot be balanced over {len(names)} sources; use {nearest}")
    if kind == "preference":
        return {name: 2 * trials // len(names) for name in names}
    return {name: trials // 2 if name == "real" else trials // unit for name in names}


def most_trials(kind: str, names: list[str], available: int) -> int:
    """The most trials that can be shared out equally where there are so many images of "real"; 0 where none can."""
    unit = _unit(kind, names)
    return available // images_needed(kind, names, unit)["real"] * unit


def _unit(kind, names) -> int:
    """Trials in which all is balanced: each pair both ways round; or a fake of each generator, as many reals."""
    return len(names) * (len(names) - 1) if kind == "preference" else 2 * (len(names) - 1)


def _check(sources, needed, attention, seed) -> None:
    if attention < 0 or seed < 0:
        raise InputError(f"attention={attention}, seed={seed}: neither may be negative")
    for name, images in sources:
        if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise InputError(f"{name}: images must be uint8 [N, H, W, C] with C 1 or 3; convert them first")
        if images.shape[1:] != sources[0][1].shape[1:]:
            raise InputError(
                f"{name} has images of {images.shape[1:]}, {sources[0][0]} of {sources[0][1].shape[1:]}: raters "
                "would know them by that; bring them to one size and colour"
            )
        if len(images) < needed[name]:
            raise InputError(f"{name} has {len(images)} images, the study shows {needed[name]}; draw more")


def _check_blind(names, out, title) -> None:
    if not title.strip():
        raise InputError("the title is empty; leave it out for the usual one")
    if out.suffix != ".html":
        raise InputError(f"{out}: a study is written as .html; change the name")
    for path in (out, out.with_name(f"{out.stem}.key.json")):
        if path.exists():
            raise InputError(f"{path} is there already, and answers may need its key; choose another name")
    for name in names:
        word = rf"(?<![a-z0-9]){re.escape(name.casefold())}(?![a-z0-9])"
        for what, text in (("title", title), ("file name", out.stem)):
            # "real" is no secret: raters are asked about it.
            if name != "real" and re.search(word, text.casefold()):
                raise InputError(f"the {what} {text!r} tells raters of the source {name!r}; choose another")


def _check_distinct(images, chosen) -> None:
    """No picture of one source may be shown as another's too: no answer would be right or wrong."""
    owner = {}
    for name, indices in chosen.items():
        for index in indices:
            other = owner.setdefault(images[name][index].tobytes(), name)
            if other != name:
                raise InputError(f"{other} and {name} hold the same picture; nobody can tell them apart, draw others")


def _pairs(names, chosen) -> list[list[tuple[str, int]]]:
    """Trials [left, right] of (source, index): every pair equally often, half of them each way round."""
    pairs = list(combinations(names, 2))
    rest = {name: iter(indices) for name, indices in chosen.items()}
    each = sum(map(len, chosen.values())) // 2 // len(pairs)
    turned = [pair if i % 2 else pair[::-1] for pair in pairs for i in range(each)]
    return [[(left, next(rest[left])), (right, next(rest[right]))] for left, right in turned]


def _checks(kind, attention, shown, rng) -> list[tuple[str, str, list]]:
    """Attention checks (check, answer, content), such that no one answer passes two of them running."""
    checks = []
    for i in range(attention):
        check = ("instruction", "noise")[i % 2]
        one, two = (shown[j] for j in rng.choice(len(shown), 2, replace=False))
        if kind == "real_or_fake":
            checks.append((check, "real", [one]) if check == "instruction" else (check, "fake", [None]))
            continue
        # left, right, right, left, left, ...: both kinds of check ask for both sides.
        answer = ANSWERS[kind][(i + 1) // 2 % 2]
        other = None if check == "noise" else two
        # In an instruction the two images have no say.
        checks.append((check, answer, [one, other] if answer == "left" else [other, one]))
    return checks


def _png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 [H, W, C], and nothing in it but the pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", optimize=True)
    png = file.getvalue()
    if extra := set(chunks(png)) - {"IHDR", "IDAT", "IEND"}:
        raise RuntimeError(f"PNG with chunks {sorted(extra)}: a study would not be blind")
    return png


def chunks(png: bytes) -> list[str]:
    """The chunk names of a PNG in their order (PNG specification, section 5)."""
    names, at = [], 8
    while at < len(png):
        names.append(png[at + 4 : at + 8].decode("latin-1"))
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return names


def _page(title: str, study: dict) -> bytes:
    template = resources.files("gen_jax.study").joinpath("page.html").read_text("utf-8")
    # "<" would let a title end the script element.
    values = {"TITLE": html.escape(title), "STUDY": json.dumps(study).replace("<", "\\u003c")}
    return re.sub("__(TITLE|STUDY)__", lambda found: values[found[1]], template).encode()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise InputError(f"cannot write {path} ({reason(error)}); choose another place") from error
