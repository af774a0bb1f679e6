"""Waiting scales on threads: a read from a socket releases the GIL until data arrives."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

REQUESTS = 8


def answer_late(server):
    while True:
        connection, _ = server.accept()
        threading.Timer(
            0.1, lambda answer: (answer.sendall(b"!"), answer.close()), [connection]
        ).start()


def request(address):
    with socket.create_connection(address) as connection:
        return connection.recv(1)  # releases the GIL


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=answer_late, args=[server], daemon=True).start()
addresses = [server.getsockname()] * REQUESTS
with ThreadPoolExecutor(REQUESTS) as pool:
    one = seconds(lambda: [request(address) for address in addresses])
    many = seconds(lambda: list(pool.map(request, addresses)))

print(f"{REQUESTS} requests, each answered after 100 ms")
print(f"  one after the other  {one * 1e3:6.0f} ms")
print(f"  on {REQUESTS} threads         {many * 1e3:6.0f} ms, so {one / many:.2f} times as fast")
