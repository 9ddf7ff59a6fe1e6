"""The report of tiny runs: what it shows is what was recorded, and nothing leaves the page."""

import base64
import dataclasses
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from shrunk import shrunk
from shrunk import trained as train

import gen_jax
from gen_jax import randomness
from gen_jax.errors import InputError
from gen_jax.evaluation.compare import differences, protocol
from gen_jax.report import report
from gen_jax.report.build import _seconds
from gen_jax.report.numbers import latest
from gen_jax.runtime import mesh

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "link", "img", "input", "br", "source"}


class Page(HTMLParser):
    """Sections by anchor (their text and images), all attributes, and a stack that finds unclosed tags."""

    def __init__(self, file):
        super().__init__()
        self.text, self.images, self.headings, self.attributes, self.stack = {}, {}, [], [], []
        self.section = "head"
        self.feed(file.read_text())
        assert not self.stack, f"unclosed: {self.stack}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.attributes += [(tag, *pair) for pair in attrs.items()]
        if tag == "section":
            self.section = attrs["id"]
        if tag == "img":
            self.images.setdefault(self.section, []).append(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), self.section))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] not in (["style"], ["script"]):
            self.text[self.section] = f"{self.text.get(self.section, '')} {data}"


def pixels(attributes):
    picture = Image.open(io.BytesIO(base64.b64decode(attributes["src"].partition(",")[2])))
    return np.asarray(picture.convert("RGB"))


def record(metric, value, step=4, **more):
    fields = {"n_generated": 80, "extractor": "pixels", **more.pop("protocol", {})}
    about = {"step": step, "weights": "average", "checkpoint": "final"}
    return {"metric": metric, "value": value, **about, "protocol": fields, **more}


def write(run, records):
    (run / "evaluations.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Finished runs of both families, evaluated at two steps."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("gan_digits", "vae_digits"):
        train(shrunk(name, root, train__steps=4, train__sample_every=1), root / name, name=name)
        write(
            root / name,
            [
                record("fd_pixels", 30.25, step=2, spread=0.5, floor=1.75),
                record("fd_pixels", 12.5, spread=0.25, floor=1.75, unit="squared pixels"),
                record("ssim", None, refused="sides below 11"),
                {"metric": "classes_found", "value": 7, "of_real_images": 10, "step": 4, "images": 256},
            ],
        )
    return root


def load(path):
    """The run on one device: eight simulated ones take longer to compile for, and show nothing more here."""
    run = gen_jax.load(path)
    return dataclasses.replace(run, mesh=mesh.make(1), variables=jax.device_get(run.variables))


@pytest.fixture(scope="module")
def runs(root):
    return {name: load(root / name) for name in ("gan_digits", "vae_digits")}


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    """The file of each run, and of both side by side."""
    out = tmp_path_factory.mktemp("reports")
    files = {name: report([run], out / f"{name}.html") for name, run in runs.items()}
    return files | {"both": report(list(runs.values()), out / "both.html")}


@pytest.fixture
def moved(root, tmp_path):
    """A copy of a run, to be changed."""

    def copy(name, to=None):
        shutil.copytree(root / name, tmp_path / (to or name))
        return tmp_path / (to or name)

    return copy


@pytest.mark.parametrize("name", ["gan_digits", "vae_digits", "both"])
def test_nothing_outside_the_file_is_named(name, pages):
    page = Page(pages[name])
    for tag, attribute, value in page.attributes:
        if attribute in ("src", "href", "srcset", "action", "data"):
            assert value.startswith(("data:", "#")), f"<{tag} {attribute}={value[:40]}>"
    assert not re.search(r"https?://|url\(|@import|fetch\(", pages[name].read_text())
    assert pages[name].stat().st_size < 5_000_000
    # One h1, and no level left out on the way down.
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    anchors = {value for _, attribute, value in page.attributes if attribute == "href" and value.startswith("#")}
    assert anchors == {f"#{s}" for s in page.text if s != "head"}


def test_sections_follow_from_what_the_method_can_do(pages):
    gan, vae, both = (Page(pages[name]).text for name in ("gan_digits", "vae_digits", "both"))
    assert vae.keys() - gan.keys() == {"reconstructions"}
    assert both.keys() == vae.keys() and "This model cannot do that." in both["reconstructions"]


def test_overview_and_config(pages, root):
    page = Page(pages["gan_digits"]).text
    env = json.loads((root / "gan_digits/env.json").read_text())
    for word in (
        "gan_digits",
        "finished",
        "4 of 4",
        "step 4",
        env["gen_jax"],
        env["packages"]["jax"],
        "72 training images",
    ):
        assert word in page["overview"], word
    config = json.loads((root / "gan_digits/config.json").read_text())
    first = page["config"].partition("All ")[0]
    assert "relativistic" in first and "non_saturating" in first, "a changed field and its default"
    assert "data.resize" not in first and "data.resize" in page["config"], "an unchanged one on demand"
    assert str(config["data"]["path"]) in first


def test_scores_are_those_recorded_with_their_protocol(pages):
    text = Page(pages["gan_digits"]).text["scores"]
    assert re.search(r"fd_pixels\s.*12\.5 ± 0\.25 squared pixels\s+1\.75\s", text)
    assert "30.25" not in text, "the latest only"
    assert re.search(r"ssim\s+refused\s+sides below 11", text)
    assert re.search(r"classes_found\s+higher\s+7\s+10\s", text), "a record of the older form"
    for word in ("n_generated", "80", "extractor", "pixels", "images", "256"):
        assert word in text


def test_scores_by_step_and_training_curves(pages, root):
    page = Page(pages["gan_digits"])
    labels = [value for _, attribute, value in page.attributes if attribute == "aria-label"]
    assert any(label.startswith("fd_pixels: from 30.25 at step 2 to 12.5 at 4") for label in labels)
    rows = [json.loads(line) for line in (root / "gan_digits/metrics.jsonl").read_text().splitlines()]
    for name in ("d", "g", "real_logit"):
        assert re.search(
            rf"\s{name.replace('_', ' ')}\s+{rows[-1][name]:.4g} at step 4".replace("-", "\u2212"),
            page.text["training"],
        )
    assert "images per second" in page.text["training"]


def test_diagnostics_are_told(pages):
    assert re.search(
        r"watch\s+Diversity\.\s+Classes among the samples: 7 \(among real images: 10\); try a larger train\.steps",
        Page(pages["gan_digits"]).text["diagnostics"],
    )


def test_pictures_are_those_of_the_run(pages, root, runs):
    images = Page(pages["gan_digits"]).images
    steps = images["steps"]
    assert [i["data-name"] for i in steps] == [f"step {n}" for n in range(1, 5)]
    assert ["hidden" in i for i in steps] == [True, True, True, False]
    for i, attributes in enumerate(steps):
        with Image.open(root / f"gan_digits/samples/step_{i + 1:06d}.png") as drawn:
            np.testing.assert_array_equal(pixels(attributes), np.asarray(drawn.convert("RGB")))
    reals, samples = images["reals"]
    with Image.open(root / "gan_digits/reals.png") as drawn:
        np.testing.assert_array_equal(pixels(reals), np.asarray(drawn.convert("RGB")))
    np.testing.assert_array_equal(pixels(samples), pixels(steps[-1]))
    (animation,) = images["interpolation"]
    with Image.open(io.BytesIO(base64.b64decode(animation["src"].partition(",")[2]))) as movie:
        assert movie.n_frames == 36 and movie.info["loop"] == 0
    assert all(i.get("alt") for section in images.values() for i in section)


def test_neighbours_are_the_nearest(pages, runs):
    run = runs["gan_digits"]
    samples = run.sample(range(256)).reshape(256, -1) / 255.0
    known = run.dataset("train").resident["image"].reshape(run.spec.size, -1) / 255.0
    distances = np.sqrt(((samples[:, None] - known[None]) ** 2).sum(-1)).min(axis=1)
    text = Page(pages["gan_digits"]).text["neighbours"]
    told = [(float(d), int(seed)) for d, seed in re.findall(r"([\d.]+)\s+seed (\d+)", text)]
    assert [seed for _, seed in told] == list(np.argsort(distances)[:12])
    np.testing.assert_allclose([d for d, _ in told], np.sort(distances)[:12], rtol=1e-3)
    assert f"samples is {np.median(distances):.4g}" in text and f"{run.spec.size} training images" in text


def test_traversals_show_the_latents_of_largest_effect(pages, runs):
    run = runs["vae_digits"]
    start = np.asarray(run.method.latents(run.variables, randomness.image_keys([0])))
    effects = []
    for dimension in range(start.shape[1]):
        ends = [start.copy(), start.copy()]
        ends[0][:, dimension], ends[1][:, dimension] = -3, 3
        low, high = (jax.device_get(run.method.decode(run.variables, z, {})) for z in ends)
        effects.append(np.abs(low - high).mean())
    text = Page(pages["vae_digits"]).text["traversals"]
    told = [(int(d), float(e)) for d, e in re.findall(r"latent (\d+)\s+effect ([\d.]+)", text)]
    assert [d for d, _ in told] == list(np.argsort(effects)[::-1]), "all four, the largest first"
    np.testing.assert_allclose([e for _, e in told], np.sort(effects)[::-1], atol=0.004)  # of whole levels of 256


def test_side_by_side_marks_what_was_measured_otherwise(moved, runs, tmp_path):
    other = moved("gan_digits", "other")
    write(other, [record("fd_pixels", 9.0, protocol={"n_generated": 1000})])
    text = Page(report([runs["gan_digits"], load(other)], tmp_path / "c.html")).text["scores"]
    assert "measured otherwise than other: n_generated" in text
    assert "measured otherwise than gan_digits: n_generated" in text
    assert text.count("measured otherwise") == 2
    write(other, [record("fd_pixels", 9.0) | {"weights": "raw"}])
    text = Page(report([runs["gan_digits"], load(other)], tmp_path / "c.html")).text["scores"]
    assert "measured otherwise" not in text, "the weights are part of what is scored"
    write(other, [record("fd_pixels", 9.0, protocol=dict.fromkeys("abcdef", 1))])
    text = Page(report([runs["gan_digits"], load(other)], tmp_path / "c.html")).text["scores"]
    assert "measured otherwise than other: a, b, c, d and 2 more" in text


def test_names_are_escaped(moved, tmp_path):
    odd = moved("gan_digits", '<script>x("&")<')
    hostile = "<img src=x onerror=alert(1)>"
    (odd / "overrides.json").write_text(json.dumps({"config": hostile, "overrides": {hostile: hostile}}))
    write(odd, [record(hostile, 1.0, protocol={hostile: hostile}, unit=hostile, refused=hostile)] * 2)
    (odd / "DONE").unlink()
    (odd / "FAILED.txt").write_text(hostile)
    run = load(odd)
    for chosen in ([run], [run, run]):
        text = report(chosen, tmp_path / "e.html").read_text()
        assert "<script>x" not in text and "<img src=x" not in text
        assert Page(tmp_path / "e.html").text["head"].count('<script>x("&")<') >= 1


def test_a_run_without_data_or_scores_says_so(moved, tmp_path):
    path = moved("vae_digits")
    config = json.loads((path / "config.json").read_text())
    config["data"]["path"] = "/nowhere.npz"
    (path / "config.json").write_text(json.dumps(config))
    (path / "evaluations.jsonl").unlink()
    shutil.rmtree(path / "samples")
    page = Page(report([load(path)]))
    assert (path / "report.html").exists()
    for section in ("reconstructions", "neighbours"):
        assert "The data of this run is not at hand" in page.text[section]
    assert len(page.images["reals"]) == 2, "reals.png travels with the run"
    assert f"gen-jax evaluate {path}" in page.text["scores"]
    assert "evaluations" not in page.text and "train.sample_every" in page.text["steps"]


def test_an_unfinished_run_that_was_resumed(moved):
    path = moved("gan_digits")
    (path / "DONE").unlink()
    shutil.copy(path / "env.json", path / "env.resumed-2.json")
    (path / "metrics.jsonl").write_text("")
    (path / "timing.jsonl").unlink()
    page = Page(report([load(path)])).text
    assert "unfinished" in page["overview"] and "resumed 1 time" in page["overview"]
    assert "not recorded" in page["overview"] and "No row of metrics.jsonl yet" in page["training"]
    (path / "metrics.jsonl").write_text("{broken}\n")
    with pytest.raises(InputError, match="metrics.jsonl, line 1 is damaged"):
        report([load(path)])


def test_stray_files_among_the_grids_do_no_harm(moved):
    path = moved("gan_digits")
    (path / "samples/step_last.png").write_text("no step")
    (path / "samples/step_000001.txt").write_text("no picture")
    (path / "samples/step_000000.png").mkdir()
    (path / "samples/step_000002.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    page = Page(report([load(path)]))
    assert [image["data-name"] for image in page.images["steps"]] == ["step 1", "step 3", "step 4"]
    for name in ("step_000000.png", "step_000002.png"):
        assert re.search(rf"{path / 'samples' / name} cannot be read .*; remove it\.", page.text["steps"])


def test_captions_speak_of_what_is_shown(moved):
    path = moved("gan_digits")
    text = Page(report([load(path)])).text
    assert "running mean" not in text["training"] and "Dashed" in text["evaluations"]
    (path / "metrics.jsonl").write_text("".join(f'{{"step": {i}, "g": {i % 7}.5}}\n' for i in range(1, 81)))
    write(path, [record("fd_pixels", float(step), step=step) for step in (1, 2)])
    text = Page(report([load(path)])).text
    assert "dark: its running mean" in text["training"] and "Dashed" not in text["evaluations"]


def test_warnings_and_quick_scores_are_told(moved):
    path = moved("gan_digits")
    quick = {"quick": {"images": 1000}}
    write(path, [record("precision", 0.5, warning="of no use"), record("precision", 0.75, protocol=quick)])
    text = Page(report([load(path)])).text["scores"]
    assert re.search(r"precision\s+of no use\s+higher\s+0\.5\s", text), "not replaced by the quick one"
    assert re.search(r"precision\s+higher\s+0\.75\s.*average · quick", text) and "measured otherwise" not in text


def test_a_method_that_only_trains_has_a_report(runs, tmp_path):
    """A classifier, say: by capability, no family is asked for."""
    run = runs["vae_digits"]
    bare = run.method._replace(sample=None, latents=None, decode=None, reconstruct=None)
    page = Page(report([dataclasses.replace(run, method=bare)], tmp_path / "r.html"))
    assert not page.images and {"overview", "training", "config"} <= page.text.keys()


def test_no_run_and_no_place(runs, tmp_path):
    with pytest.raises(InputError, match="no run"):
        report([])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        report([runs["gan_digits"]], tmp_path / "file/r.html")


def test_time_of_a_resumed_run_is_the_sum_of_its_parts():
    assert _seconds([{"seconds": s} for s in (10.0, 20.0, 5.0, 12.0, 1.0)]) == 33.0


def test_protocols():
    new, old = record("a", 1.0), {"metric": "a", "value": 1, "step": 9, "weights": "raw", "n_generated": 80}
    assert protocol(new) == {"weights": "average", "n_generated": 80, "extractor": "pixels"}
    assert protocol(old) == {"weights": "raw", "n_generated": 80}
    assert list(differences(new, old)) == ["extractor"]
    assert differences(new, record("a", 2.0, step=8, protocol={"objective": {"loss": "hinge"}})) == {}


def test_latest_prefers_the_settled_checkpoints():
    training, final, best = (
        dict(record("a", v), checkpoint=c) for v, c in ((1, "training"), (2, "final"), (3, "best"))
    )
    assert [r["value"] for r in latest([final, best, training])] == [2, 3]
    assert [r["value"] for r in latest([training, dict(training, value=5)])] == [5]
    assert [r["value"] for r in latest([final, dict(final, value=4)])] == [4]
    older = {k: v for k, v in final.items() if k != "checkpoint"}
    assert [r["value"] for r in latest([older, dict(final, value=6)])] == [6], "of the older form, and superseded"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("no browser at /usr/bin/chromium")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield browser
        browser.close()


@pytest.mark.extra
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["gan_digits", "both"])
def test_in_a_browser(name, width, scheme, pages, browser):
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, said = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(pages[name].as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"
    if width >= 1280:
        ends = "[...document.querySelectorAll('nav a')].map(a => a.getBoundingClientRect().right)"
        assert len(tab.evaluate(ends)) >= 10 and max(tab.evaluate(ends)) <= tab.evaluate("innerWidth"), "all links"
        assert tab.evaluate("(u => u.scrollWidth - u.clientWidth)(document.querySelector('nav ul'))") <= 0
    assert tab.evaluate("[...document.images].every(i => i.hidden || i.naturalWidth > 0)"), "every picture is shown"

    def shown():
        return tab.eval_on_selector_all(".grids:first-of-type img:not([hidden])", "all => all.map(i => i.dataset.name)")

    slider = tab.locator(".slider input").first
    before = shown()
    slider.focus()
    tab.keyboard.press("Home")
    assert shown()[0] == "step 1" and before[0] == "step 4"
    tab.keyboard.press("ArrowRight")
    assert shown()[0] == "step 2" and shown()[1:] == before[1:], "one slider moves one run"
    assert slider.get_attribute("aria-valuetext") == "step 2"
    assert tab.locator(".slider output").first.text_content() == "step 2"
    details = tab.locator("summary").first
    details.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details").first.evaluate("d => d.open")
    assert not said and [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    tab.close()
