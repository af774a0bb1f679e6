"""Dask workers that report what stalls them: a task that holds the GIL in C."""

import re
import tempfile
from pathlib import Path

import gilfree

try:
    from distributed import Client, LocalCluster
except ModuleNotFoundError as error:
    raise SystemExit("this example needs Dask: pip install distributed") from error


def report(path):
    with open(path, "w") as file:  # or to stderr: client.run(gilfree.report_stalls, 0.3)
        gilfree.report_stalls(0.3, file)


def match(text):
    return re.match(r"(a+)+$", text)  # takes exponential time, and `re` holds the GIL


if __name__ == "__main__":  # a new process imports this file
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs="CRITICAL"
        ) as c,
        Client(c) as client,
    ):
        path = Path(folder, "stalls.txt")
        client.run(report, str(path))
        client.submit(match, "a" * 24 + "b").result()
        client.run(gilfree.report_stalls, None)
        for line in path.read_text().splitlines():
            print(line[:80])
