"""The documentation site in Chromium, opened from the disk: it asks nothing of others, searches, and can be dark.

These tests build the site, so they need Zensical (dependency group `docs`) beside Debian's `chromium` and
`chromium-driver`. HARNESS_SHOTS names a folder for pictures of the pages; without it none are kept.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs" / "site"))

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
pytest.importorskip("zensical", reason="needs the dependency group 'docs'")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--allow-file-access-from-files")  # fmt: skip
SIZES = {"wide": (1400, 1000), "phone": (400, 900)}
OPENED = ["index.html", "tutorial.html", "reference/suite.html", "reference/cli.html", "results.html", "ci/index.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import make_site

    return make_site.build(tmp_path_factory.mktemp("site") / "out")


@pytest.fixture(scope="module", params=["light", "dark"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    features = [{"name": "prefers-color-scheme", "value": request.param}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.scheme = request.param  # type: ignore[attr-defined]
    yield driver
    driver.quit()


def opened(driver: webdriver.Chrome, site: Path, page: str, size: str = "wide") -> webdriver.Chrome:
    driver.set_window_size(*SIZES[size])
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get((site / page).as_uri())
    WebDriverWait(driver, 20).until(lambda one: one.find_elements(By.CSS_SELECTOR, "article h1"))
    return driver


def asked(driver: webdriver.Chrome) -> list[str]:
    """Every address that is neither a file nor data in a page."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("file:", "data:", "blob:"))]


def kept(driver: webdriver.Chrome, name: str) -> None:
    """Keep a picture of what is shown, if somebody wants to look at it."""
    if folder := os.environ.get("HARNESS_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder) / f"{name}-{driver.scheme}.png"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", OPENED)
def test_a_page_asks_nothing_logs_nothing_and_fits(page: str, size: str, driver: webdriver.Chrome, site: Path) -> None:
    opened(driver, site, page, size)
    kept(driver, f"{page.replace('/', '-').removesuffix('.html')}-{size}")
    assert asked(driver) == []
    assert [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    whole, seen = (
        driver.execute_script(f"return document.documentElement.{name}") for name in ("scrollWidth", "clientWidth")
    )
    assert whole <= seen, "the page is wider than the window"


def test_the_colours_are_those_that_the_reader_prefers(driver: webdriver.Chrome, site: Path) -> None:
    opened(driver, site, "index.html")
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    channels = [int(part) for part in background.removeprefix("rgb(").rstrip(")").split(",")]
    assert (sum(channels) < 300) == (driver.scheme == "dark")  # type: ignore[attr-defined]


def test_search_finds_a_key_without_a_server(driver: webdriver.Chrome, site: Path) -> None:
    opened(driver, site, "index.html")
    driver.find_element(By.TAG_NAME, "body").send_keys("/")
    field = WebDriverWait(driver, 20).until(lambda one: one.switch_to.active_element)
    field.send_keys("bm25_weight")
    found = WebDriverWait(driver, 20).until(lambda one: [link for link in one.execute_script(SHOWN) if "suite" in link])
    kept(driver, "search")
    assert any("reference/suite" in link for link in found)
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)


SHOWN = """
const links = (root) => [...root.querySelectorAll('a[href]')].map((one) => one.href)
  .concat(...[...root.querySelectorAll('*')].filter((one) => one.shadowRoot).map((one) => links(one.shadowRoot)));
return links(document).filter((one) => one.includes('bm25') || one.includes('h='));
"""
"""Links of results, also in shadow roots; those of a search name what was searched for."""
