"""For IPython and notebooks: ``%gil`` probes a statement, ``%%gil`` records a cell."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.display import display

from gilfree._arguments import whole_number
from gilfree.gil.lazy import LazyCallError
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.statement import own_traceback, probing_of, without_collector
from gilfree.recording.recording import record

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gilfree.gil.report import GilReport
    from gilfree.recording.recording import Recording

# Classes, by module, whose objects are shown as their report where there is no HTML.
RESULTS = {
    "gilfree.gil.report": "GilReport",
    "gilfree.measure.compare": "Comparison",
    "gilfree.recording.recording": "Recording",
}
CELL = re.compile(r"%%gil(?P<name>\s.*)?$")  # the first line of a cell; does not match %%gil?

EMPTY = "\n"  # the body of a cell whose other lines run by themselves; IPython refuses ""


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%gil`` and ``%%gil`` to a shell; ``%load_ext gilfree`` calls this."""
    shell.register_magics(GilMagics)
    transforms = shell.input_transformers_cleanup
    transforms[:] = [one for one in transforms if one is not begin_in_cell]  # %reload_ext
    transforms.append(begin_in_cell)
    formatter = shell.display_formatter.formatters["text/plain"]
    for module, name in RESULTS.items():
        formatter.for_type_by_name(module, name, _print)


def _print(result: object, printer: Any, cycle: bool) -> None:
    printer.text(str(result))


def begin_in_cell(lines: list[str]) -> list[str]:
    """Replace the line ``%%gil`` by one that starts a recording, which ends with the cell.

    So the cell runs like any other, and its lines keep their numbers: IPython itself handles
    output, exceptions, the value of the last line and ``await``.
    """
    found = CELL.match(lines[0].rstrip()) if lines else None
    if found is None or (lines[1:2] and lines[1].startswith("%%")):
        return lines  # the next line is a cell magic: it must get its cell as a text
    name = (found["name"] or "").strip()
    return [f"get_ipython().run_cell_magic('gil', {name!r}, {EMPTY!r})\n", *lines[1:]]


# IPython then leaves this out while a cell is typed at a terminal: it sees %%, and waits for more.
begin_in_cell.has_side_effects = True  # type: ignore[attr-defined]


@magics_class
class GilMagics(Magics):
    """The magics ``%gil``, for a line, and ``%%gil``, for a cell."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def gil(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> GilReport | None:
        """Probe whether a statement releases the GIL; record which threads wait for it in a cell.

        ``%gil [-o] [--workers N] statement``

            Probe a statement: run it many times, also on several threads concurrently, and tell
            whether it releases the GIL and what threads gain. As with ``%timeit``, it sees your
            variables, and its assignments are lost.

            -o: return the report instead of showing it, as in ``report = %gil -o f(x)``.
            --workers N: how many threads to try; by default one for each CPU.

        ``%%gil [name]``

            Record all threads while the cell runs, and show which threads held the GIL and which
            waited for it. With a name, the recording is assigned to that variable, as by
            ``with gilfree.record() as name:``.
        """
        __tracebackhide__ = True  # a traceback of the statement does not need these frames
        if cell is None:
            return self._probe(line, local_ns or {})
        self._record(line)
        if cell != EMPTY:  # called by another cell magic, or as a function
            self.shell.run_cell(cell)
        return None

    def _probe(self, line: str, local_ns: dict[str, Any]) -> GilReport | None:
        __tracebackhide__ = True
        options, source = self.parse_options(
            line, "o", "workers=", posix=False, strict=False, preserve_non_opts=True
        )
        if not source.strip():
            msg = "%gil needs a statement, as in: %gil np.sort(x)"
            raise UsageError(msg)
        namespace = {**self.shell.user_ns, **local_ns}
        workers = None
        if "workers" in options:
            try:
                workers = whole_number("--workers", int(options.workers))
            except ValueError:
                msg = f"--workers must be a whole number, at least 1, not {options.workers!r}"
                raise UsageError(msg) from None
        try:
            with without_collector():
                report = probing_of(source, workers=workers, namespace=namespace).run()
        except (LazyCallError, NoSamplerError) as error:
            raise UsageError(str(error)) from error
        except BaseException as error:
            raise error.with_traceback(own_traceback(error)) from None
        if "o" in options:
            return report
        display(report)
        return None

    def _record(self, name: str) -> None:
        """Start a recording that ends with the cell."""
        if name and not name.isidentifier():
            msg = f"%%gil takes the name of a variable for the recording, not {name!r}"
            raise UsageError(msg)
        recording = contextlib.ExitStack()
        try:
            found = recording.enter_context(record())
        except RuntimeError as error:  # another recording is running, or none is possible here
            raise UsageError(str(error)) from error
        if name:
            self.shell.user_ns[name] = found
        _EndOfCell(self.shell.events, recording, found)


class _EndOfCell:
    """Ends a recording at the end of its cell, and shows it.

    A cell may run other cells, such as those of a notebook. Their ends are not the end of this one.
    """

    def __init__(self, events: Any, recording: contextlib.ExitStack, found: Recording) -> None:
        self.events, self.recording, self.found = events, recording, found
        self.inner_cells = 0
        events.register("pre_execute", self.pre_execute)
        events.register("post_execute", self.post_execute)

    def pre_execute(self) -> None:
        self.inner_cells += 1

    def post_execute(self) -> None:
        if self.inner_cells:
            self.inner_cells -= 1
            return
        self.recording.close()
        self.events.unregister("pre_execute", self.pre_execute)
        self.events.unregister("post_execute", self.post_execute)
        display(self.found)
