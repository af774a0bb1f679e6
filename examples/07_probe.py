"""Does a callable release the GIL? The probe tells, here for two that do the same work."""

import zlib

import gilfree

text = b"What releases the GIL, and for how long? " * 20_000


def checksum(data):
    """Adler-32 in Python."""
    low, high = 1, 0
    for byte in data:
        low = (low + byte) % 65521
        high = (high + low) % 65521
    return high << 16 | low


assert checksum(text) == zlib.adler32(text)
print(gilfree.probe(checksum, text), end="\n\n")
print(gilfree.probe(zlib.adler32, text))
