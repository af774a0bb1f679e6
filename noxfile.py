"""The checks of .ci/run, by name: ``nox -l`` lists them, ``nox -s lint`` runs one."""

import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t"])
def tests(session):
    """Run the tests against the built package."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session):
    """Run ruff and cython-lint."""
    session.install("ruff", "cython-lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "src", "benchmarks")


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
def package(session):
    """Build sdist and wheel, and run the tests against the wheel, away from the checkout."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder)
        (wheel,) = Path(folder).glob("*.whl")
        session.install(f"{wheel}[test]")
        for name in "tests", "benchmarks", "docs", "examples", "pyproject.toml", "README.md":
            session.run("cp", "-r", name, folder, external=True)
        session.chdir(folder)
        session.run("python", "-m", "pytest")
