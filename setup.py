"""What pyproject.toml can't express: the extensions, their flags, and dependencies of 3.13t."""

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
    # A fused multiply-add rounds once instead of twice, so results would depend on the CPU.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    # Both entry points must run the same machine code. Inlined, a loop is compiled once for each,
    # and one copy was seen to run 25% faster than the other.
    "-fno-inline",
]
MSVC_FLAGS = ["/O2", "/fp:precise"]
HEADERS_FOLDER = "src/gilfree/_c"
HEADERS = [str(path) for path in Path(HEADERS_FOLDER).glob("*.h")]
# The kernels are compiled again for these levels of x86-64. gilfree/_isa.py chooses at import.
X86_64 = os.name == "posix" and platform.machine() in ("x86_64", "AMD64")
LEVELS = ["x86-64-v3", "x86-64-v4"] if X86_64 else []


class BuildExt(build_ext):
    """Add the flags of the compiler in use, and compile on all CPUs."""

    def build_extensions(self) -> None:
        """Compile every extension."""
        flags = MSVC_FLAGS if self.compiler.compiler_type == "msvc" else UNIX_FLAGS
        for extension in self.extensions:
            extension.extra_compile_args += flags
        self.parallel = self.parallel or True
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        """Compile one extension, in its own folder, since some extensions share a source."""
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, extension.name)
        super(BuildExt, own).build_extension(extension)

    def copy_extensions_to_source(self) -> None:
        """Make the folders to which an editable install copies the extensions."""
        for level in LEVELS:
            self.mkpath(f"src/gilfree/{level}")
        super().copy_extensions_to_source()


def from_cython(name: str, *include_dirs: str, sources: Sequence[str] = ()) -> list[Extension]:
    """Return a list with the extension that is built from a .pyx file and further sources."""
    source = f"src/gilfree/{name.replace('.', '/')}.pyx"
    folders = [HEADERS_FOLDER, *include_dirs]
    extension = Extension(f"gilfree.{name}", [source, *sources], folders, depends=HEADERS)
    # With line numbers, debuggers and sanitizers name lines of the .pyx file, not of the C file.
    return cythonize([extension], emit_linenums=True)


DEPENDENCIES = ["numpy>=2.0"]
if sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info[:2] == (3, 13):
    # The last versions with wheels for free-threaded 3.13, which no marker can express. pip uses
    # the first requirement that it sees, so these bounds must come before the unbounded
    # requirements.
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
        optional=True,  # an old compiler may not know the level
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
if sys.platform == "linux":  # only Linux tells the state of each thread
    extensions += from_cython("gil._recorder", sources=[f"{HEADERS_FOLDER}/layout.c"])

setup(
    cmdclass={"build_ext": BuildExt},
    ext_modules=extensions,
    install_requires=DEPENDENCIES,
)
