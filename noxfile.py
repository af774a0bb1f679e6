"""All checks: ``nox -l`` lists them, ``nox`` runs those of CI, ``nox -s lint`` runs one."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

import nox
import nox.project

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False  # nox lists them at the end
# For pip, 0 means --no-compile. Most installed modules are never imported, so don't compile them.
os.environ["PIP_NO_COMPILE"] = "0"

# The Pythons that pyproject.toml names, with and without a GIL. nox derives the free-threaded ones
# from 3.14 on, so 3.13t is added here.
PROJECT = nox.project.load_toml("pyproject.toml")
FREE_THREADED = [
    "3.13t",
    *(v for v in nox.project.python_versions(PROJECT, free_threaded=True) if v.endswith("t")),
]
WITH_GIL = nox.project.python_versions(PROJECT, free_threaded=False)
PYTHONS = WITH_GIL + FREE_THREADED
OLDEST, NEWEST = WITH_GIL[0], WITH_GIL[-1]
# Tests that depend on the version of CPython. The newest Python runs all tests. The oldest runs all
# that are not slow, by the README's command.
TOUCHES_CPYTHON = [
    f"tests/{name}.py"
    for name in (
        "gil/test_sampler",
        "gil/test_probe",
        "gil/test_recorder",
        "gil/test_recorder_free_threaded",
        "gil/test_recorder_safety",
        "gil/test_stall_reports",
        "gil/test_thread_names",
        "kernels/test_kernels",
        "kernels/test_pool",
        "test_interpreters",
        "test_macros",
        "test_pytest_plugin",
    )
]
# What those tests import, with the bounds of [test]: all of [test] takes a minute to install.
IMPORTED = [
    requirement
    for requirement in PROJECT["project"]["optional-dependencies"]["test"]
    if requirement.startswith(("hypothesis", "pytest", "scipy", "setuptools"))
]
# The slow tests in these files compare what is read from CPython's internals with the truth.
COMPARES = ["tests/gil/test_sampler.py", "tests/gil/test_recorder.py"]
# These run commands, pages and builds, and compare no times: two of them at a time end sooner.
COMMANDS = [
    f"tests/{name}"
    for name in (
        "cli",
        "recording",
        "show",
        "test_docs.py",
        "test_examples.py",
        "test_explain.py",
        "test_memory.py",
        "test_notebook.py",
        "test_unknown_python.py",
    )
]
SLOW = ["-m", "slow"]
SLOW_TOO = ["-m", ""]  # pyproject.toml excludes slow tests by default

FIRST = ["lint", "package"]  # package builds what the others install
# .ci/run runs these two lists concurrently: none of them needs a quiet machine. Tests of compiled
# code that do are marked `unsanitized`.
SANITIZERS = ["tsan", "asan"]
UNTIMED = ["types", "docs", "benchmarks", "levels"]
# The tests in these compare times, so they have the CPUs to themselves.
TIMED = [
    "readme",  # runs the tests on the oldest Python
    *(f"tests-{python}" for python in PYTHONS if python != OLDEST),
    "parallel",
    "plugins",
]
nox.options.sessions = [*FIRST, *SANITIZERS, *UNTIMED, *TIMED]


# ---------------------------------------------------------------- the package, built once a run

SCRATCH = Path(tempfile.mkdtemp(prefix="gilfree-nox-"))
atexit.register(shutil.rmtree, SCRATCH)
# .ci/run calls nox several times, and names a folder for the packages that all of them install.
DIST = Path(os.environ.get("GILFREE_DIST") or SCRATCH / "dist")


def sdist(session):
    """Return the path of the sdist, and build it in the first session that needs it."""
    if not list(DIST.glob("*.tar.gz")):
        session.install("build")
        session.run_install("python", "-m", "build", "-q", "--sdist", "--outdir", str(DIST))
    return next(DIST.glob("*.tar.gz"))


def wheel(session, flags=""):
    """Return the path of the wheel for this Python and these compiler flags, built once a run."""
    source = sdist(session)
    folder = DIST / "".join(filter(str.isalnum, f"{session.python or 'default'}{flags}"))
    if not folder.exists():
        # The flags of setup.py come later, so the loops are compiled as in a release: -O3, all
        # levels.
        env = {"CFLAGS": f"-g {flags}", "LDFLAGS": flags} if flags else {}
        command = ["pip", "wheel", "-q", "--no-deps", "--no-cache-dir", "-w", str(folder)]
        session.run_install("python", "-m", *command, str(source), env=env)
    return next(folder.glob("*.whl"))


def install(session, extra="", flags=""):
    """Install the wheel with an extra, such as ``[test]``."""
    session.install(f"{wheel(session, flags)}{extra}")


def unpack(session, folder):
    """Unpack the sdist into a temporary folder, and return the path of its contents."""
    shutil.unpack_archive(sdist(session), SCRATCH / folder, filter="data")
    return next((SCRATCH / folder).iterdir())


def run_tests(session, *arguments, python=("python",), **kwargs):
    """Run pytest in the unpacked sdist without src/, so that the installed package is tested."""
    away = SCRATCH / "away"
    if not away.exists():
        unpack(session, "unpacked").rename(away)
        shutil.rmtree(away / "src")
    session.chdir(away)
    session.run(*python, "-m", "pytest", "-q", *arguments, **kwargs)


# ---------------------------------------------------------------- checks


@nox.session(python=OLDEST)
def readme(session):
    """Run the README's two commands, one of which runs the tests; then the slow COMPARES tests.

    They run in a copy of the checkout, since they create a ``.venv`` and must not change yours.
    """
    session.chdir(unpack(session, "readme"))
    commands = r"^python3 -m venv .*$"
    for command in re.findall(commands, Path("README.md").read_text(), re.MULTILINE):
        session.run("bash", "-euc", command, external=True)
    session.run(".venv/bin/python", "-m", "pytest", "-q", *SLOW, *COMPARES, external=True)


@nox.session(python=PYTHONS, tags=["python"])
def tests(session):
    """Run the tests: all on the newest Python, TOUCHES_CPYTHON on the others."""
    # Without a GIL, setup.py has bounds of its own for what [test] names.
    if session.posargs or session.python in (NEWEST, *FREE_THREADED):
        install(session, "[test]")
    else:
        session.install(str(wheel(session)), *IMPORTED)
    if session.posargs:
        run_tests(session, *session.posargs)
    elif session.python == NEWEST:
        session.install("pytest-xdist")
        run_tests(session, *SLOW_TOO, *(f"--ignore={path}" for path in COMMANDS))
        run_tests(session, *SLOW_TOO, "-n2", "--dist=loadfile", *COMMANDS)
    else:
        run_tests(session, *TOUCHES_CPYTHON)
        run_tests(session, *SLOW, *COMPARES)


@nox.session(python=FREE_THREADED, tags=["python"])
def parallel(session):
    """Run each test on eight threads concurrently, without a GIL, unless it is thread_unsafe."""
    install(session, "[test]")
    session.install("pytest-run-parallel>=0.10")
    # The thread_unsafe tests run in the session `tests`.
    run_tests(session, "--parallel-threads=8", "--skip-thread-unsafe=1", *session.posargs)


@nox.session
def plugins(session):
    """Run the tests of `pytest --gil` together with other plugins that change how tests run."""
    install(session, "[test]")
    session.install(
        *("anyio", "pytest-asyncio", "pytest-cov", "pytest-rerunfailures"),
        *("pytest-run-parallel>=0.10", "pytest-xdist"),
    )
    # Without this key, pytest-asyncio warns, and warnings are errors here.
    key = "asyncio_default_fixture_loop_scope=function"
    run_tests(session, "-o", key, "tests/test_pytest_plugin.py", *session.posargs)


@nox.session
def levels(session):
    """Run the tests of the loops with the builds for older instruction sets."""
    install(session, "[test]")
    ask = "import gilfree; print(*gilfree.build_info()['isa_levels'][:-1])"
    for level in session.run("python", "-c", ask, silent=True).split():
        modules = "test_build", "test_macros", "kernels/test_kernels", "kernels/test_properties"
        paths = [f"tests/{name}.py" for name in modules]
        run_tests(session, *paths, *session.posargs, env={"GILFREE_ISA_LEVEL": level})


@nox.session
def lint(session):
    """Run ruff and cython-lint, and zizmor on the workflows and the action."""
    session.install("ruff", "cython-lint", "zizmor")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "src", "benchmarks")
    session.run("zizmor", "--offline", "--quiet", "action.yml", ".github")


@nox.session
def types(session):
    """Run mypy --strict on the package, and two type checkers on a file that uses its names."""
    install(session, "[cli,plot]")
    session.install("mypy", "basedpyright", "pytest")  # pytest for the types of the plugin
    session.run("mypy")
    session.run("mypy", "tests/typing_public.py")
    session.run("basedpyright", "--level", "error", "tests/typing_public.py")


@nox.session
def benchmarks(session):
    """Run every benchmark once, without timing."""
    install(session, "[bench]")
    session.run("python", "-m", "pytest", "-q", "benchmarks", "--benchmark-disable")


@nox.session
def package(session):
    """Check the metadata and the files of the sdist and the wheel."""
    session.install("twine>=6.1", "check-wheel-contents>=0.6")
    paths = str(sdist(session)), str(wheel(session))
    session.run("twine", "check", "--strict", *paths)
    session.run("check-wheel-contents", "--config", "pyproject.toml", paths[1])


@nox.session
def docs(session):
    """Build the site into build/site; a warning, as about a dead link, fails."""
    install(session, "[docs]")
    shutil.rmtree("build/site", ignore_errors=True)  # removes pages that are gone
    build_docs(session, "html", "build/site")


@nox.session
def links(session):
    """Check the links to other sites. This needs the network, so CI does not run it."""
    install(session, "[docs]")
    build_docs(session, "linkcheck", "build/links")


def build_docs(session, builder, folder):
    """Run Sphinx over the repository; no page is taken from an earlier build."""
    command = ["sphinx-build", "-qEnW", "--keep-going", "-c", "docs", "-d", "build/doctrees"]
    session.run(*command, "-b", builder, ".", folder)


# ---------------------------------------------------------------- checks that take many minutes


@nox.session
def properties(session):
    """Run the property tests with a hundred times as many examples: ten minutes."""
    install(session, "[test]")
    run_tests(
        session,
        "tests/kernels/test_properties.py",
        "--hypothesis-profile=thorough",
        *session.posargs,
    )


@nox.session
def faults(session):
    """Run the tests of external failures, with a thousand exits of Python each: 15 minutes."""
    install(session, "[test]")
    session.install("gevent")
    # -rP shows how late Ctrl-C was.
    paths = "tests/test_faults.py", "tests/gil/test_recorder_safety.py"
    arguments = [*SLOW_TOO, *paths, "-rP", *session.posargs]
    run_tests(session, *arguments, env={"GILFREE_EXITS": "1000"})


@nox.session
def soak(session):
    """Have eight threads call everything concurrently: for ten minutes, or as posargs say."""
    install(session, "[test]")
    session.run("python", "tests/soak.py", *(session.posargs or ["--seconds", "600"]))


@nox.session
def memory(session):
    """Call everything 100,000 times, and check that the memory in use does not grow."""
    install(session, "[test]")
    run_tests(session, *SLOW_TOO, "tests/test_memory.py", env={"GILFREE_CALLS": "100000"})


# ---------------------------------------------------------------- sanitizers: Linux and GCC

LOOPS = Path("src/gilfree/_kernels.pyx").resolve()
COMPILED = [
    *("-m", "not unsanitized"),  # and so the slow tests, too
    "tests/test_build.py",
    "tests/test_macros.py",
    "tests/kernels/test_kernels.py",
    "tests/gil/test_sampler.py",
    "tests/gil/test_recorder.py",
    "tests/gil/test_recorder_safety.py",
]


@nox.session
def tsan(session):
    """Run all code that threads share under ThreadSanitizer, with each build of the loops."""
    install(session, flags="-fsanitize=thread")
    expect(session, ["libtsan.so"], "race", "data race", "counter[0] = counter[0] + 1")
    python = sanitized(session, ["libtsan.so"])
    ask = "import gilfree; print(*gilfree.build_info()['isa_levels'])"
    levels = session.run(*python, "-c", ask, external=True, silent=True).split()
    for level in levels:
        env = {"GILFREE_ISA_LEVEL": level}
        session.run(*python, "tests/sanitizers/threads.py", external=True, env=env)


@nox.session
def asan(session):
    """Run the tests of compiled code under AddressSanitizer and UndefinedBehaviorSanitizer."""
    undefined = "undefined,float-cast-overflow"
    flags = f"-fsanitize=address,{undefined} -fno-sanitize-recover={undefined}"
    install(session, "[test]", flags)
    # Without libstdc++, the sanitizer fails when another library throws a C++ exception.
    libraries = ["libasan.so", "libstdc++.so"]
    expect(session, libraries, "overflow", "heap-buffer-overflow", "out[i] = c0 + x[i] * 0")
    expect(session, libraries, "misaligned", "misaligned address", "<double> x[i + lane] * x[i")
    python = sanitized(session, libraries)
    run_tests(session, *(session.posargs or COMPILED), python=python, external=True)


def sanitized(session, libraries):
    """Return the command that runs Python with the libraries of a sanitizer preloaded."""
    paths = [
        session.run("gcc", f"-print-file-name={name}", external=True, silent=True, log=False)
        for name in libraries
    ]
    variables = {
        "LD_PRELOAD": " ".join(path.strip() for path in paths),
        # The interpreter does not free all memory at exit, and some tests make allocations fail.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees when each object is freed
    }
    # setarch -R turns off address randomisation, which the sanitizers do not support.
    settings = [f"{name}={value}" for name, value in variables.items()]
    return ["setarch", "-R", "env", *settings, "python"]


def expect(session, libraries, mistake, words, line):
    """Make a mistake on purpose, and check that the sanitizer reports it with its line."""
    script = "tests/sanitizers/on_purpose.py"
    output = session.run(
        *sanitized(session, libraries),
        script,
        mistake,
        external=True,
        silent=True,
        log=False,
        success_codes=[0, 1, 66],
    )
    numbers = [n for n, text in enumerate(LOOPS.read_text().splitlines(), 1) if line in text]
    if words not in output or not any(f"{LOOPS.name}:{n}" in output for n in numbers):
        session.error(f"no report of a {mistake} in the line {line!r}:\n{output}")
    session.log(f"{mistake} on purpose: reported")
