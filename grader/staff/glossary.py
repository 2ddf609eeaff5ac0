"""The glossary: the words of the field, each with the lesson that introduces it (`python -m grader.staff.glossary`)."""

from __future__ import annotations

from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import ROOT, read_toml, write_atomically

SOURCE = ROOT / "exercises" / "glossary.toml"
PAGE = ROOT / "docs" / "glossary.md"
HEAD = """# Glossary

The words of the field, and the lesson that introduces each.
(Made of `exercises/glossary.toml`: `python -m grader.staff.glossary`.)

| word | what it means | lesson |
|---|---|---|
"""


def terms() -> list[tuple[str, str, Entry]]:
    """Each word with what it means and the exercise that introduces it, in the order of the alphabet.

    Raises:
        GraderError: the file is damaged, or names no exercise.
    """
    entries = {entry.stem: entry for entry in load()}
    found = []
    for stem, words in read_toml(SOURCE).items():
        if stem not in entries:
            raise GraderError(f"{SOURCE}: {stem} is not an exercise.")
        found += [(word, meaning, entries[stem]) for word, meaning in words.items()]
    return sorted(found, key=lambda term: term[0].lower())


def page() -> str:
    """The page as Markdown."""
    rows = (
        f"| **{word}** | {meaning} | [{entry.label}, {entry.title}](../exercises/{entry.stub.name}) |\n"
        for word, meaning, entry in terms()
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    write_atomically(PAGE, page())
