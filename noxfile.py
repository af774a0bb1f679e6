"""The checks of .ci/run, by name: ``nox -l`` lists them, ``nox -s lint`` runs one."""

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
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder)
        (wheel,) = Path(folder).glob("*.whl")
        session.install(f"{wheel}[test]")
        for name in "tests", "benchmarks", "docs", "examples", "pyproject.toml", "README.md":
            session.run("cp", "-r", name, folder, external=True)
        session.chdir(folder)
        session.run("python", "-m", "pytest")
