"""The page of a report in Chromium, opened from disk as a colleague opens it.

These tests need Debian's packages `chromium` and `chromium-driver`, and axe-core from npm: its folder is named by
HARNESS_AXE (``tox -e browser`` installs it).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import combined
import diagnosed
import explored
import outcomes
import pytest
import ranked
import testset_author
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from harness.report.render.boards import render_page
from harness.report.render.html import render_diagnosis_html, render_html
from harness.testset import folder as files
from harness.testset import page as review_page
from harness.testset import review
from harness.values.records import Turn

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-prefers-reduced-motion", "--window-size=1400,1000",
)  # fmt: skip
AXE = Path(os.environ.get("HARNESS_AXE", "node_modules/axe-core")) / "axe.min.js"
PHONE = 390
OPEN = Callable[[str, str], webdriver.Chrome]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    # Without a window in front, a page hears of no focus until something is clicked.
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium: webdriver.Chrome, tmp_path: Path) -> OPEN:
    """Open a page in a fresh document, wait until its explorer is ready, and check afterwards what it did."""

    def go(text: str, address: str = "") -> webdriver.Chrome:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        chromium.get("about:blank")
        for kind in ("browser", "performance"):
            chromium.get_log(kind)
        chromium.get(path.as_uri() + address)
        WebDriverWait(chromium, 20).until(lambda one: ready(one))
        return chromium

    return go


def ready(driver: webdriver.Chrome) -> bool:
    """Whether the script has run, and the query explorer is filled if there is one."""
    explored = "(!document.getElementById('explorer') || document.documentElement.dataset.explorer === 'ready')"
    return bool(driver.execute_script(f"return document.documentElement.classList.contains('scripted') && {explored}"))


def requests_of(driver: webdriver.Chrome) -> list[str]:
    """Addresses of all requests since the last look, but for the page itself and data in it."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "blob:")) and not url.endswith("report.html")]


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    return [found.text for found in driver.find_elements(By.CSS_SELECTOR, selector)]


def current(driver: webdriver.Chrome) -> int:
    """Which query of the list is shown."""
    found = "return [...document.querySelectorAll('#x-list a')].findIndex((one) => one.ariaCurrent === 'true')"
    return int(driver.execute_script(found))


def choose(driver: webdriver.Chrome, kind: str) -> None:
    driver.execute_script("document.querySelector(`#x-kinds input[value=${arguments[0]}]`).click()", kind)


@pytest.fixture(scope="module")
def page() -> str:
    outcome = combined.factorial()
    return render_html(outcome, explored.evidence(outcome))


def test_it_opens_without_an_error_and_without_a_request(opened: OPEN, page: str) -> None:
    driver = opened(page, "#queries")
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []


def test_the_log_would_show_a_request_and_an_error(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    load = "const img = new Image(); img.src = arguments[0]; document.body.append(img)"
    driver.execute_script(load, "https://example.invalid/x.png")

    def told(one: webdriver.Chrome) -> bool:
        return any("example.invalid" in entry["message"] for entry in one.get_log("browser"))

    WebDriverWait(driver, 10).until(told)


def test_a_click_on_a_head_sorts_the_table(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    column = "#t-how-good-is-each-system--body tbody tr > :nth-child(2)"
    before = texts(driver, column)
    head = driver.find_element(By.CSS_SELECTOR, "#t-how-good-is-each-system--body thead th:nth-child(2) button")
    head.send_keys(Keys.ENTER)
    numbers = [float(text) for text in texts(driver, column) if text[0].isdigit()]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers != [float(text) for text in before if text[0].isdigit()]
    assert not texts(driver, column)[-1][0].isdigit()
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    head.send_keys(Keys.ENTER)
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    head.send_keys(Keys.ENTER)
    assert texts(driver, column) == before


def test_a_long_table_shows_the_rows_asked_for(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    field = driver.find_element(By.CSS_SELECTOR, ".row-filter")
    table = driver.find_element(By.ID, str(field.get_attribute("aria-controls")))

    def shown() -> list[str]:
        return [row.text for row in table.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]

    before = shown()
    field.send_keys("retriever")
    assert 0 < len(shown()) < len(before)
    assert all("retriever" in text for text in shown())


def test_a_mark_tells_its_system_on_focus(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    mark = driver.find_element(By.CSS_SELECTOR, ".mark")
    driver.execute_script("arguments[0].focus()", mark)
    tip = driver.find_element(By.ID, "tip")
    assert tip.is_displayed()
    assert tip.text == mark.get_attribute("aria-label")
    mark.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


def test_the_explorer_filters_by_what_became_of_a_query(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    Select(driver.find_element(By.ID, "x-right")).select_by_index(len(combined.factorial().systems) - 1)
    counts = {}
    for kind, mark in (("improved", "▲"), ("regressed", "▼"), ("failed", "✖")):
        choose(driver, kind)
        found = texts(driver, "#x-list a .change")
        assert all(mark in text for text in found)
        counts[kind] = len(found)
    assert counts["failed"] == 1
    assert min(counts.values()) > 0
    choose(driver, "all")
    assert len(texts(driver, "#x-list a")) == sum(counts.values()) == 12
    driver.find_element(By.ID, "x-words").send_keys("q11")
    assert len(texts(driver, "#x-list a")) == 1


def test_a_query_shows_lists_judgements_answers_reference_and_scores(opened: OPEN, page: str) -> None:
    driver = opened(page, "")
    driver.find_elements(By.CSS_SELECTOR, "#x-list a")[2].click()
    WebDriverWait(driver, 5).until(lambda one: "query=" in one.current_url)
    # The heading takes the focus once the detail is drawn, which follows the change of the address.
    WebDriverWait(driver, 5).until(lambda one: one.switch_to.active_element.get_attribute("id") == "x-question")
    detail = driver.find_element(By.ID, "x-detail")
    assert texts(driver, "#x-detail h4") == ["Answers", "Reference", "Ranked lists"]
    assert len(texts(driver, "#x-detail .hits")) == 2
    assert [len(one.find_elements(By.TAG_NAME, "li")) for one in detail.find_elements(By.CSS_SELECTOR, ".hits")] == [
        10,
        10,
    ]
    assert "relevant" in detail.text
    assert len(texts(driver, "#x-detail tbody tr")) == len(combined.factorial().measures)
    assert len(texts(driver, "#x-detail .sides .answer")) == 2


def test_a_conversation_is_shown_and_queries_of_the_same_words_are_told_apart(opened: OPEN) -> None:
    outcome = combined.factorial()
    evidence = explored.evidence(outcome)
    turns = (Turn("user", "Which filter?"), Turn("assistant", "A notch filter,\n" + "which is narrow. " * 20))
    queries = {key: query._replace(text="and its Q?", history=turns) for key, query in evidence.queries.items()}
    label = outcome.systems[-1].label
    searched = {label: dict.fromkeys(queries, "Which filter?\nand its Q?")}
    driver = opened(render_html(outcome, replace(evidence, queries=queries, searched=searched)), "#queries")
    Select(driver.find_element(By.ID, "x-right")).select_by_visible_text(label)
    said = texts(driver, ".turns > li")
    assert [line.split(": ")[0] for line in said] == ["user", "assistant"]
    assert said[0] == "user: Which filter?"
    assert "Searched with" in texts(driver, ".detail h4")
    assert len({*texts(driver, "#x-list .id")}) == len(queries)
    with narrow(driver):
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE
        inside = "const one = document.querySelector('.detail .scroll'); return one.scrollWidth - one.clientWidth"
        assert driver.execute_script(inside) <= 0


@contextlib.contextmanager
def narrow(driver: webdriver.Chrome) -> Iterator[None]:
    """The page as on a phone."""
    size = {"width": PHONE, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_link_opens_its_query_with_its_systems(opened: OPEN, page: str) -> None:
    systems = [info.label for info in combined.factorial().systems]
    asked = {"query": "q7", "left": systems[1], "right": systems[-1], "measure": "utility"}
    driver = opened(page, f"#{urlencode(asked)}")
    assert "q7" in driver.find_element(By.CSS_SELECTOR, "#x-detail .where").text
    chosen = [
        Select(driver.find_element(By.ID, one)).first_selected_option.text for one in ("x-left", "x-right", "x-measure")
    ]
    assert chosen == [systems[1], systems[-1], "utility"]
    driver.find_element(By.CSS_SELECTOR, "#x-detail .step a").click()
    WebDriverWait(driver, 5).until(lambda one: "q7" not in texts(one, "#x-detail .where bdi"))
    driver.back()
    WebDriverWait(driver, 5).until(lambda one: "q7" in texts(one, "#x-detail .where bdi"))


def test_a_link_to_no_query_says_so(opened: OPEN, page: str) -> None:
    driver = opened(page, "#query=none-such")
    assert "not in this report" in driver.find_element(By.ID, "explorer-state").text


def test_hostile_text_executes_nothing_and_breaks_no_layout(opened: OPEN) -> None:
    outcome, evidence = explored.hostile(outcomes.normal())
    driver = opened(render_html(outcome, evidence), "")
    title = driver.title
    for right in range(len(outcome.systems)):
        Select(driver.find_element(By.ID, "x-right")).select_by_index(right)
        for number in range(len(driver.find_elements(By.CSS_SELECTOR, "#x-list a"))):
            driver.execute_script("document.querySelectorAll('#x-list a')[arguments[0]].click()", number)
            WebDriverWait(driver, 5).until(lambda one, at=number: current(one) == at)
    assert driver.execute_script("return window.broken") is None
    assert driver.title == title != "broken"
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []
    odd = "iframe, object, embed, base, [onerror], [onload], [href^=javascript], #x-detail script, main script"
    assert driver.find_elements(By.CSS_SELECTOR, odd) == []
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert explored.ATTACKS[0] in driver.find_element(By.TAG_NAME, "h1").text
    driver.set_window_size(500, 900)
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    driver.set_window_size(1400, 1000)


@pytest.fixture(scope="module")
def boards() -> str:
    return render_page([ranked.a_board(), ranked.a_board(measure="utility"), ranked.a_board(suite="other")])


def test_a_leaderboard_sorts_tells_its_history_and_asks_nothing(opened: OPEN, boards: str) -> None:
    driver = opened(boards, "")
    names = "#s-toy .board tbody th bdi"
    assert texts(driver, names)[:3] == ["first", "untuned", "last"]
    driver.find_element(By.CSS_SELECTOR, "#s-toy .board thead th:first-child button").send_keys(Keys.ENTER)
    assert texts(driver, names)[:3] == ["last", "untuned", "first"]
    line = driver.find_element(By.CSS_SELECTOR, "#s-toy .past")
    driver.execute_script("arguments[0].focus()", line)
    assert driver.find_element(By.ID, "tip").text == line.get_attribute("aria-label")
    driver.find_element(By.CSS_SELECTOR, "nav a[href='#s-other']").click()
    assert driver.current_url.endswith("#s-other")
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []


def test_a_board_fits_a_small_screen_and_keeps_its_names_in_view_on_a_phone(opened: OPEN) -> None:
    names = ("retriever-bm25-mixed-late-interaction-generator", "bm25-mixed-late-interaction-generator", "untuned")
    rows = [
        row.model_copy(update={"label": name, "tunes": ("retriever", "generator")})
        for row, name in zip(ranked.a_board().rows, names, strict=True)
    ]
    driver = opened(render_page([ranked.a_board(rows=tuple(rows))]), "")
    box = "const box = document.querySelector('.board').closest('.scroll'); "
    driver.set_window_size(1280, 900)
    assert driver.execute_script(f"{box} return box.scrollWidth <= box.clientWidth")
    driver.set_window_size(500, 900)
    driver.execute_script(f"{box} box.scrollLeft = 300")
    name = "document.querySelector('.board tbody th').getBoundingClientRect().left"
    assert driver.execute_script(f"{box} return {name} >= box.getBoundingClientRect().left - 1")
    driver.set_window_size(1400, 1000)


def test_a_hostile_leaderboard_executes_nothing_and_breaks_no_layout(opened: OPEN) -> None:
    attack = " ".join(explored.ATTACKS)
    rows = tuple(row.model_copy(update={"label": attack}) for row in ranked.a_board().rows)
    words = dict.fromkeys(("suite", "title", "machine", "reason", "accepted"), attack)
    driver = opened(render_page([ranked.a_board(**words, rows=rows, unranked=(attack,))]), "")
    assert driver.execute_script("return window.broken") is None
    assert driver.title == "Leaderboard"
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []
    assert explored.ATTACKS[0] in driver.find_element(By.TAG_NAME, "h2").text
    for width in (1400, 500):
        driver.set_window_size(width, 1000)
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    driver.set_window_size(1400, 1000)


@pytest.fixture(scope="module")
def diagnosis() -> str:
    return render_diagnosis_html(diagnosed.diagnosis())


@pytest.fixture(scope="module")
def checked() -> str:
    """The page of an outcome whose pipeline was diagnosed."""
    outcome = diagnosed.outcome()
    return render_html(outcome, explored.evidence(outcome))


def test_a_diagnosis_sorts_tells_its_marks_and_asks_nothing(opened: OPEN, diagnosis: str) -> None:
    driver = opened(diagnosis, "")
    mark = driver.find_element(By.CSS_SELECTOR, "svg .mark")
    driver.execute_script("arguments[0].focus()", mark)
    assert driver.find_element(By.ID, "tip").text == mark.get_attribute("aria-label")
    head = driver.find_element(By.CSS_SELECTOR, "table thead button")
    head.send_keys(Keys.ENTER)
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort")
    for link in driver.find_elements(By.CSS_SELECTOR, "nav a"):
        target = str(link.get_attribute("href")).partition("#")[2]
        assert driver.find_element(By.ID, target).is_displayed()
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []


def test_an_outcome_that_was_predicted_shows_the_pictures_of_the_loss(opened: OPEN, checked: str) -> None:
    driver = opened(checked, "")
    heads = " ".join(texts(driver, "h2"))
    assert "Where the loss was" in heads
    assert "Predictions of the diagnosis, checked" in heads
    assert driver.get_log("browser") == []
    for width in (1400, 500):
        driver.set_window_size(width, 1000)
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    driver.set_window_size(1400, 1000)


def test_a_hostile_diagnosis_executes_nothing_and_breaks_no_layout(opened: OPEN) -> None:
    driver = opened(render_diagnosis_html(diagnosed.hostile(explored.ATTACKS)), "")
    assert driver.execute_script("return window.broken") is None
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []
    for width in (1400, 500):
        driver.set_window_size(width, 1000)
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    driver.set_window_size(1400, 1000)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page on which a person reviews synthetic questions."""
    place = tmp_path_factory.mktemp("questions")
    testset_author.filled(place)
    return review_page.render(review.shown(files.read(place)), "my-data")


def test_a_review_is_decided_by_keys_and_asks_nothing(opened: OPEN, questions: str) -> None:
    driver = opened(questions, "")
    first, second, _ = driver.find_elements(By.CSS_SELECTOR, "article")
    first.send_keys("a")
    second.send_keys("r")
    assert texts(driver, "#progress") == ["2 of 3 decided, 1 rejected"]
    driver.find_element(By.ID, "next").send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "q3"
    text = driver.find_element(By.ID, "t1")
    text.send_keys(" Really?")
    assert first.get_attribute("data-decision") == "edit"
    saved = driver.execute_script("return window.reviewAsCsv()")
    assert saved.startswith("\ufeff")
    assert 'Question 0 about grease? Really?","tallow"' in saved
    assert requests_of(driver) == []
    driver.execute_script("localStorage.clear()")


@pytest.mark.parametrize("kind", ["page", "boards", "diagnosis", "checked", "questions"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: OPEN, request: pytest.FixtureRequest, kind: str, scheme: str) -> None:
    driver = opened(request.getfixturevalue(kind), "")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    # The page's own policy refuses scripts that are added; the devtools are above it.
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found: dict[str, Any] = driver.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    assert found["passes"]
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_large_report_paints_within_two_seconds(opened: OPEN) -> None:
    base = combined.factorial()
    outcome = base.model_copy(update={"systems": base.systems[-10:]})
    driver = opened(render_html(outcome, explored.evidence(outcome, 2000, words=120)), "")
    paint = driver.execute_script("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 2000
    assert len(driver.find_elements(By.CSS_SELECTOR, "#x-list a")) == 50
    driver.find_element(By.ID, "x-more").click()
    assert len(driver.find_elements(By.CSS_SELECTOR, "#x-list a")) == 100
