"""SEE: which threads hold the GIL, which wait for it, and whether threads would help."""
