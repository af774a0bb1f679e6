"""What pyproject.toml can't say: the extensions, how they are compiled, and what 3.13t needs."""

import copy
import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

UNIX_FLAGS = [
    "-O3",
    # Contracting a * b + c into one rounding would make results depend on the CPU.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    # A loop that is inlined into its two entry points is compiled twice, and was seen to run 25%
    # faster in one of them. Held and released have to run the same machine code.
    "-fno-inline",
]
MSVC_FLAGS = ["/O2", "/fp:precise"]
# The kernels are compiled once more for newer CPUs; gilfree/_isa.py chooses at import.
HEADERS_FOLDER = "src/gilfree/_c"
HEADERS = [str(path) for path in Path(HEADERS_FOLDER).glob("*.h")]
X86_64 = os.name == "posix" and platform.machine() in ("x86_64", "AMD64")
LEVELS = ["x86-64-v3", "x86-64-v4"] if X86_64 else []


class BuildExt(build_ext):
    """Add the flags that the compiler at hand understands, and compile on all CPUs."""

    def build_extensions(self) -> None:
        """Compile every extension."""
        flags = MSVC_FLAGS if self.compiler.compiler_type == "msvc" else UNIX_FLAGS
        for extension in self.extensions:
            extension.extra_compile_args += flags
        self.parallel = self.parallel or True
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        """Compile one extension, in a folder of its own: some share a source with others."""
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, extension.name)
        super(BuildExt, own).build_extension(extension)

    def copy_extensions_to_source(self) -> None:
        """Make the folders that an editable install copies to."""
        for level in LEVELS:
            self.mkpath(f"src/gilfree/{level}")
        super().copy_extensions_to_source()


def from_cython(name: str, *include_dirs: str, sources: Sequence[str] = ()) -> list[Extension]:
    """Return the extension that Cython makes of a .pyx, and further sources, as a list of one."""
    source = f"src/gilfree/{name.replace('.', '/')}.pyx"
    folders = [HEADERS_FOLDER, *include_dirs]
    extension = Extension(f"gilfree.{name}", [source, *sources], folders, depends=HEADERS)
    # Debuggers and sanitizers then name a line of the .pyx, not of the C that was made of it.
    return cythonize([extension], emit_linenums=True)


DEPENDENCIES = ["numpy>=2.0"]
if sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info[:2] == (3, 13):
    # The last ones that have wheels for free-threaded 3.13, which no marker can name. pip builds
    # what it sees first, so each bound stands before the same package without one.
    DEPENDENCIES = [
        "numpy>=2.0,<2.5",
        "contourpy<1.4; extra == 'plot'",
        "kiwisolver<1.5.1; extra == 'plot'",
        "matplotlib<3.11.2; extra == 'plot'",
        "pillow<12.3; extra == 'plot'",
        "scipy<1.18; extra == 'test'",
    ]
NUMPY = numpy.get_include()  # for bitgen.h alone
extensions = from_cython("_kernels", NUMPY)
extensions += [
    Extension(
        f"gilfree.{level}._kernels",
        extensions[0].sources,
        [HEADERS_FOLDER, NUMPY],
        extra_compile_args=[f"-march={level}"],
        optional=True,  # an old compiler does not know the level
    )
    for level in LEVELS
]
for name in "_chunks", "_cpu", "_start_line", "kernels._pool", "gil._waiter":
    extensions += from_cython(name)
extensions += [
    Extension("gilfree._macros", ["src/gilfree/_macros.c"], [HEADERS_FOLDER], depends=HEADERS)
]
if os.name == "posix":  # the sampler is a POSIX thread
    extensions += from_cython("gil._sampler", sources=[f"{HEADERS_FOLDER}/layout.c"])
if sys.platform == "linux":  # which tells what each thread of a process does
    extensions += from_cython("gil._recorder", sources=[f"{HEADERS_FOLDER}/layout.c"])

setup(
    cmdclass={"build_ext": BuildExt},
    ext_modules=extensions,
    install_requires=DEPENDENCIES,
)
