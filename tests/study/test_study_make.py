"""A study is balanced, blind, the same for the same arguments, and refused where it could not be fair."""

import base64
import collections
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from shrunk import run_of

from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.study import images_needed, make, most_trials
from gen_jax.study.make import chunks

RNG = np.random.default_rng(0)


def pictures(count=80, channels=1):
    return RNG.integers(0, 256, (count, 6, 5, channels), np.uint8)


THREE = [("0001-gan", pictures()), ("0002-vae", pictures()), ("real", pictures())]
TWO = THREE[1:]


def made(sources, path, **options):
    """The content of the page, and the key."""
    page = make(sources, path / "study.html", **options)
    content = re.search(r'<script id="study" type="application/json">(.*?)</script>', page.read_text(), re.S)[1]
    return json.loads(content), json.loads((path / "study.key.json").read_text())


def decoded(uri):
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
    return pixels.reshape(6, 5, -1)


def test_preference_is_balanced_over_pairs_and_sides(tmp_path):
    _, key = made(THREE, tmp_path, kind="preference", trials=18)
    shown = [tuple(key["pictures"][p]["source"] for p in t["pictures"]) for t in key["trials"].values()]
    assert set(collections.Counter(shown).values()) == {3} and len(set(shown)) == 6
    assert all(left != right for left, right in shown)
    used = [p for t in key["trials"].values() for p in t["pictures"]]
    assert len(set(used)) == len(used) == 36
    assert collections.Counter(key["pictures"][p]["source"] for p in used) == images_needed(
        "preference", [name for name, _ in THREE], 18
    )


def test_half_of_real_or_fake_is_real_and_the_fakes_are_shared(tmp_path):
    _, key = made(THREE, tmp_path, kind="real_or_fake", trials=24)
    shown = collections.Counter(key["pictures"][t["pictures"][0]]["source"] for t in key["trials"].values())
    assert shown == {"real": 12, "0001-gan": 6, "0002-vae": 6}
    assert shown == images_needed("real_or_fake", [name for name, _ in THREE], 24)


@pytest.mark.parametrize("kind", ["preference", "real_or_fake"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_page_shows_the_pixels_that_the_key_names(tmp_path, kind, channels):
    sources = [(name, pictures(channels=channels)) for name in ("one", "real")]
    study, key = made(sources, tmp_path, kind=kind, trials=8)
    assert study["pictures"].keys() == key["pictures"].keys()
    for name, which in key["pictures"].items():
        if which["source"]:
            np.testing.assert_array_equal(
                decoded(study["pictures"][name]), dict(sources)[which["source"]][which["index"]]
            )
    expected = {**key["trials"], **key["attention"]}
    assert {trial["id"]: trial["pictures"] for trial in study["trials"]} == {
        name: trial["pictures"] for name, trial in expected.items()
    }
    assert study["study"] == key["study"] and study["page"] == key["page"]


def test_the_page_tells_nothing_of_the_sources(tmp_path):
    study, key = made(TWO, tmp_path, kind="preference", trials=40, seed=7)
    text = (tmp_path / "study.html").read_text()
    assert "0002-vae" not in text and key["sources"][0]["sha256"] not in text and '"seed"' not in text
    assert set(study["trials"][0]) == {"id", "pictures", "instruction"}
    pngs = [base64.b64decode(uri.split(",")[1]) for uri in study["pictures"].values()]
    assert all(set(chunks(png)) == {"IHDR", "IDAT", "IEND"} for png in pngs)
    assert len({Image.open(io.BytesIO(png)).size + (Image.open(io.BytesIO(png)).mode,) for png in pngs}) == 1
    # The order is that of random ids: it does not follow the sources, in pictures or in trials.
    names = list(study["pictures"])
    assert names == sorted(names) and all(re.fullmatch("[0-9a-f]{8}", name) for name in names)
    owners = [key["pictures"][name]["source"] for name in names if key["pictures"][name]["source"]]
    assert 20 < sum(a != b for a, b in zip(owners, owners[1:], strict=False)) < 60
    trials = [trial["id"] for trial in study["trials"]]
    assert trials == sorted(trials)


def test_ids_cannot_be_guessed_from_the_seed(tmp_path):
    # The same design on other images has other ids.
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, _ = made(TWO, tmp_path / "a", kind="preference", trials=4)
    second, _ = made([("0002-vae", pictures()), TWO[1]], tmp_path / "b", kind="preference", trials=4)
    assert not first["pictures"].keys() & second["pictures"].keys()


@pytest.mark.parametrize("kind", ["preference", "real_or_fake"])
def test_attention_checks_have_an_answer_that_one_key_cannot_give(tmp_path, kind):
    study, key = made(TWO, tmp_path, kind=kind, trials=8, attention=4)
    by_id = {trial["id"]: trial for trial in study["trials"]}
    assert collections.Counter(c["check"] for c in key["attention"].values()) == {"instruction": 2, "noise": 2}
    assert set(collections.Counter(c["answer"] for c in key["attention"].values()).values()) == {2}
    for name, check in key["attention"].items():
        owners = [key["pictures"][p]["source"] for p in check["pictures"]]
        if check["check"] == "instruction":
            assert by_id[name]["instruction"] == check["answer"] and None not in owners
        else:
            assert by_id[name]["instruction"] is None
            # The answer is the side that is not noise, or that noise is not real.
            assert owners.index(None) == (1 if check["answer"] == "left" else 0)
    assert all(by_id[name]["instruction"] is None for name in key["trials"])


def test_same_arguments_same_bytes_another_seed_another_study(tmp_path):
    pages = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        made(TWO, tmp_path / folder, kind="preference", trials=8, seed=seed)
        pages.append([(tmp_path / folder / name).read_bytes() for name in ("study.html", "study.key.json")])
    assert pages[0] == pages[1]
    assert json.loads(pages[0][1])["study"] != json.loads(pages[2][1])["study"]


def test_a_title_cannot_leave_its_place(tmp_path):
    title = "</script><b>__STUDY__ & __TITLE__"
    study, _ = made(TWO, tmp_path, kind="preference", trials=8, title=title)
    assert study["title"] == title
    text = (tmp_path / "study.html").read_text()
    assert text.count("</script>") == 2 and "<title>&lt;/script&gt;&lt;b&gt;__STUDY__ &amp; __TITLE__</title>" in text


same = pictures(1).repeat(80, axis=0)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        (TWO, {"kind": "beauty"}, "not known"),
        (TWO[:1], {}, "two sources or more"),
        ([TWO[0], TWO[0]], {}, "name of its own"),
        (THREE[:2], {"kind": "real_or_fake"}, "named 'real'"),
        (TWO, {"trials": 9}, "use 8"),
        (TWO, {"trials": 0}, "use 2"),
        (THREE, {"kind": "real_or_fake", "trials": 10}, "use 8"),
        (TWO, {"trials": 82}, "has 80 images, the study shows 82"),
        (TWO, {"attention": -1}, "negative"),
        ([TWO[0], ("real", pictures()[:, :5])], {}, "one size"),
        ([TWO[0], ("real", pictures(channels=3))], {}, "one size and colour"),
        ([TWO[0], ("real", pictures() / 255.0)], {}, "uint8"),
        ([TWO[0], ("real", pictures(channels=4))], {}, "uint8"),
        ([("one", same), ("two", same)], {}, "same picture"),
        (TWO, {"title": "Is 0002-VAE good?"}, "tells raters"),
        (TWO, {"title": " "}, "empty"),
        (TWO, {"name": "0002-vae.html"}, "tells raters"),
        (TWO, {"name": "study.htm"}, "written as .html"),
        (TWO, {"name": "there.html"}, "there already"),
    ],
)
def test_unfair_studies_are_refused_and_nothing_is_written(tmp_path, sources, options, message):
    (tmp_path / "there.html").write_text("mine")
    options = {"kind": "preference", "trials": 8, "name": "study.html", **options}
    name = options.pop("name")
    with pytest.raises(InputError, match=message) as refusal:
        make(sources, tmp_path / name, **options)
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_a_page_of_five_megabytes_is_refused(tmp_path):
    large = [(name, RNG.integers(0, 256, (40, 160, 160, 3), np.uint8)) for name in ("one", "two")]
    with pytest.raises(InputError, match="5 is the limit"):
        make(large, tmp_path / "study.html", kind="preference", trials=40)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["preference", "real_or_fake"])
@pytest.mark.parametrize("names", [["a", "real"], ["a", "b", "real"], ["a", "b", "c", "real"]])
def test_most_trials_of_few_real_images(kind, names):
    """By trying: of all numbers that can be shared out, the largest whose real images suffice."""
    for available in range(40):
        fit = []
        for trials in range(1, 200):
            try:
                fit += [trials] * (images_needed(kind, names, trials)["real"] <= available)
            except InputError:
                continue
        assert most_trials(kind, names, available) == max(fit, default=0)


def test_a_study_of_few_real_images_says_how_many_trials_they_make(shared, tmp_path, capsys):
    run = str(run_of("vae_digits", shared))  # 8 test images
    flags = ["--kind=real_or_fake", f"--out={tmp_path / 'study.html'}", "--attention=0"]
    capsys.readouterr()
    assert main(["study", "make", run, *flags]) == 2
    told = "error: --trials=60: shows 30 real images, the test split has 8; use --trials=16 or fewer\n"
    assert capsys.readouterr().err == told
    assert main(["study", "make", run, *flags, "--trials=16"]) == 0
