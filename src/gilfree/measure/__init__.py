"""COMPARE: the same work run in several ways, beside the limit of the machine."""
