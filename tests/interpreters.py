"""Code in a second interpreter of this process, whatever the version of CPython calls it."""

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
    """Run code in a new interpreter, and end that; return what it raised, from Python 3.13 on."""
    interpreter = create(own_gil)
    try:
        return _interpreters.run_string(interpreter, code)
    finally:
        _interpreters.destroy(interpreter)  # or 3.14 warns at exit that it was left open
