"""The text of a source: in the encoding that it is in, with the line ends that Python has."""

from __future__ import annotations

import io
import tokenize

from grader.staff.intake.reasons import Refused


def decoded(raw: bytes) -> tuple[str, str]:
    """The text of a source, and what to say of its encoding if that is not UTF-8.

    It is UTF-8, UTF-16 with a mark, the encoding that the source declares, or else Latin-1.

    Raises:
        Refused: no Python source can be that.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        return _lines(_in(raw, "utf-8-sig")), ""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _lines(_in(raw, "utf-16")), "is in UTF-16; it was read as such"
    try:
        return _lines(raw.decode("utf-8")), ""
    except UnicodeDecodeError:
        pass
    try:
        declared, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    except (SyntaxError, UnicodeError):
        declared = "latin-1"
    encoding = "latin-1" if declared.startswith("utf-8") else declared
    return _lines(_in(raw, encoding)), f"is not UTF-8; it was read as {encoding}"


def _in(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except (LookupError, ValueError):
        raise Refused(f"it is not text in the encoding {encoding}. Save it as UTF-8") from None


def _lines(text: str) -> str:
    if "\0" in text:
        raise Refused("it holds NUL bytes, so it is not text. Save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
