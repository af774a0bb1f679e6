"""C code that releases the GIL uses all cores, on plain threads and on one copy of the data."""

import gilfree

comparison = gilfree.compare(gilfree.mandelbrot, (600, 800), repeat=5)
print("mandelbrot on 600 × 800 pixels")
for row in comparison.rows:
    what = {"held": "GIL held", "released": "GIL released", "processes": "the machine's limit"}
    workers = f"{row.workers} worker{'s' if row.workers > 1 else ' '}"
    print(f"  {what[row.mode]:<19}  {workers}  {row.seconds * 1e3:6.1f} ms  {row.speedup:.2f}×")
