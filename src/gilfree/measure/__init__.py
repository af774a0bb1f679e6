"""COMPARE: the same work in every way, beside what the machine can do at all."""
