"""What the commands share: types of arguments, and the style of help and errors."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, NoReturn

from gilfree._arguments import seconds_of
from gilfree._system import usable_cpus
from gilfree.measure.limit import MOST_PROCESSES


class UsageError(Exception):
    """An error that the user can correct; its text is one line."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Wraps texts of one line, as descriptions are; keeps the lines of others, as of epilogs."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Help, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse would ignore errors of writing
            file.write(message)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError, which `main` prints."""
        raise UsageError(message)


def examples(*lines: str) -> str:
    """Return the part of a help text that shows examples."""
    heading = "example" if len(lines) == 1 else "examples"
    return "".join([f"{heading}:\n", *(f"  {line}\n" for line in lines)])


def share(text: str) -> float:
    """Read a share, given as a number or a percentage."""
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        msg = f"must be a number from 0 to 1, or a percentage such as 10%, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def duration(text: str) -> float:
    """Read a time: in seconds, or with a unit."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def workers(text: str) -> int:
    """Read a number of threads."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        msg = f"must be a whole number of at least 1, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def few_workers(text: str) -> int:
    """Read a number of threads, for each of which a process is started, too."""
    number, most = workers(text), max(MOST_PROCESSES, usable_cpus())
    if number > most:
        msg = f"must be at most {most}, since each worker needs a process, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number
