"""A server reports its own stall while it lasts: GET /sort sorts on another thread.

It needs uvicorn. Your own server: python -m gilfree run --stall 200ms -m uvicorn app:app
"""

import asyncio
import signal
import sys
import time
import urllib.request
from pathlib import Path
from subprocess import PIPE, Popen

words = [str(-n * 7919 % 1_000_003) for n in range(2_000_000)]
COMMAND = ["-m", "gilfree", "run", "--stall", "200ms", "-m", "uvicorn", "--port", "8123"]


def work():
    return sorted(words)


async def app(scope, receive, send):
    if scope["type"] == "http":  # a thread does not help: the sort holds the GIL
        await asyncio.to_thread(work)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"sorted"})


if __name__ == "__main__":
    command = [sys.executable, *COMMAND, "--log-level", "error", f"{Path(__file__).stem}:app"]
    with Popen(command, cwd=Path(__file__).parent, stderr=PIPE, text=True) as server:
        while server.poll() is None:
            try:
                print(urllib.request.urlopen("http://127.0.0.1:8123/sort").read().decode())
                break
            except OSError:
                time.sleep(0.1)
        server.send_signal(signal.SIGINT)
        print(*(line.rstrip()[:80] for line in server.stderr.readlines()[:4]), sep="\n")
