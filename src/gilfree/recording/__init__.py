"""RECORD a whole program: which thread held the GIL when, as text, pictures and traces."""
