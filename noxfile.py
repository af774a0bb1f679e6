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


def build(session, folder):
    """Return the paths of a new sdist, and of the wheel that is made of it."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", folder)
    return next(Path(folder).glob("*.tar.gz")), next(Path(folder).glob("*.whl"))


def test_within(session, sdist):
    """Run the tests that an sdist brings, from its own folder."""
    shutil.unpack_archive(sdist, sdist.parent, filter="data")
    session.chdir(sdist.parent / sdist.name.removesuffix(".tar.gz"))
    session.run("python", "-m", "pytest")
