"""A kernel on a Dask cluster: the same bits, by many small tasks or by one task a worker."""

import time

import gilfree

try:
    from distributed import Client, LocalCluster
except ModuleNotFoundError as error:
    raise SystemExit("this example needs Dask: pip install distributed") from error

SAMPLES = 100_000_000


def half(seed):
    return gilfree.monte_carlo_pi(SAMPLES // 2, seed, workers=1)


def clock(what, work):
    start = time.perf_counter()
    pi = work()
    print(f"  {what:<26}  {(time.perf_counter() - start) * 1e3:5.0f} ms  {pi:.8f}")


if __name__ == "__main__":  # a new process imports this file
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
        ) as c,
        Client(c) as client,
    ):
        executor = client.get_executor(pure=False)  # otherwise Dask runs equal calls once
        gilfree.monte_carlo_pi(10_000_000, executor=executor)  # makes all workers import gilfree
        print(f"π from {SAMPLES:,} samples")
        clock("here, on one worker", lambda: gilfree.monte_carlo_pi(SAMPLES, 1, workers=1))
        clock("Dask, small tasks", lambda: gilfree.monte_carlo_pi(SAMPLES, 1, executor=executor))
        clock("Dask, one task a worker*", lambda: sum(executor.map(half, [1, 2])) / 2)
        print("* with other random streams, and so another estimate")
