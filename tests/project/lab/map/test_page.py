"""The map in a real browser: true, quick to read for everybody, and clear about what it can't do."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[browser]'")

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from grader.files import ROOT
from lab.errors import LabError
from lab.map.frame import show
from lab.map.pack import Packed, logits_of
from lab.map.page import render
from lab.pieces import Pieces
from tests.project.lab.map.conftest import attention_weights

HERE = Path(__file__).parent
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
TOOLS = HERE / "node_modules" / ".bin"
pytestmark = pytest.mark.skipif(
    not CHROMIUM or not DRIVER, reason="no Chromium here (Debian: apt-get install chromium chromium-driver)"
)
needs_tools = pytest.mark.skipif(not AXE.is_file(), reason="npm ci --prefix tests/project/lab/map was not run")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PANELS = ("embedding", "attention", "feed-forward", "stream", "next", "what-if", "learning")
LLAMA_PANELS = ("embedding", "positions", *PANELS[1:])
SWITCHES = ("causal-mask", "1-d", "attention-1", "head-2-1", "feed-forward-2")
TEXTS = [
    "t",
    "\n",
    " ",
    "the cat",
    "the cat sat on the mat",
    "on the mat, the cat sat",
    "Größe",
    "東京 ☂!",
    "mat, mat, mat",
    "!!!",
    "hat",
    "the\nthe",
    "cat on cat on cat on cat",
    "s",
    "sat",
    "e e e e e e e e",
    "ate a mat",
    "ö",
    "no hat on the mat",
    "the cat sat on the mat, Größe 東京 ☂!\n" * 3,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = Options()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_window_size(1440, 1000)
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[[Packed], Any]]:
    """Open a page from a file, as a friend would who got it by mail; at the end nothing may have gone wrong in it."""

    def opened(packed: Packed) -> Any:
        path = tmp_path / "map.html"
        path.write_text(render(packed), encoding="utf-8")
        browser.set_window_size(1440, 1000)
        browser.get(path.as_uri())
        return browser

    yield opened
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def write(browser: Any, text: str) -> None:
    """Put a text in the place of the one that is there, as typing does."""
    browser.execute_script(
        "const t = document.getElementById('text'); t.value = arguments[0]; t.dispatchEvent(new Event('input'));", text
    )


@pytest.fixture(scope="module")
def made(text_run: Callable[..., Any]) -> Any:
    return text_run()


@pytest.fixture(scope="module")
def llama(text_run: Callable[..., Any]) -> Any:
    return text_run(architecture="llama")


@pytest.mark.parametrize("which", ["made", "llama"])
def test_logits_of_twenty_texts_are_those_of_pytorch(
    open_page: Callable[[Packed], Any], which: str, request: pytest.FixtureRequest
) -> None:
    task, model, _, packed = request.getfixturevalue(which)
    browser = open_page(packed)
    assert "are those of the reference's model" in browser.find_element("id", "agrees").text
    for text in TEXTS:
        known = "".join(char for char in text if char in task.corpus.alphabet)
        write(browser, text)
        ids = list(task.tokenizer.encode(known))[-model.config.context_length :]
        assert browser.execute_script("return map.ids") == ids
        mine = torch.tensor(browser.execute_script("return Array.from(map.now.logits)"))
        seen = torch.tensor([ids])
        torch.testing.assert_close(mine, logits_of(model, seen)[0].flatten(), atol=1e-3, rtol=0)
        looks = browser.execute_script("return map.now.blocks.map((b) => Array.from(b.weights))")
        theirs = torch.tensor(attention_weights(model, seen))
        torch.testing.assert_close(torch.tensor(looks).to(theirs), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("which", ["made", "llama"])
def test_greedy_text_is_that_of_exercise_15(
    open_page: Callable[[Packed], Any], which: str, request: pytest.FixtureRequest, pieces: Pieces
) -> None:
    task, model, _, packed = request.getfixturevalue(which)
    browser = open_page(packed)
    write(browser, "the cat")
    start = torch.tensor([task.tokenizer.encode("the cat")])
    written = browser.execute_script(
        "map.knobs = {temperature: 0, topK: null, topP: null}; map.views.length = 0;"
        "for (let i = 0; i < 200; i++) document.getElementById('one').click(); return map.all"
    )
    assert written == pieces.sampling.generate(model, start, 200, temperature=0)[0].tolist()


def test_in_a_notebook_it_lives_in_a_frame(browser: Any, made: Any, tmp_path: Path) -> None:
    _, _, run, packed = made
    run.checkpoint.touch()
    with pytest.raises(LabError, match="make map RUN_NAME=cats"):
        show(root=run.folder.parent)
    run.map.write_text(render(packed), encoding="utf-8")
    page = tmp_path / "notebook.html"
    frame = show(root=run.folder.parent)._repr_html_()
    page.write_text(f"<!doctype html><meta charset=utf-8>{frame}", encoding="utf-8")
    browser.get(page.as_uri())
    browser.switch_to.frame(0)
    write(browser, "the cat sat")
    assert browser.execute_script("return map.ids.length") == len("the cat sat")
    browser.switch_to.default_content()


def test_a_model_that_computes_something_else_is_told(open_page: Callable[[Packed], Any], made: Any) -> None:
    _, _, _, packed = made
    check = packed.data["check"]
    other = {**packed.data, "check": {**check, "logits": [value + 0.5 for value in check["logits"]]}}
    browser = open_page(Packed(other, packed.weights, packed.title, packed.facts, packed.provenance))
    assert browser.find_element("id", "agrees").text.startswith("Careful: ")


def test_what_the_model_cannot_read_is_said_and_nothing_is_lost(open_page: Callable[[Packed], Any], made: Any) -> None:
    browser = open_page(made[3])
    write(browser, "the cat Q")
    assert 'has never seen "Q"' in browser.find_element("id", "problem").text
    assert browser.find_element("id", "text").get_attribute("value") == "the cat Q"
    write(browser, "")
    assert "needs something to go on with" in browser.find_element("id", "problem").text
    write(browser, "the cat sat on the mat")
    assert "sees the last 16 tokens; the 6 before" in browser.find_element("id", "problem").text


@pytest.mark.parametrize(("which", "panels"), [("made", PANELS), ("llama", LLAMA_PANELS)])
def test_the_keyboard_alone_is_enough(
    open_page: Callable[[Packed], Any], which: str, panels: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    browser = open_page(request.getfixturevalue(which)[3])
    write(browser, "the cat")
    browser.execute_script("document.querySelector('#tokens [aria-pressed=true]').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert browser.execute_script("return [map.focus, document.activeElement.textContent]") == [5, "a"]
    browser.execute_script("document.getElementById('tab-attention').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script("return map.panel") == "feed-forward"
    assert [tab.get_attribute("id") for tab in browser.find_elements("css selector", "[role=tab]")] == [
        f"tab-{name}" for name in panels
    ]
    for name in panels[:-1]:
        browser.find_element("id", f"tab-{name}").send_keys(Keys.ENTER)
        cell = browser.find_element("css selector", "#panel td[tabindex='0']")
        cell.send_keys(Keys.ARROW_DOWN)
        assert browser.execute_script("return document.activeElement.matches('#panel td')"), name
        reason = browser.switch_to.active_element.get_attribute("data-why")
        assert reason in [line.text for line in browser.find_elements("css selector", "#panel .explain")], name


def test_writing_is_repeated_by_its_seed(open_page: Callable[[Packed], Any], made: Any) -> None:
    browser = open_page(made[3])
    texts = []
    for _ in range(2):
        write(browser, "the")
        for _ in range(25):
            browser.find_element("id", "one").click()
        texts.append(browser.execute_script("return map.text"))
    assert texts[0] == texts[1]
    assert len(texts[0]) == 28
    browser.find_element("id", "write").click()
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script("return map.all.length") > 30)
    browser.find_element("id", "write").click()
    assert browser.find_element("id", "write").text == "Write"


@pytest.mark.parametrize(
    ("which", "switches"),
    [("made", ("positions", *SWITCHES)), ("llama", ("rotary-positions", "gate", "kv-1-2", *SWITCHES))],
)
def test_switching_off_changes_the_answer_and_can_be_taken_back(
    open_page: Callable[[Packed], Any], which: str, switches: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    browser = open_page(request.getfixturevalue(which)[3])
    write(browser, "the cat")
    intact = browser.execute_script("return Array.from(map.now.logits)")
    browser.find_element("id", "tab-what-if").click()
    for switch in switches:
        browser.find_element("id", f"switch-{switch}").click()
        assert browser.find_element("id", f"switch-{switch}").get_attribute("aria-pressed") == "false"
        assert browser.execute_script("return Array.from(map.now.logits)") != intact
        browser.find_element("id", f"switch-{switch}").click()
        assert browser.execute_script("return Array.from(map.now.logits)") == intact


def test_the_picture_of_a_llama_names_what_built_it(open_page: Callable[[Packed], Any], llama: Any) -> None:
    browser = open_page(llama[3])
    assert browser.title == "The reference's Llama from a bird's eye"
    labels = browser.execute_script(
        "return Array.from(document.querySelectorAll('.stage'), (stage) =>"
        "  [stage.querySelector('b').textContent, stage.querySelector('small').textContent])"
    )
    blocks = [
        part for layer in (1, 2) for part in ([f"Attention {layer}", "ex18, ex20"], [f"Feed-forward {layer}", "ex19"])
    ]
    expected = [["Tokens", "ex02"], ["Embed", "ex03"], *blocks, ["Norm + head", "ex22"]]
    assert labels == [[name, f"{exercises} · the reference's"] for name, exercises in expected]


def test_only_the_distance_of_two_tokens_counts_to_rotary_positions(
    open_page: Callable[[Packed], Any], llama: Any
) -> None:
    browser = open_page(llama[3])
    write(browser, "the cat sat")
    browser.find_element("id", "tab-positions").click()
    rows = browser.execute_script(
        "const table = document.querySelectorAll('#panel table')[1];"
        "return Array.from(table.rows, (row) => Array.from(row.cells, (cell) => cell.textContent)).slice(1)"
    )
    at, looked = int(rows[0][1]), int(rows[0][2])
    score = browser.execute_script("return map.now.blocks[0].scores[arguments[0]]", at * len("the cat sat") + looked)
    width = llama[1].config.d_model // llama[1].config.n_heads
    assert float(rows[0][4].replace("−", "-")) == pytest.approx(score * width**0.5, abs=0.06)
    assert [row[4] == rows[0][4] for row in rows] == [True, True, True, False, False]


@needs_tools
@pytest.mark.parametrize("width", [1440, 1024, 390, 320])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    open_page: Callable[[Packed], Any], made: Any, llama: Any, word_run: Any, width: int
) -> None:
    for packed, panels in ((made[3], PANELS), (llama[3], LLAMA_PANELS), (word_run[1], ())):
        browser = open_page(packed)
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        try:
            for scheme in ("light", "dark"):
                browser.execute_cdp_cmd(
                    "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                )
                for panel in panels if width == 1440 or scheme == "light" else panels[:1]:
                    browser.find_element("id", f"tab-{panel}").click()
                    assert violations(browser) == [], (panel, scheme)
                assert violations(browser) == [], scheme
                wide = browser.execute_script("return document.documentElement.scrollWidth")
                assert wide <= width
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(browser: Any) -> list[str]:
    """What axe-core finds: rule, and the elements. It comes in through the debugger, past the page's own policy."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = browser.execute_async_script("axe.run().then((r) => arguments[0](r.violations))")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found]


def test_the_original_transformer(open_page: Callable[[Packed], Any], word_run: Any, pieces: Any) -> None:
    from lab.reversal import BOS, EOS, LONGEST, encode, spell

    model, packed = word_run
    browser = open_page(packed)
    for word in ("bird", "a", "abcdefghijkl"):
        write(browser, word)
        written = spell(pieces.transformer.greedy_decode(model, encode([word]), BOS, EOS, LONGEST)[0].tolist())
        assert browser.find_element("css selector", "#answer b").text == written.replace("?", "BOS")
    write(browser, "Bird")
    assert '"B" is none of them' in browser.find_element("id", "problem").text
    write(browser, "a" * 13)
    assert "up to 12 letters" in browser.find_element("id", "problem").text


@needs_tools
def test_the_javascript_is_typed_and_linted() -> None:
    for command in (
        [str(TOOLS / "tsc"), "-p", str(HERE / "tsconfig.json")],
        [str(TOOLS / "eslint"), "-c", str(HERE / "eslint.config.js"), "lab/map/page"],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout + done.stderr
    package = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    assert all(version[0].isdigit() for version in package["devDependencies"].values())  # pinned
