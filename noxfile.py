"""The checks of .ci/run, by name: ``nox -l`` lists them, ``nox -s lint`` runs one."""

import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "lint", "types", "benchmarks", "package"]  # those of minutes


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t"])
def tests(session):
    """Run the tests against the built package."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=["3.13t", "3.14t"])
def parallel(session):
    """Run each test that bears it from eight threads at once, on a Python without a GIL."""
    session.install(".[test]", "pytest-run-parallel>=0.10")
    # The rest run in the session `tests`.
    many = "--parallel-threads=8", "--skip-thread-unsafe=1"
    session.run("python", "-m", "pytest", *many, *session.posargs)


@nox.session
def lint(session):
    """Run ruff and cython-lint, and zizmor on the workflows."""
    session.install("ruff", "cython-lint", "zizmor")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "src", "benchmarks")
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def types(session):
    """Run mypy --strict on the package."""
    session.install(".[cli,plot]", "mypy")
    session.run("mypy")


@nox.session
def benchmarks(session):
    """Run every benchmark once, without measuring."""
    session.install(".[bench]")
    session.run("python", "-m", "pytest", "benchmarks", "--benchmark-disable")


@nox.session
def properties(session):
    """Run the property tests with a hundred times as many examples: ten minutes."""
    session.install(".[test]")
    arguments = ["tests/test_properties.py", "--hypothesis-profile=thorough", *session.posargs]
    session.run("python", "-m", "pytest", *arguments)


@nox.session
def faults(session):
    """Run the tests of what goes wrong outside, with a thousand exits amid calls: ten minutes."""
    session.install(".[test]")
    arguments = ["tests/test_faults.py", "-rP", *session.posargs]  # shows how late Ctrl-C was
    session.run("python", "-m", "pytest", *arguments, env={"GILFREE_EXITS": "1000"})


@nox.session
def soak(session):
    """Have eight threads call everything at once for ten minutes, or as posargs say."""
    session.install(".[test]")
    session.run("python", "tests/soak.py", *(session.posargs or ["--seconds", "600"]))


@nox.session
def package(session):
    """Build sdist and wheel, and run the tests against the wheel, away from the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        sdist, wheel = build(session, folder)
        session.install(f"{wheel}[test]")
        test_within(session, sdist)


@nox.session
def release(session):
    """Check what would be uploaded: its metadata, its files, and that the sdist is enough."""
    with tempfile.TemporaryDirectory() as folder:
        sdist, wheel = build(session, folder)
        session.install("twine>=6.1", "check-wheel-contents>=0.6")
        session.run("twine", "check", "--strict", str(sdist), str(wheel))
        session.run("check-wheel-contents", "--config", "pyproject.toml", str(wheel))
        session.install(f"{sdist}[test]")
        test_within(session, sdist)


def build(session, folder, env=None):
    """Return the paths of a new sdist, and of the wheel that is made of it."""
    session.install("build")
    session.run("python", "-m", "build", "-q", "--outdir", folder, env=env)
    return next(Path(folder).glob("*.tar.gz")), next(Path(folder).glob("*.whl"))


def test_within(session, sdist):
    """Run the tests that an sdist brings, from its own folder."""
    shutil.unpack_archive(sdist, sdist.parent, filter="data")
    session.chdir(sdist.parent / sdist.name.removesuffix(".tar.gz"))
    session.run("python", "-m", "pytest")


# ---------------------------------------------------------------- sanitizers: Linux and GCC

LOOPS = Path("src/gilfree/_kernels.pyx")


@nox.session
def tsan(session):
    """Run all that threads share under ThreadSanitizer, with each build of the loops."""
    install_with(session, "-fsanitize=thread")
    expect(session, ["libtsan.so"], "race", "data race", "counter[0] = counter[0] + 1")
    ask = "import gilfree; print(*gilfree.build_info()['isa_levels'])"
    for level in sanitized(session, ["libtsan.so"], "-c", ask, silent=True).split():
        script = "tests/sanitizers/threads.py"
        sanitized(session, ["libtsan.so"], script, env={"GILFREE_ISA_LEVEL": level})


@nox.session
def asan(session):
    """Run the tests, or those named, under the sanitizers of addresses and undefined behaviour."""
    undefined = "undefined,float-cast-overflow"
    flags = f"-fsanitize=address,{undefined} -fno-sanitize-recover={undefined}"
    install_with(session, flags, extra="[test]")
    # The C++ library, too, or the sanitizer misses the exceptions of other libraries.
    libraries = ["libasan.so", "libstdc++.so"]
    expect(session, libraries, "overflow", "heap-buffer-overflow", "out[i] = c0 + x[i] * 0")
    expect(session, libraries, "misaligned", "misaligned address", "<double> x[i + lane] * x[i")
    sanitized(session, libraries, "-m", "pytest", *session.posargs)


@nox.session
def memory(session):
    """Call everything 100,000 times, and see that the memory in use does not grow."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "tests/test_memory.py", env={"GILFREE_CALLS": "100000"})


def install_with(session, flags, extra=""):
    """Install a wheel compiled with more flags; by way of an sdist, so that build/ has none of it.

    The flags of setup.py come after these: the loops stay as they ship, -O3 and for three levels.
    """
    compile_with = {"CFLAGS": f"-g {flags}", "LDFLAGS": flags}
    with tempfile.TemporaryDirectory() as folder:
        _, wheel = build(session, folder, env=compile_with)
        session.install(f"{wheel}{extra}")


def sanitized(session, libraries, *arguments, env=None, **kwargs):
    """Run Python with a sanitizer's libraries loaded before all others, at fixed addresses."""
    paths = [
        session.run("gcc", f"-print-file-name={name}", external=True, silent=True, log=False)
        for name in libraries
    ]
    variables = {
        "LD_PRELOAD": " ".join(path.strip() for path in paths),
        # The interpreter itself leaves memory to the system; memory may run out, as tests have it.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",  # so that each object's end is known to the sanitizer
        **(env or {}),
    }
    settings = [f"{name}={value}" for name, value in variables.items()]
    command = ["setarch", "-R", "env", *settings, "python", *arguments]
    return session.run(*command, external=True, **kwargs)


def expect(session, libraries, mistake, words, line):
    """Make a mistake on purpose, and see that it is reported with its line."""
    script = "tests/sanitizers/on_purpose.py"
    output = sanitized(
        session, libraries, script, mistake, silent=True, log=False, success_codes=[0, 1, 66]
    )
    numbers = [n for n, text in enumerate(LOOPS.read_text().splitlines(), 1) if line in text]
    if words not in output or not any(f"{LOOPS.name}:{n}" in output for n in numbers):
        session.error(f"no report of a {mistake} in the line {line!r}:\n{output}")
    session.log(f"{mistake} on purpose: reported")
