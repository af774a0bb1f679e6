"""Marks that skip a test where the system lacks what the test needs, and say what it lacks."""

import os

import pytest

from gilfree._system import gil_enabled
from gilfree.gil.recorder import Session
from gilfree.gil.sampler import NoSamplerError
from gilfree.gil.sampler import sampler as find_sampler

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: its signals, files and shell")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
no_gil = pytest.mark.skipif(gil_enabled(), reason="this Python has a GIL")
gil = pytest.mark.skipif(not gil_enabled(), reason="this Python has no GIL to hold")


def why_no_sampler():
    """Return why the sampler can't run here, or an empty string."""
    try:
        find_sampler()
    except NoSamplerError as error:
        return str(error)
    return ""


HAS_SAMPLER = not why_no_sampler()
sampler = pytest.mark.skipif(not HAS_SAMPLER, reason=why_no_sampler() or "it can run here")
Watch = find_sampler().Watch if HAS_SAMPLER else None


def why_no_recorder():
    """Return why the recorder can't run here, or an empty string."""
    try:
        Session()
    except NoSamplerError as error:
        return str(error)
    return ""


HAS_RECORDER = not why_no_recorder()
recorder = pytest.mark.skipif(not HAS_RECORDER, reason=why_no_recorder() or "it can run")
