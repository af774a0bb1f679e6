"""SEE: who has the GIL, who waits for it, and whether threads would help."""
