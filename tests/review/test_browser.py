"""Both pages in a real headless Chromium, opened from disk as an artist would.

Needs Debian's chromium and chromium-driver (``make test`` installs them). Where CI is set a
missing browser is a failure, elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from laikaroto.review.shot_page import write_shot_page
from laikaroto.review.training_page import (
    HistoryRow,
    TrainingReport,
    ValidationPicture,
    write_training_page,
)
from laikaroto.shapes.records import Roto
from laikaroto.training.evaluate import evaluate

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1400,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser with a fresh profile for all tests of this file."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        reason = "chromium or chromedriver is not installed (Debian: chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


class Page:
    """A page opened in the browser."""

    def __init__(self, browser: webdriver.Chrome, path: Path, fragment: str = "") -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri() + fragment)

    def run(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def count(self, selector: str) -> int:
        return int(self.run(f"document.querySelectorAll('{selector}').length"))

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector('{selector}').textContent"))

    def click(self, selector: str) -> None:
        self.browser.find_element("css selector", selector).click()

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def wait(self, script: str) -> None:
        WebDriverWait(self.browser, 120).until(lambda _: self.run(script), message=script)

    def wait_frame(self, frame: int) -> None:
        self.wait(f"document.body.dataset.frame === '{frame}'")

    def faults(self) -> list[Any]:
        """What the console complained of."""
        return list(self.browser.get_log("browser"))

    def requests(self) -> list[str]:
        """Addresses the page asked for."""
        log = self.browser.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in log]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture
def shot(browser: webdriver.Chrome, roto: Roto, plates: Any, mattes: Path, tmp_path: Path) -> Page:
    """The page of the made-up shot, opened, its first frame shown."""
    path = write_shot_page(
        roto, tmp_path / "r", plates=plates, mattes=mattes, evaluation=evaluate(roto, roto)
    )
    page = Page(browser, path)
    page.wait("document.body.dataset.frame")
    return page


def test_opens_on_the_first_flagged_frame_without_faults(shot: Page) -> None:
    shot.wait_frame(1003)
    assert shot.run("document.querySelector('#plate img').naturalWidth") == 240
    assert shot.text("#number") == "1003"
    assert "seam: expected error 0.24 px" in shot.text("#reasons")
    assert "owned" in shot.text("#reasons") and "owned" not in shot.browser.title
    assert shot.count("#overlay g[data-shape]") == 2
    assert shot.count("#overlay .track") == 1
    assert shot.count("#strip .bar") == 8  # expected and measured, four frames each
    assert shot.count("#strip .flag") == 1
    assert all(url.startswith(("file:", "data:")) for url in shot.requests())
    assert shot.faults() == []


def test_shapes_lie_where_they_are_in_the_plate(shot: Page) -> None:
    """The eye's circle is drawn 80 plate px wide, centred on its place in the picture."""
    shot.wait_frame(1003)
    scale, left, width, plate = shot.run(
        """(() => {
          const eye = document.querySelector('[data-shape=eye] .curve').getBoundingClientRect();
          const plate = document.querySelector('#plate img').getBoundingClientRect();
          return [plate.width / 240, eye.left, eye.width, plate.left];
        })()"""
    )
    assert width / scale == pytest.approx(80, abs=2)
    assert (left - plate) / scale == pytest.approx(84, abs=2)  # 120 + 4 - 40


def test_keys_walk_the_frames(shot: Page) -> None:
    shot.wait_frame(1003)
    for key, frame in (
        (Keys.ARROW_RIGHT, 1004), (Keys.ARROW_RIGHT, 1004), (Keys.HOME, 1001), ("f", 1003),
        (Keys.ARROW_LEFT, 1002), ("F", 1003), (Keys.END, 1004),
    ):  # fmt: skip
        shot.press(key)
        shot.wait_frame(frame)
    shot.press(" ")
    shot.wait_frame(1002)  # plays on from the first frame
    shot.press(" ")
    assert shot.run("document.querySelector('[data-go=play]').ariaPressed") == "false"
    assert shot.faults() == []


def test_clicks_jump_to_frames(shot: Page) -> None:
    shot.wait_frame(1003)
    shot.click("[data-bar='1002']")
    shot.wait_frame(1002)
    assert shot.count("#overlay g[data-shape]") == 1  # the eye is hidden there
    assert "hidden" in shot.text("[data-row=eye]")
    shot.click(".thumb.flagged")
    shot.wait_frame(1003)
    shot.run("location.hash = '#1004'")
    shot.wait_frame(1004)
    assert "hold of 1003" in shot.text("#badge")


def test_layers_are_switched(shot: Page) -> None:
    shot.wait_frame(1003)
    assert shot.count("#overlay .curve") == 2
    assert shot.count("#overlay .hidden") == 1
    shot.press("s", "c", "t", "n")
    assert shot.count("#overlay .curve") == 0
    assert shot.count("#overlay .control") == 7
    assert shot.count("#overlay .tangent") == 12
    assert shot.count("#overlay .name") == 3
    shot.press("p")
    assert shot.count("#overlay .track") == 0
    shot.press("o")
    assert shot.run("document.querySelector('#overlay').childElementCount") == 0
    shot.click("[data-layer=shapes]")  # brings back what was there
    assert shot.count("#overlay .control") == 7
    shot.press("s")
    shot.click("[data-row=seam]")
    assert shot.count("#overlay g[data-shape]") == 1
    assert shot.faults() == []


def test_matte_views(shot: Page) -> None:
    shot.wait_frame(1003)
    assert not shot.browser.find_element("id", "matte").is_displayed()
    shot.press("m")
    shot.wait("document.querySelector('#stage').className === 'tint'")
    assert shot.browser.find_element("id", "matte").is_displayed()
    assert shot.run("document.querySelector('#matte').src").endswith("matte.all.1003.jpg")
    shot.press("l")
    shot.wait("document.querySelector('#matte').src.endsWith('matte.eyes.1003.jpg')")
    shot.press("m")
    shot.wait("document.querySelector('#stage').className === 'alone'")
    assert pixel(shot, 110, 105) == pytest.approx([128] * 3, abs=6)
    shot.press("m")
    shot.wait("document.querySelector('#stage').className === ''")
    assert shot.faults() == []


def test_the_tint_colours_only_what_the_matte_covers(shot: Page) -> None:
    shot.wait_frame(1003)
    shot.press("o")
    plain = pixel(shot, 110, 105), pixel(shot, 20, 105)
    shot.press("m")
    shot.wait("document.querySelector('#stage').className === 'tint'")
    inside, outside = pixel(shot, 110, 105), pixel(shot, 20, 105)
    assert inside[0] - plain[0][0] > 15 and inside[0] > inside[2] + 15
    assert outside == pytest.approx(plain[1], abs=3)


def test_zoom_keeps_lines_thin_and_goes_back(shot: Page) -> None:
    shot.wait_frame(1003)
    before = shot.run("document.querySelector('#plate img').getBoundingClientRect().width")
    shot.press("+", "+")
    wide = shot.run("document.querySelector('#plate img').getBoundingClientRect().width")
    assert wide == pytest.approx(before * 1.4**2, rel=0.01)
    stroke = "Number(document.querySelector('.curve').getAttribute('stroke-width'))"
    assert shot.run(stroke) * wide / 240 == pytest.approx(1.5, rel=0.02)
    shot.press("h")
    after = shot.run("document.querySelector('#plate img').getBoundingClientRect().width")
    assert after == pytest.approx(before)


def test_a_lost_picture_is_said(shot: Page) -> None:
    shot.wait_frame(1003)
    shot.run("location.hash = '#1004'")
    shot.wait_frame(1004)
    page = Path(shot.browser.current_url.removeprefix("file://").partition("#")[0])
    (page.parent / "pictures" / "plate.1001.jpg").unlink()
    again = Page(shot.browser, page, "#1001")
    again.wait("document.querySelector('#fault').textContent !== ''")
    assert "frame 1001 cannot be loaded; make the page again" in again.text("#fault")


def test_training_report(browser: webdriver.Chrome, roto: Roto, tmp_path: Path) -> None:
    rgb = np.full((180, 240, 3), 0.18, dtype=np.float32)
    report = TrainingReport(
        character="hero",
        model_version="v001",
        settings={"seed": 1},
        history=[
            HistoryRow(seconds=i, step=i, loss=1 / (1 + i), learning_rate=1e-3) for i in range(9)
        ],
        phases=[],
        held_out=["ev01"],
        validation={"ev01": evaluate(roto, roto).to_dict()},
        pictures=[
            ValidationPicture(title="ev01", frame=1001, truth=roto, prediction=roto, rgb=rgb)
        ],
    )
    page = Page(browser, write_training_page(report, tmp_path / "r"))
    assert page.count(".chart path") == 2
    shown = "getComputedStyle(document.querySelector('.frame .truth')).display"
    assert page.run(shown) == "inline"
    page.click("#show-truth")
    assert page.run(shown) == "none"
    narrow = page.run("document.querySelector('.frame').clientWidth")
    page.click(".picture")
    assert page.run("document.querySelector('.frame').clientWidth") > narrow
    assert all(url.startswith(("file:", "data:")) for url in page.requests())
    assert page.faults() == []


def pixel(page: Page, x: int, y: int) -> list[float]:
    """Mean colour of 5x5 screen px at a plate position, as the browser shows it."""
    box = page.run(
        "(() => { const b = document.getElementById('stage').getBoundingClientRect();"
        " return [b.left, b.top, b.width / 240]; })()"
    )
    shown = cv2.imdecode(
        np.frombuffer(page.browser.get_screenshot_as_png(), dtype=np.uint8), cv2.IMREAD_COLOR
    )
    column, row = round(box[0] + x * box[2]), round(box[1] + y * box[2])
    patch = shown[row - 2 : row + 3, column - 2 : column + 3, ::-1]
    return [float(value) for value in patch.reshape(-1, 3).mean(axis=0)]
