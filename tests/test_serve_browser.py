"""The page of `harness serve` in Chromium, asked as a person asks it; see `test_browser` for what is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import explored
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from served import Pretended, app_of, found, serving
from test_browser import AXE, chromium, texts

from harness.llm import Reply
from harness.serving.access import Access
from harness.serving.app import App, question_id

__all__ = ["chromium"]
pytestmark = pytest.mark.browser

QUESTION = "Which valve closes the pump?"
ASKED = question_id(QUESTION)
SIZES = (1400, 400)
Open = Callable[..., webdriver.Chrome]


def systems() -> dict[str, Any]:
    staged = Pretended("staged (seed 0)", lambda text: Reply(f"By hand: {text}", cut=True))
    return {"untuned": Pretended(), "staged:0": staged}


class Running:
    """The server of a test."""

    def __init__(self) -> None:
        self.context: Any = None
        self.address = "none"

    def start(self, given: Any) -> str:
        self.context = serving(given)
        self.address = f"http://127.0.0.1:{self.context.__enter__().server_port}/"
        return self.address

    def end(self) -> None:
        if self.context is not None:
            self.context.__exit__(None, None, None)


@pytest.fixture
def opened(chromium: webdriver.Chrome) -> Iterator[Open]:
    """Open the page of some systems; a request to another server is a failure."""
    running = Running()

    def go(given: Any = None) -> webdriver.Chrome:
        address = running.start(systems() if given is None else given)
        chromium.get("about:blank")
        for kind in ("browser", "performance"):
            chromium.get_log(kind)
        chromium.get(address)
        ready = "return document.documentElement.classList.contains('scripted')"
        WebDriverWait(chromium, 20).until(lambda one: one.execute_script(ready))
        return chromium

    try:
        yield go
        chromium.execute_script("sessionStorage.clear()")
        assert [url for url in requests_of(chromium) if not url.startswith(running.address)] == []
    finally:
        running.end()


def requests_of(driver: webdriver.Chrome) -> list[str]:
    """Addresses of all requests since the last look, but for data in the page."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "blob:", "about:"))]


def ask(driver: webdriver.Chrome, text: str = QUESTION) -> None:
    """Type a question and press Enter, and wait for all that comes back."""
    field = driver.find_element(By.ID, "question")
    field.clear()
    field.send_keys(text, Keys.ENTER)
    done = "return [...document.querySelectorAll('.side .content')].every((one) => one.children.length)"
    WebDriverWait(driver, 10).until(lambda one: one.execute_script(done))


def saved(driver: webdriver.Chrome, name: str) -> str:
    return str(driver.execute_script("return window.askedAsFile(arguments[0])", name))


@contextmanager
def sized(driver: webdriver.Chrome, width: int) -> Iterator[None]:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def fits(driver: webdriver.Chrome) -> bool:
    return bool(driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_question_is_asked_and_answered_with_the_keyboard_alone(opened: Open) -> None:
    driver = opened()
    assert texts(driver, ".systems dt") == ["untuned", "staged (seed 0)"]
    ActionChains(driver).send_keys(Keys.TAB).perform()
    assert driver.switch_to.active_element.get_attribute("class") == "skip"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    ActionChains(driver).send_keys("Which valve").key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(
        Keys.SHIFT
    ).send_keys("closes?", Keys.ENTER).perform()
    WebDriverWait(driver, 10).until(lambda one: len(texts(one, ".answer")) == 2)
    assert driver.find_element(By.ID, "shown").text == "Which valve\ncloses?"
    assert texts(driver, ".answer") == ["You asked: Which valve\ncloses?", "By hand: Which valve\ncloses?"]
    assert "The answer was cut off at the limit of tokens." in texts(driver, ".side .note")
    assert texts(driver, ".side:first-child .times dt") == ["search", "rerank", "answer", "total"]
    assert texts(driver, ".side:first-child .times dd") == ["12 ms", "3.2 ms", "1235 ms", "1250 ms"]
    sides = driver.find_elements(By.CSS_SELECTOR, ".side")
    assert [len(side.find_elements(By.CSS_SELECTOR, ".hits > li")) for side in sides] == [10, 10]
    assert texts(driver, ".side:first-child .facts")[0].startswith("manual-0")
    assert len(texts(driver, ".side:first-child .facts .shown")) == 2
    heard = [str(one.get_attribute("textContent")) for one in driver.find_elements(By.CSS_SELECTOR, "#log p")]
    assert {text.partition(":")[0] for text in heard[1:]} == {"untuned", "staged (seed 0)"}
    assert driver.switch_to.active_element.get_attribute("id") == "question", "the next question can be typed"
    assert driver.get_log("browser") == []


def test_ticks_are_shared_by_the_systems_and_saved_as_judgements(opened: Open, tmp_path: Path) -> None:
    driver = opened()
    ask(driver)
    assert driver.find_element(By.ID, "save-qrels").get_attribute("disabled")
    box = driver.find_element(By.CSS_SELECTOR, ".side:first-child .hits li:nth-child(2) input")
    driver.execute_script("arguments[0].focus()", box)
    box.send_keys(Keys.SPACE)
    assert driver.find_element(By.CSS_SELECTOR, ".side:last-child .hits li:nth-child(2) input").is_selected()
    assert len(texts(driver, ".hits li.relevant")) == 2
    ask(driver, "And which pump?")
    WebDriverWait(driver, 5).until(lambda one: not one.find_elements(By.CSS_SELECTOR, ".hits li.relevant"))
    assert texts(driver, "#asked .note") == ["1 relevant", "0 relevant"]
    rows = [json.loads(line) for line in saved(driver, "queries.jsonl").splitlines()]
    told = {"source": "harness serve", "conversation": ASKED}
    assert rows[0] == {"_id": ASKED, "text": QUESTION, "metadata": told}
    assert [row["text"] for row in rows] == [QUESTION, "And which pump?"]
    assert saved(driver, "qrels.tsv") == f"query-id\tcorpus-id\tscore\n{ASKED}\tmanual-1\t1\n"
    assert not driver.find_element(By.ID, "save-spans").is_displayed()
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    for name in ("queries.jsonl", "qrels.tsv"):
        driver.find_element(By.ID, f"save-{name.split('.')[0]}").send_keys(Keys.ENTER)
        WebDriverWait(driver, 10).until(lambda _, path=tmp_path / name: path.is_file())
        assert (tmp_path / name).read_text(encoding="utf-8") == saved(driver, name)


def test_a_question_that_was_asked_comes_back_with_its_ticks_and_can_be_removed(opened: Open) -> None:
    driver = opened()
    ask(driver)
    driver.find_element(By.CSS_SELECTOR, ".hits input").click()
    driver.refresh()
    WebDriverWait(driver, 10).until(lambda one: len(texts(one, "#asked li")) == 1)
    driver.find_element(By.CSS_SELECTOR, "#asked button").send_keys(Keys.ENTER)
    WebDriverWait(driver, 10).until(lambda one: len(texts(one, ".hits li.relevant")) == 2)
    assert len(texts(driver, "#asked li")) == 1
    assert driver.switch_to.active_element.get_attribute("id") == "shown"
    driver.find_element(By.CSS_SELECTOR, "#asked button:last-child").send_keys(Keys.ENTER)
    assert not driver.find_element(By.ID, "session").is_displayed()
    assert saved(driver, "queries.jsonl") == ""
    assert driver.switch_to.active_element.get_attribute("id") == "question"
    driver.refresh()
    assert saved(driver, "queries.jsonl") == ""


def test_a_follow_up_sends_each_system_its_own_turns(opened: Open) -> None:
    given = systems()
    driver = opened(given)
    assert not driver.find_element(By.ID, "follow").is_displayed()
    ask(driver)
    box = driver.find_element(By.ID, "follow")
    WebDriverWait(driver, 5).until(lambda one: box.is_displayed())
    driver.execute_script("arguments[0].focus()", box)
    box.send_keys(Keys.SPACE)
    ask(driver, "And which pump?")
    ask(driver, "Both?")
    assert driver.find_element(By.ID, "question").get_attribute("value") == "", "the next turn can be typed"
    told = {
        name: [[(turn.role, turn.content) for turn in turns] for _, turns in one.asked] for name, one in given.items()
    }
    for name, word in (("untuned", "You asked"), ("staged:0", "By hand")):
        first, second, third = told[name]
        assert first == []
        assert second == [("user", QUESTION), ("assistant", f"{word}: {QUESTION}")]
        assert third == [*second, ("user", "And which pump?"), ("assistant", f"{word}: And which pump?")]
    shown = texts(driver, ".side:first-child .turns > li")
    assert shown[0] == f"user: {QUESTION}"
    assert len(shown) == 4
    rows = [json.loads(line) for line in saved(driver, "queries.jsonl").splitlines()]
    assert [row["text"] for row in rows] == [QUESTION, "And which pump?", "Both?"]
    assert {row["metadata"]["conversation"] for row in rows} == {ASKED}
    assert "history" not in rows[0]
    assert rows[1]["history"] == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": f"You asked: {QUESTION}"},
    ]
    assert len({row["_id"] for row in rows}) == 3, "one row for a question that both systems answered"
    box.click()
    ask(driver, "Alone?")
    assert not driver.find_elements(By.CSS_SELECTOR, ".turns")
    assert given["untuned"].asked[-1] == ("Alone?", ())
    driver.find_elements(By.CSS_SELECTOR, "#asked button")[2].click()
    WebDriverWait(driver, 5).until(lambda one: len(texts(one, ".side:last-child .turns > li")) == 2)
    assert driver.get_log("browser") == []


def test_a_question_without_an_answer_is_a_turn_all_the_same(opened: Open) -> None:
    mute = Pretended("mute", lambda text: Reply("", failure="HTTP 500"))
    given = {"mute": mute, "finder": Pretended("finder", lambda text: None)}
    driver = opened(given)
    ask(driver)
    driver.find_element(By.ID, "follow").click()
    ask(driver, "And then?")
    for one in given.values():
        assert [(turn.role, turn.content) for turn in one.asked[-1][1]] == [("user", QUESTION)]


def test_what_was_searched_for_is_told_where_turns_changed_it(opened: Open) -> None:
    rewriting = Pretended("rewriting")
    rewriting.searched = "Which valve closes the large pump?"
    driver = opened({"plain": Pretended("plain"), "rewriting": rewriting})
    ask(driver)
    assert not driver.find_elements(By.CSS_SELECTOR, ".side:first-child .searched")
    assert texts(driver, ".side:last-child .searched") == [rewriting.searched]


def test_ticked_chunks_are_saved_with_their_place(opened: Open) -> None:
    driver = opened({"chunks": Pretended("chunks", passages=found(12, chunks=True))})
    ask(driver)
    for place in (2, 3):
        driver.find_element(By.CSS_SELECTOR, f".hits li:nth-child({place}) input").click()
    assert driver.find_element(By.ID, "save-spans").is_displayed()
    assert [json.loads(line) for line in saved(driver, "spans.jsonl").splitlines()] == [
        {"query_id": ASKED, "doc_id": f"manual-{place}", "start": 10 * place, "end": 10 * place + 9} for place in (1, 2)
    ]
    assert saved(driver, "qrels.tsv").splitlines()[1:] == [f"{ASKED}\tmanual-1\t1", f"{ASKED}\tmanual-2\t1"]


def test_an_empty_question_and_a_word_that_is_being_composed_ask_nothing(opened: Open) -> None:
    driver = opened()
    field = driver.find_element(By.ID, "question")
    field.send_keys("  ", Keys.ENTER)
    assert driver.find_element(By.ID, "problem").text == "Write a question first."
    field.send_keys("にほん")
    composing = "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true}))"
    driver.execute_script(composing, field)
    assert not driver.find_element(By.ID, "result").is_displayed()
    assert not driver.find_element(By.ID, "session").is_displayed()
    driver.execute_script(composing.replace("true", "false"), field)
    assert driver.find_element(By.ID, "result").is_displayed()


def test_failures_are_sentences_beside_what_was_found(opened: Open) -> None:
    def broken(text: str) -> Any:
        raise ValueError("a prompt of 999 tokens does not fit")

    mute = Pretended("mute", lambda text: Reply("", failure="HTTP 500"))
    driver = opened({"mute": mute, "broken": Pretended("broken", broken)})
    ask(driver)
    assert texts(driver, ".failure") == ["No answer: HTTP 500", "a prompt of 999 tokens does not fit"]
    assert len(texts(driver, ".hits > li")) == 10


def test_a_server_that_cannot_be_reached_is_said_so(opened: Open) -> None:
    driver = opened()
    line: dict[str, Any] = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "offline": True})
    try:
        ask(driver)
    finally:
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "offline": False})
    assert texts(driver, ".failure") == ["The server does not answer. Is harness serve still running?"] * 2


def test_a_system_without_a_generator_shows_passages(opened: Open) -> None:
    driver = opened({"finder": Pretended("finder", lambda text: None)})
    ask(driver)
    assert not driver.find_elements(By.CSS_SELECTOR, ".answer")
    assert texts(driver, ".times dt") == ["search", "rerank", "total"]
    more = driver.find_element(By.CSS_SELECTOR, ".facts button")
    more.send_keys(Keys.ENTER)
    assert (more.text, more.get_attribute("aria-expanded")) == ("Show less", "true")


def test_each_passage_says_where_the_other_system_ranks_it(opened: Open) -> None:
    first = found(12)
    second = (first[1], first[0], *first[2:9], first[11])
    driver = opened({"one": Pretended("one", passages=first), "two": Pretended("two", passages=second)})
    ask(driver)
    WebDriverWait(driver, 5).until(lambda one: any(texts(one, ".other")))
    assert texts(driver, ".side:first-child .other") == [
        "rank 2 in two",
        "rank 1 in two",
        *[""] * 7,
        "not in the first 10 of two",
    ]
    assert texts(driver, ".side:last-child .other") == [
        "rank 2 in one",
        "rank 1 in one",
        *[""] * 7,
        "not in the first 10 of one",
    ]


def test_a_page_that_was_opened_with_the_token_may_ask(chromium: webdriver.Chrome) -> None:
    token = "a-token-of-some-length"
    with serving(systems(), Access(token)) as server:
        chromium.get(f"http://127.0.0.1:{server.server_port}/")
        assert not chromium.find_elements(By.ID, "question")
        chromium.get(f"http://anybody:{token}@127.0.0.1:{server.server_port}/")
        ask(chromium)
        assert len(texts(chromium, ".answer")) == 2
        chromium.execute_script("sessionStorage.clear()")
        chromium.get("about:blank")
    chromium.get_log("browser")


def hostile() -> App:
    attack = " ".join(explored.ATTACKS)
    passages = tuple(
        one._replace(passage_id=f"{attack}{one.passage_id}", title=attack, text=attack * 3) for one in found(5)
    )
    app = app_of({"a": Pretended(attack, lambda text: attack, passages), "b": Pretended("b", lambda text: "x" * 5000)})
    app.about = app.about._replace(suite=attack, title=attack, lines={"a": attack, "b": attack})
    return app


def test_hostile_text_executes_nothing_and_breaks_no_layout(opened: Open) -> None:
    driver = opened(hostile())
    ask(driver, " ".join(explored.ATTACKS))
    driver.find_element(By.CSS_SELECTOR, ".hits input").click()
    assert driver.execute_script("return window.broken") is None
    assert driver.get_log("browser") == []
    odd = "iframe, object, embed, base, [onerror], [onload], [href^=javascript], main script"
    assert driver.find_elements(By.CSS_SELECTOR, odd) == []
    for width in SIZES:
        with sized(driver, width):
            assert fits(driver), width


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Open, scheme: str, width: int) -> None:
    driver = opened()
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    with sized(driver, width):
        ask(driver)
        driver.find_element(By.CSS_SELECTOR, ".hits input").click()
        assert fits(driver)
        # The page's own policy refuses scripts that are added; the devtools are above it.
        driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        result: dict[str, Any] = driver.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    assert result["passes"]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in result["violations"]] == []
