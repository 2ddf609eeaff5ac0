"""The glossary: every word stands in the lesson that it is said to come from, and the page is what the words make."""

from __future__ import annotations

import ast
import re

import pytest

from grader.content.syllabus import Entry
from grader.staff.glossary import PAGE, page, terms


@pytest.mark.parametrize(("word", "meaning", "entry"), [pytest.param(*term, id=term[0]) for term in terms()])
def test_a_word_stands_in_the_lesson_that_introduces_it(word: str, meaning: str, entry: Entry):
    lesson = " ".join((ast.get_docstring(ast.parse(entry.solution.read_text(encoding="utf-8"))) or "").split())
    assert re.search(rf"(?<!\w){re.escape(word)}(s|es)?(?!\w)", lesson, re.IGNORECASE), entry.label
    assert meaning.endswith("."), "a sentence"
    assert "|" not in meaning


def test_each_word_stands_once():
    words = [word.lower() for word, _, _ in terms()]
    assert len(set(words)) == len(words)


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "make it anew: python -m grader.staff.glossary"
