"""The page in Chromium: a whole study by clicking and one by keyboard, and their answers scored."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from gen_jax.study import make, score

api = pytest.importorskip("playwright.sync_api", reason="needs playwright (development group)")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's chromium in {CHROMIUM}"),
]

# The page takes an answer only after its pause against double clicks.
PAUSE = 170
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def chromium():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A page that must stay without console errors and without requests to anywhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    tab = context.new_page()
    wrong = []
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: None if re.match("file:|data:|blob:", request.url) else wrong.append(request.url))
    yield tab
    context.close()
    assert not wrong


@pytest.fixture(params=["preference", "real_or_fake"])
def page(request, tmp_path):
    # The good ones are bright, the bad ones dark: a rater in a test can tell them by the mean.
    bright, dark = (RNG.integers(low, low + 60, (8, 12, 10, 3), np.uint8) for low in (180, 10))
    path = make(
        [("real", bright), ("darkling", dark)], tmp_path / "study.html", kind=request.param, trials=8, attention=4
    )
    assert path.stat().st_size < 5_000_000
    return path


def begin(tab, page, key="Enter"):
    tab.goto(page.as_uri())
    assert tab.evaluate("document.activeElement.id") == "begin"
    tab.keyboard.press(key)


def wanted(tab, key):
    """Which of the two answers, 0 or 1, is right for the trial on show."""
    trial = tab.evaluate("order[answers.length].id")
    if trial in key["attention"]:
        return ["left", "right", "real", "fake"].index(key["attention"][trial]["answer"]) % 2
    sources = [key["pictures"][p]["source"] for p in key["trials"][trial]["pictures"]]
    return sources.index("real") if key["kind"] == "preference" else int(sources[0] != "real")


def download(tab, folder):
    with tab.expect_download() as started:
        tab.get_by_role("button", name="Download the answers").click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def by_click(tab, key):
    buttons = (
        ("Choose the left image", "Choose the right image") if key["kind"] == "preference" else ("Real", "Generated")
    )
    for _ in range(12):
        tab.wait_for_timeout(PAUSE)
        tab.get_by_role("button", name=buttons[wanted(tab, key)], exact=True).click()


def by_keyboard(tab, key):
    for i in range(12):
        tab.wait_for_timeout(PAUSE)
        tab.keyboard.press((("1", "2"), ("f", "j"), ("ArrowLeft", "ArrowRight"))[i % 3][wanted(tab, key)])


@pytest.mark.slow
def test_studies_by_click_and_by_keyboard_are_scored(tab, page, tmp_path):
    key = json.loads(page.with_name("study.key.json").read_text())
    files = []
    for go in (by_click, by_keyboard):
        begin(tab, page)
        go(tab, key)
        assert tab.get_by_role("heading", name="Thank you.").is_visible()
        files.append(download(tab, tmp_path))
        # The next person on this machine is another rater, and sees another order.
        tab.get_by_role("button", name="Start anew for another person").click()
    first, second = (json.loads(path.read_text()) for path in files)
    assert first["rater"] != second["rater"]
    assert [a["trial"] for a in first["answers"]] != [a["trial"] for a in second["answers"]]
    assert [a["order"] for a in first["answers"]] == list(range(12))
    assert all(a["milliseconds"] >= 150 for a in first["answers"])

    found = score(files, page.with_name("study.key.json"))
    assert found["raters"] == {"given": 2, "kept": 2, "dropped": [], "odd_times": {}} and found["fleiss_kappa"] == 1.0
    if key["kind"] == "preference":
        assert found["result"]["pairs"][0]["first_won"] == 16
    else:
        assert found["result"]["error_percent"]["value"] == 0.0


HOSTILE = [
    "<script>alert(1)</script>",
    "</title></script><img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)> & <!-- __STUDY__ __TITLE__ \u2028 \\",
]


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_names_are_only_text(tab, tmp_path, title):
    said = []
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    sources = [(f"{name}{i}", RNG.integers(0, 256, (8, 12, 10, 3), np.uint8)) for i, name in enumerate(HOSTILE)]
    page = make(sources, tmp_path / "study.html", kind="preference", trials=6, attention=0, title=title)
    tab.goto(page.as_uri())
    assert tab.title() == title.strip() and tab.locator("#title").text_content() == title
    tab.keyboard.press("Enter")
    assert tab.locator("#images img").count() == 2 and not tab.locator("img[src=x], svg").count()
    tab.wait_for_timeout(PAUSE)
    assert not said
    # The key holds the names as they are, the page none of them.
    key = json.loads(page.with_name("study.key.json").read_text())
    assert [source["name"] for source in key["sources"]] == [name for name, _ in sources]


def test_the_page_is_blind_and_small(page):
    assert "darkling" not in page.read_text() and page.stat().st_size < 5_000_000


@pytest.mark.slow
def test_undo_and_resume(tab, page):
    begin(tab, page, key="Space")
    for press in ("1", "2", "1"):
        tab.wait_for_timeout(PAUSE)
        tab.keyboard.press(press)
    assert tab.evaluate("answers.length") == 3 and "4 of 12" in tab.inner_text("#count")
    third, rater = tab.evaluate("[order[2].id, rater]")
    tab.keyboard.press("Backspace")
    assert tab.evaluate("order[answers.length].id") == third and "3 of 12" in tab.inner_text("#count")
    tab.get_by_role("button", name="Take back").click()
    # A reload finds the same rater, order and answers.
    tab.reload()
    assert tab.inner_text("#begin") == "Go on (1 of 12 are done)"
    # Too fast for a person (in one script, for a browser may be slower than that), held down, or meant for the browser:
    # no answer.
    tab.evaluate("document.querySelector('#begin').click(); dispatchEvent(new KeyboardEvent('keydown', {key: '1'}))")
    assert tab.evaluate("[order[2].id, rater]") == [third, rater] and "2 of 12" in tab.inner_text("#count")
    tab.wait_for_timeout(PAUSE)
    tab.keyboard.press("Control+1")
    tab.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: true}))")
    assert tab.evaluate("answers.length") == 1
    # Storage with nonsense in it starts anew.
    tab.evaluate("localStorage.setItem(store, '{\"rater\": 3}')")
    tab.reload()
    assert tab.inner_text("#begin") == "Begin" and tab.evaluate("rater") != rater


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_images_are_large_whole_and_on_the_screen(tab, page, size):
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    begin(tab, page)
    for image in tab.locator("#images img").all():
        box = image.bounding_box()
        assert box["width"] % 10 == 0 and box["height"] == 1.2 * box["width"] >= 100
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0] and box["y"] + box["height"] <= size[1]
        assert image.evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"
        assert image.get_attribute("alt") and "darkling" not in image.get_attribute("alt")
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    # The focus can be seen.
    tab.keyboard.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
