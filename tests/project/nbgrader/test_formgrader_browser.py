"""The formgrader in a real browser: a person gives a score and writes a comment, and the student reads both."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")
pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[browser]'")

from grader.sandbox.levels import probe
from tests.project.nbgrader.conftest import Course, wrong
from tests.project.nbgrader.submissions import answer

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
LEVEL = probe()
pytestmark = [
    pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing)),
    pytest.mark.skipif(
        not CHROMIUM or not DRIVER, reason="no Chromium here (Debian: apt-get install chromium chromium-driver)"
    ),
]
PATIENCE = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,1600",
)


@pytest.fixture
def server(course: Course, tmp_path: Path) -> Iterator[str]:
    """Jupyter with the formgrader, in the folder of the course."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=True",
    ]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    log = (tmp_path / "server.log").open("w+b")
    process = subprocess.Popen(command, cwd=course.root, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{address}/formgrader", timeout=5).read()
                break
            except OSError:
                log.seek(0)
                assert time.monotonic() < end and process.poll() is None, log.read().decode(errors="replace")
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Chromium with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def test_a_score_and_a_comment_from_the_browser_reach_the_student(
    course: Course, request: pytest.FixtureRequest
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    text = "It stays at 27.6 <script>document.title = 'taken over'</script> however wrong the model is."
    course.hand_in("ada", wrong(), answer(course.notebook(), text))
    course.autograde("ada")
    address = request.getfixturevalue("server")
    browser = request.getfixturevalue("browser")
    wait = WebDriverWait(browser, PATIENCE)

    def there(how: str, what: str) -> Any:
        return wait.until(lambda driver: next((e for e in driver.find_elements(how, what) if e.is_displayed()), None))

    browser.get(f"{address}/formgrader/gradebook")
    there(By.LINK_TEXT, course.name).click()
    there(By.LINK_TEXT, course.name).click()  # its only notebook
    there(By.PARTIAL_LINK_TEXT, "Submission #1").click()
    there(By.CSS_SELECTOR, "input.score")
    page = browser.find_element(By.TAG_NAME, "body").text
    assert "ex01_softmax.py, as it was handed in" in page
    assert "What the hidden checks test is not shown." in page
    assert "taken over" not in browser.title
    score = browser.find_elements(By.CSS_SELECTOR, "input.score")[-1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", score)
    score.clear()
    score.send_keys("3", Keys.TAB)
    comment = browser.find_elements(By.CSS_SELECTOR, "textarea.comment")[-1]
    comment.send_keys("Well seen; and what becomes of the gradient?", Keys.TAB)
    wait.until(lambda _: saved(course) == (3.0, "Well seen; and what becomes of the gradient?"))
    shot = os.environ.get("STUBFORMER_SCREENSHOT")  # for whoever wants to look
    if shot:
        browser.save_screenshot(shot)

    feedback = course.feedback("ada")
    assert "Well seen; and what becomes of the gradient?" in feedback
    points = course.points("ada") + 3
    assert f"(Score: {points}" in feedback.replace("\n", " ").replace("  ", "")


def saved(course: Course) -> tuple[float | None, str | None]:
    """What the gradebook holds of the question."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as gradebook:
        names = ("in-your-own-words", course.name, course.name, "ada")
        return gradebook.find_grade(*names).manual_score, gradebook.find_comment(*names).manual_comment
