"""The end of a part's log, cut so that its last line tells why the part died.

A traceback's last lines are often only the bottom of a box, "An exception occurred." or Go's
stacks; the line that names the cause stands above them.
"""

import os
import re
from pathlib import Path

READ_BYTES = 65_536  # from the end
CAUSE_LINES = 60  # further up it is another story
FRAME = " \t|+-│╭╮╰╯─┌┐└┘━┃"  # what tracebacks and their boxes are drawn with
EMPTY_OF_WORDS = re.compile(r"[^\w]*")

CAUSE = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)(?::\s.*)?$"  # Python
    r"|.*\b(?:PANIC|FATAL):\s"  # PostgreSQL
    r"|F\d{4}\s\d\d:\d\d"  # the S3 server's last words
)
PANIC = re.compile(
    r"(?:panic|fatal error|flag provided but not defined):\s"
)  # Go's: the program always ends with it


def read_tail(log: Path, lines: int = 20) -> str:
    """The last lines that say something."""
    return "\n".join(_read_told(log)[-lines:])


def read_death(log: Path, lines: int = 20) -> str:
    """The same for a program that ended by itself: the line that names the cause comes last."""
    told = _read_told(log)
    cause = find_cause(told)
    if cause is None:
        return "\n".join(told[-lines:])
    before = told[:-1] if told[-1].strip(FRAME) == cause else told
    return "\n".join([*before[-(lines - 1) :], cause])


def find_cause(lines: list[str]) -> str | None:
    """The last line that names an error, without the frame around it."""
    bare = [line.strip(FRAME) for line in lines]
    panics = [line for line in bare if PANIC.match(line)]
    errors = [line for line in bare[-CAUSE_LINES:] if CAUSE.match(line)]
    return next(iter([*panics[-1:], *errors[-1:]]), None)


def _read_told(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if not EMPTY_OF_WORDS.fullmatch(line)]
