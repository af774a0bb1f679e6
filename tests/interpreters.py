"""Runs code in a second interpreter of this process, on any version of CPython."""

try:
    import _interpreters
except ModuleNotFoundError:  # Python 3.11 and 3.12
    import _xxsubinterpreters as _interpreters

    def create(own_gil):
        return _interpreters.create(isolated=own_gil)
else:

    def create(own_gil):
        return _interpreters.create("isolated" if own_gil else "legacy")


def run_in_another(code, own_gil):
    """Run code in a new interpreter; from Python 3.13 on, return the exception that it raised."""
    interpreter = create(own_gil)
    try:
        return _interpreters.run_string(interpreter, code)
    finally:
        _interpreters.destroy(interpreter)  # otherwise 3.14 warns at exit
