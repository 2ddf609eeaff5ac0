"""map: a keystroke in the map of a GPT and of a Llama, and the speed of writing, beside PyTorch on one core.

Both have the size of the demo's model. It needs Chromium and its driver; where they are missing, it gives no rows and
says so.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.measure import Row
from lab import corpora, runs
from lab.map.write import write_map
from lab.pieces import open_pieces
from lab.recipes import model_sizes, train_options
from lab.tasks import TEXT

KEYS = 40  # keystrokes of one measurement
WRITTEN = 100  # tokens


def rows(count: int) -> Iterator[Row]:
    """Medians over keystrokes at a full context: wall time from the key until all is drawn."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        print("map: no Chromium here, so nothing was measured")
        return
    torch.set_num_threads(1)
    for architecture, name in runs.MODELS.items():
        yield from rows_of(architecture, "map" if architecture == "gpt" else f"map of a {name}", count)


def rows_of(architecture: str, name: str, count: int) -> Iterator[Row]:
    """The same of one model."""
    with tempfile.TemporaryDirectory() as folder:
        path, model, ids = page(Path(folder), architecture)
        browser = chromium()
        try:
            opened = []
            for _ in range(count):
                started = time.perf_counter()
                browser.get(path.as_uri())
                browser.execute_script("return map.now.logits.length")
                opened.append(time.perf_counter() - started)
            keys = [browser.execute_script(TYPE, KEYS) for _ in range(count)]
            speeds = [browser.execute_script(WRITE, WRITTEN) for _ in range(count)]
        finally:
            browser.quit()
    with torch.no_grad():
        forward = [timed(lambda: model(ids)) for _ in range(10 * count)]
    theirs = 1000 * statistics.median(forward)
    each = statistics.median(time for times in keys for time in times)
    yield Row(f"{name}: a keystroke", each, theirs, "ms", KEYS * count, "theirs: the forward pass alone")
    yield Row(f"{name}: tokens written a second", statistics.median(speeds), None, "1/s", count)
    yield Row(f"{name}: opened and ready", statistics.median(opened), None, "s", count)


TYPE = """
const text = document.getElementById('text'), times = [];
text.value = map.data.begin.repeat(9).slice(0, map.model.config.context_length - 1);
for (let i = 0; i < arguments[0]; i++) {
  const one = map.data.begin[i % map.data.begin.length];
  text.value = (i % 2 ? one : '') + text.value.slice(i % 2 ? 0 : 1);
  const began = performance.now();
  text.dispatchEvent(new Event('input'));
  document.body.offsetHeight;
  times.push(performance.now() - began);
}
return times;
"""
WRITE = """
const began = performance.now();
for (let i = 0; i < arguments[0]; i++) { document.getElementById('one').click(); document.body.offsetHeight; }
return 1000 * arguments[0] / (performance.now() - began);
"""


def page(folder: Path, architecture: str) -> tuple[Path, Any, torch.Tensor]:
    """A map of a model of the reference in the demo's sizes, untrained: that costs the page the same."""
    corpus = corpora.load()
    with open_pieces(None) as pieces:
        tokenizer = pieces.capstone.build_tokenizer(corpus.text)
        options = train_options(pieces.training.TrainConfig(), {}, seed=0)
        sizes = model_sizes(pieces.capstone.build_model, {})
        task = TEXT[architecture](pieces, corpus, tokenizer, sizes, options, torch.device("cpu"))
        task.sizes = task.settled(sizes)
        model = task.build_model()
        about = {
            "task": "text",
            "architecture": architecture,
            "recipe": options,
            "model": dict(task.sizes),
            "pieces": {"exercises": None, "borrowed": []},
        }
        run = runs.create(folder, "bench", "bench", about)
        path = write_map(task, model, run, {"step": 0, "history": []})
        ids = torch.tensor([tokenizer.encode(corpus.text)[: sizes["context_length"]]])
        return path, model, ids


def chromium() -> Any:
    """A browser without a window."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    browser.set_window_size(1440, 1000)
    return browser


def timed(call: Any) -> float:
    """Return how many seconds a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
