"""Lessons as Markdown: what stands in a module's docstring, with its formulas as mathematics."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grader.errors import GraderError
from grader.nb.content import Formula

UNDERLINE = re.compile(r"-{3,}|={3,}")
CODE = re.compile(r"(`[^`]+`)")


@dataclass(frozen=True)
class Section:
    """A part of a lesson under a heading of its own; the first one has the lesson's title."""

    title: str
    markdown: str


def sections(docstring: str, formulas: Sequence[Formula] = (), links: Mapping[str, str] | None = None) -> list[Section]:
    """A lesson as Markdown, section by section.

    Args:
        docstring: the lesson.
        formulas: lines of it that are shown as mathematics.
        links: addresses of what it names, by title; each is linked where it is named first in a section.

    Raises:
        GraderError: a formula does not stand in the lesson, or more than once.
    """
    for formula in formulas:
        if docstring.count(formula.text) != 1:
            raise GraderError(f"the lesson has this formula {docstring.count(formula.text)} times: {formula.text}")
    title, _, rest = docstring.strip().partition("\n")
    found = [Section(title, "")]
    lines: list[str] = []
    for line in [*rest.splitlines(), "", "---"]:
        if UNDERLINE.fullmatch(line.strip()) and lines:
            heading = lines.pop()
            body = _markdown(lines, formulas)
            last = found.pop()
            found += [Section(last.title, _linked(body, links or {})), Section(heading.strip(), "")]
            lines = []
        else:
            lines.append(line)
    return found[:-1]


def _markdown(lines: Sequence[str], formulas: Sequence[Formula]) -> str:
    parts = (part for block, diagram in _blocks(lines) for part in _block(block, diagram, formulas))
    return "\n\n".join(part for part in parts if part.strip())


def _blocks(lines: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Paragraphs, examples and diagrams, and whether each is a diagram: all that is indented after a double colon."""
    block: list[str] = []
    diagram = False
    for line in lines:
        if (line.startswith(" ") or not line.strip()) if diagram else line.strip():
            block.append(line)
        else:
            if block:
                yield block, diagram
                diagram = not diagram and block[-1].rstrip().endswith("::")
            block = [line] if line.strip() else []
    if block:
        yield block, diagram


def _block(block: list[str], diagram: bool, formulas: Sequence[Formula]) -> Iterator[str]:
    text = "\n".join(block).rstrip()
    if diagram:
        yield from _diagram(text, formulas)
    elif block[0].startswith(">>> "):
        yield f"```pycon\n{text}\n```"
    else:
        yield _prose(_lead(text))


def _lead(text: str) -> str:
    """A paragraph without the two colons that announce a diagram: one is shown, or none if a space stands before."""
    before = text.removesuffix("::")
    if before == text:
        return text
    return before.rstrip() if before[-1:].isspace() else f"{before}:"


def _diagram(text: str, formulas: Sequence[Formula]) -> Iterator[str]:
    """A diagram as it is, but for the formulas in it."""
    text = textwrap.dedent(text).strip("\n")
    for formula in formulas:
        wanted = textwrap.dedent(formula.text)
        if wanted in text:
            before, _, after = text.partition(wanted)
            yield from _fenced(before)
            yield f"$$\n{formula.tex}\n$$"
            yield from _diagram(after.partition("\n")[2], formulas)
            return
    yield from _fenced(text)


def _fenced(text: str) -> Iterator[str]:
    if text.strip():
        yield f"```text\n{textwrap.dedent(text).strip(chr(10))}\n```"


def _prose(text: str) -> str:
    """A paragraph or a list, with all that Markdown would take for more than it is made harmless."""
    parts = CODE.split(text)
    for place in range(0, len(parts), 2):
        plain = re.sub(r"(?<=\w)\*(?=\w)", r"\\*", parts[place])
        plain = re.sub(r"<(?=[A-Za-z/!])", "&lt;", plain)
        parts[place] = plain.replace("$", r"\$")
    return "".join(parts)


def _linked(markdown: str, links: Mapping[str, str]) -> str:
    """The first mention of each title as a link; titles may be broken over two lines."""
    for title, address in links.items():
        pattern = r"(?<!\[)" + r"\s+".join(map(re.escape, title.split()))
        markdown = re.sub(pattern, lambda match, to=address: f"[{match[0]}]({to})", markdown, count=1)  # type: ignore[misc]
    return markdown
