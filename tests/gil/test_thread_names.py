"""Listeners are called for each thread that starts, and `threading` is restored after the last."""

from __future__ import annotations

import threading

import pytest

from gilfree.gil import thread_names

pytestmark = pytest.mark.thread_unsafe(reason="counts all threads that start")
Thread = threading.Thread


def run_thread(name, function=lambda: None):
    thread = Thread(target=function, name=name)
    thread.start()
    thread.join()
    return thread


def test_names_of_threads_that_live_start_end_and_are_renamed():
    go_on, ended = threading.Event(), []
    older = Thread(target=go_on.wait, name="older")
    older.start()
    names = thread_names.Names()
    try:
        ended = [run_thread(f"thread {number}") for number in range(600)]
        run_thread("first", lambda: setattr(threading.current_thread(), "name", "last"))
        older.name = "renamed"
    finally:
        go_on.set()
        older.join()
        found = names.finish()
    assert found[older.native_id] == ["renamed"]
    assert found[threading.main_thread().native_id] == ["MainThread"]
    given = [name for some in found.values() for name in some]
    assert sorted(given) == sorted(
        {thread.name for thread in ended} | {"last", "renamed"} | others()
    )
    for thread in ended:
        assert thread.name in found[thread.native_id]  # several names if the id was reused


def others():
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("first", [0, 1])
def test_several_listeners_stop_in_any_order(first):
    before = Thread._set_native_id
    heard = [], []
    listeners = [one.append for one in heard]
    for listener in listeners:
        thread_names.listen(listener)
    both = run_thread("both")
    thread_names.stop_listening(listeners[first])
    one = run_thread("one")
    thread_names.stop_listening(listeners[1 - first])
    assert Thread._set_native_id is before
    run_thread("none")
    assert [thread in heard[first] for thread in (both, one)] == [True, False]
    assert heard[1 - first][-2:] == [both, one]


def test_a_listener_that_fails_and_a_wrapper_stop_no_thread(monkeypatch):
    def fail(thread):
        if thread.name == "started":
            raise ZeroDivisionError

    ran = []
    thread_names.listen(fail)
    listening = Thread._set_native_id
    # Other packages wrap the method, too.
    monkeypatch.setattr(Thread, "_set_native_id", lambda thread: listening(thread))
    run_thread("started", lambda: ran.append(1))
    thread_names.stop_listening(fail)
    run_thread("started", lambda: ran.append(2))
    heard = []
    thread_names.listen(heard.append)  # wraps the wrapper
    again = run_thread("again")
    thread_names.stop_listening(heard.append)
    assert again in heard
    monkeypatch.undo()
    thread_names.listen(fail)  # still in place: it must not be installed twice
    thread_names.stop_listening(fail)
    assert ran == [1, 2]
    assert Thread._set_native_id is not listening
