"""RECORD: a whole program; who had the GIL when, as text, pictures and traces."""
