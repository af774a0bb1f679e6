"""What some tests need of the system, so that they are skipped by name where it is missing."""

import importlib.util
import os

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: its signals, files and shell")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
probe = pytest.mark.skipif(
    importlib.util.find_spec("gilfree._watch") is None, reason="the sampler needs Linux or macOS"
)
