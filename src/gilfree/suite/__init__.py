"""MEASURE A TEST SUITE: which tests hold the GIL, and in which threads wait for it.

`gilfree.pytest_plugin` imports this folder only if ``--gil``, a marker or a limit needs it.
"""
