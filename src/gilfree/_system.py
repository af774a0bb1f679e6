"""Facts about this process and its machine: usable CPUs, the GIL, the environment."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from typing import Any

from gilfree._isa import build_info


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use. The machine may have more."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gil_enabled() -> bool:
    """Tell whether this interpreter has a GIL right now."""
    enabled: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return enabled


def environment() -> dict[str, Any]:
    """Return what a measurement depends on: Python, its GIL, CPUs, switch interval, the build."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil_enabled": gil_enabled(),
        "cpus": usable_cpus(),
        "switch_interval": sys.getswitchinterval(),
        "numpy": importlib.metadata.version("numpy"),
        "build": build_info(),
        "platform": platform.platform(terse=True),
    }


def cpu_model() -> str:
    """Return the model name of the CPU, or its architecture if the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:  # Linux
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def same_imports() -> dict[str, str]:
    """Return environment variables with which ``python -P`` imports what this process imports.

    Without -P, Python would first look for modules in the current folder.
    """
    path = (entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
