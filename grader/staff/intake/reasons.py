"""Why something can't be read, in sentences that say what to do: one for each kind of failure, whatever raised it."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib

from grader.nb.reading import NoNotebook
from grader.staff.words import printable

TOO_MUCH = "it is too large or nested too deeply to be read. Hand in the exercises' files alone, and keep them simple"
NESTED = "something in it is nested too deeply. Take it apart: name the pieces and put them together"
LOCKED = "it is locked with a password. Pack it again without one"
METHOD = "it is packed by a method that is not opened here. Pack it again as a plain zip"
DAMAGED = "it is damaged, or not what its name says. Make it again and hand that in"
ENCODING = "its text is in no encoding that can be read. Save it as UTF-8"
ODD = "it is made in a way that can't be read here. Save it again, as a plain file, and hand that in"
BROKEN_FORMATS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


class Refused(ValueError):
    """Something that is not read, or not to its end; the message says why, and what to do."""


def reason(error: BaseException) -> str:
    """A sentence, without its full stop, on why something can't be read.

    What Python itself says of it tells a student little, and is for the instructor (`details`).
    """
    match error:
        case Refused() | NoNotebook():
            return printable(str(error))
        case MemoryError():
            return TOO_MUCH
        case RecursionError():
            return NESTED
        case NotImplementedError():
            return METHOD
        case RuntimeError() if "password" in str(error) or "encrypted" in str(error):
            return LOCKED
        case OSError(errno=int(), strerror=str(strerror)):
            return f"the system does not let it be read ({printable(strerror)}). Ask your instructor"
        case UnicodeError():
            return ENCODING
        case OSError() if "CRC" in str(error) or "gzip" in str(error) or "data stream" in str(error):
            return DAMAGED
    return DAMAGED if isinstance(error, BROKEN_FORMATS) else ODD


def details(what: object, error: BaseException) -> str:
    """Return what Python says, for the instructor; "" of what is refused by us: the sentence says it all."""
    if isinstance(error, Refused | NoNotebook):
        return ""
    return printable(f"{what}: {type(error).__name__}: {error}")
