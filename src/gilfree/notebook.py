"""In IPython and in notebooks: ``%gil`` probes a statement, ``%%gil`` records a cell."""

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

# What a terminal, too, is to show as a report.
RESULTS = {
    "gilfree.gil.report": "GilReport",
    "gilfree.measure.compare": "Comparison",
    "gilfree.recording.recording": "Recording",
}
CELL = re.compile(r"%%gil(?P<name>\s.*)?$")  # the first line of a cell, without a ? for help

EMPTY = "\n"  # what comes of a cell of which the rest runs by itself; IPython refuses ""


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%gil`` and ``%%gil`` to a shell: what ``%load_ext gilfree`` calls."""
    shell.register_magics(GilMagics)
    transforms = shell.input_transformers_cleanup
    transforms[:] = [one for one in transforms if one is not begin_in_cell]  # it may be loaded anew
    transforms.append(begin_in_cell)
    formatter = shell.display_formatter.formatters["text/plain"]
    for module, name in RESULTS.items():
        formatter.for_type_by_name(module, name, _print)


def _print(result: object, printer: Any, cycle: bool) -> None:
    printer.text(str(result))


def begin_in_cell(lines: list[str]) -> list[str]:
    """Put the start of a recording in the place of the line ``%%gil``.

    So the cell runs as any other, and each of its lines keeps its number: output, exceptions, the
    value of the last line and ``await`` are all IPython's own. The recording ends with the cell.
    """
    found = CELL.match(lines[0].rstrip()) if lines else None
    if found is None or (lines[1:2] and lines[1].startswith("%%")):
        return lines  # what another magic makes of a cell is no part of this one
    name = (found["name"] or "").strip()
    return [f"get_ipython().run_cell_magic('gil', {name!r}, {EMPTY!r})\n", *lines[1:]]


# While a cell is typed at a terminal, IPython is to see that it begins with %%, and wait for more.
begin_in_cell.has_side_effects = True  # type: ignore[attr-defined]


@magics_class
class GilMagics(Magics):
    """The magic ``gil``, of a line and of a cell."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def gil(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> GilReport | None:
        """Probe whether a statement releases the GIL, or record who waits for it in a cell.

        ``%gil [-o] [--workers N] statement``

            Probe a statement: run it many times, also on several threads at once, and tell whether
            it releases the GIL and what threads gain. It sees your variables, and what it assigns
            is lost, as with ``%timeit``.

            -o: return the report, and do not show it otherwise, as in ``report = %gil -o f(x)``.
            --workers N: threads to try; by default one for each CPU.

        ``%%gil [name]``

            Record all threads while the cell runs, and show who had the GIL and who waited for it.
            With a name, the recording is then in the variable of that name, as after
            ``with gilfree.record() as name:``.
        """
        __tracebackhide__ = True  # of what a statement raises, these frames say nothing
        if cell is None:
            return self._probe(line, local_ns or {})
        self._record(line)
        if cell != EMPTY:  # of another magic, or somebody called this one as a function
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
        """Start a recording that ends when the cell does."""
        if name and not name.isidentifier():
            msg = f"%%gil takes the name of a variable for the recording, not {name!r}"
            raise UsageError(msg)
        recording = contextlib.ExitStack()
        try:
            found = recording.enter_context(record())
        except RuntimeError as error:  # there is one already, or there can be none here
            raise UsageError(str(error)) from error
        if name:
            self.shell.user_ns[name] = found
        _Until(self.shell.events, recording, found)


class _Until:
    """Ends a recording at the end of the cell, and shows it.

    Cells may run within that one, as those of a notebook that it runs; they begin and end before.
    """

    def __init__(self, events: Any, recording: contextlib.ExitStack, found: Recording) -> None:
        self.events, self.recording, self.found = events, recording, found
        self.within = 0
        events.register("pre_execute", self.pre_execute)
        events.register("post_execute", self.post_execute)

    def pre_execute(self) -> None:
        self.within += 1

    def post_execute(self) -> None:
        if self.within:
            self.within -= 1
            return
        self.recording.close()
        self.events.unregister("pre_execute", self.pre_execute)
        self.events.unregister("post_execute", self.post_execute)
        display(self.found)
