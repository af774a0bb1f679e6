"""MEASURE A TEST SUITE: which tests keep the GIL, and in which do threads wait for it.

`gilfree.pytest_plugin` imports this when somebody asks.
"""
