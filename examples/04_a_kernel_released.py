"""C code that releases the GIL uses all cores: on threads, with one copy of the data."""

import gilfree

comparison = gilfree.compare(gilfree.mandelbrot, (600, 800), repeat=5)
print(f"{'mandelbrot on 600 × 800 pixels':<45} workers")
names = {
    "bytecode": "threads, a part of the work in pure Python",
    "held": "threads, GIL held",
    "released": "threads, GIL released",
    "limit": "the machine's limit: independent processes",
}
for row in comparison.rows:
    jobs = row.workers if row.mode == "limit" else 1  # each process does the whole work
    taken = f"{row.seconds / jobs * 1e3:5.1f} ms  {row.speedup:.2f}×"
    print(f"  {names[row.mode]:<43} {row.workers:>7}  {taken}")
