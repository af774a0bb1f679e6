"""The page of a recording: what it shows, that it is safe to open, its size, that it draws."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from markup import Structure, foreign_selectors

from gilfree.gil.facts import Facts, Holder, Slices, Stall, ThreadTimes
from gilfree.recording import page
from gilfree.recording.recording import Recording
from gilfree.recording.timeline import HELD, SLICE, STATES, WHOLE, Lane

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "</script><script>alert(1)</script><b title='\"&\u2028\udc80"


def recording(threads=3, slices=30, seconds=3.0, names=None, stalls=True):
    """Make a recording in which states follow one another, and thread i waits for thread 0."""
    names = names or [f"worker {number}" for number in range(threads)]
    parts, times, found = [], [], []
    for number, name in enumerate(names):
        edges = np.linspace(0, seconds * 1e9, slices + 1).astype("i8")
        part = np.zeros(slices, SLICE)
        part["start"], part["ns"], part["thread"] = edges[:-1], np.diff(edges), number
        states = (np.arange(slices) + number) % 4
        part["share"][np.arange(slices), states] = WHOLE
        parts.append(part)
        share = [seconds / 4] * 4
        times.append(ThreadTimes(name, 100 + number, seconds, *share, 0.1, 0.1, slices))
        begin = part["start"][states == STATES.index("waiting")][0] / 1e9
        holder = Holder(names[0], 0.05, f"/srv/{HOSTILE}/app.py", 41, "parse", in_c=True)
        found.append(Stall(name, float(begin), seconds / slices, (holder,), index=number))
    every = np.concatenate(parts)
    kept = Slices(every.tobytes(), 0, tuple(range(len(names))), 0.0)
    return Recording(Facts(seconds, tuple(times), tuple(found if stalls else ()), 9, slices=kept))


def data_of(text):
    source = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(source[1])


def test_a_file_with_the_suffix_html_is_the_page(tmp_path):
    path = tmp_path / "found.html"
    recording().save(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    structure = Structure(text)
    assert structure.tags.count("svg") == 4  # the GIL and three threads, without the script
    assert structure.tags.count("script") == 2
    assert "<h1>worker 0 waited for the GIL for 750 ms of 3 s" in text


def test_the_page_loads_nothing():
    text = page.page(recording())
    assert not re.search(r"https?:|url\(|@import|\bfetch\b|XMLHttp|import\(", text)
    names = {name for name, _ in Structure(text).attributes}
    assert names & {"src", "href", "id", "onclick", "srcset"} == set()


def test_all_threads_and_stalls_are_there():
    found = recording(threads=5)
    text = page.page(found)
    data = data_of(text)
    assert [lane[0] for lane in data["lanes"]] == ["the GIL", *(t.name for t in found.threads)]
    assert [stall[0] for stall in data["stalls"]] == [1, 2, 3, 4, 5]  # the lane of its thread
    assert text.count("data-stall=") == 5
    for thread in found.threads:
        assert text.count(f"<th>{thread.name}</th>") == 1


def test_names_stay_text():
    found = recording(names=[HOSTILE, "x" * 1000])
    text = page.page(found)
    text.encode()  # no lone surrogate
    assert "<script>alert" not in text
    assert Structure(text).tags.count("script") == 2
    assert "x" * 200 not in text
    assert data_of(text)["lanes"][1][0] == HOSTILE


def test_threads_of_one_name_have_their_own_stalls():
    data = data_of(page.page(recording(names=["same", "same", None])))
    assert [stall[0] for stall in data["stalls"]] == [1, 2, 3]


def test_the_part_for_a_notebook_styles_nothing_else():
    text = recording()._repr_html_()
    assert not re.search(r"<(html|body|head|!DOCTYPE)", text)
    assert foreign_selectors(text) == []


def test_a_long_recording_stays_small_and_says_what_was_joined():
    found = recording(threads=40, slices=12_500, seconds=3600.0)
    text = page.page(found)
    assert len(text) < 3e6
    assert re.search(r"shorter than .* are joined \([\d,]+ on this page\)", text)


def test_many_threads_are_counted_not_drawn():
    text = page.page(recording(threads=250))
    assert len(data_of(text)["lanes"]) == page.MOST_LANES + 1
    assert "150 threads that waited no longer than these: drawn in the first lane only" in text
    assert "And 220 stalls that took no longer" in text


@pytest.mark.parametrize(
    "facts", [Facts(0.0, (), ()), Facts(1.0, recording().threads, ()), Facts(0.0, (), (), missed=1)]
)
def test_without_slices_there_is_no_picture(facts):
    text = page.page(Recording(facts))
    Structure(text)
    assert "<svg" not in text
    assert Recording(facts).sentence in text


def test_short_slices_are_joined_without_loss():
    rng = np.random.default_rng(0)
    edges = np.sort(rng.uniform(0, 1, 1001))
    shares = rng.dirichlet(np.ones(len(STATES)), 1000)
    lane = Lane(edges, shares)
    joined = page._join(lane, 0.01)
    assert len(joined.shares) < 210
    assert np.isin(joined.edges, edges).all()
    time = np.diff(edges) @ shares
    np.testing.assert_allclose(np.diff(joined.edges) @ joined.shares, time)
    long = Lane(np.array([0.0, 0.001, 0.5, 0.5001]), np.eye(len(STATES))[[0, 1, 2]])
    np.testing.assert_array_equal(page._join(long, 0.01).edges, long.edges)


def test_the_first_lane_is_held_while_any_thread_holds_the_gil():
    one = Lane(np.array([0.0, 1.0, 2.0]), np.eye(len(STATES))[[HELD, 1]])
    other = Lane(np.array([0.5, 1.0, 1.5, 3.0]), np.eye(len(STATES))[[1, HELD, 2]])
    gil = page._gil_lane([one, other])
    np.testing.assert_allclose(gil.between(0.0, 3.0, 6)[:, HELD], [1, 1, 1, 0, 0, 0])
    assert page._gil_lane([Lane(np.zeros(1), np.zeros((0, len(STATES))))]).edges.tolist() == [0.0]


# Acts as a reader would, and collects what the page then shows.
ACTIONS = """
<script>
const told = [], errors = [];
requestAnimationFrame = (go) => setTimeout(go);  // virtual time has few frames
const tell = (name, value) => told.push([name, value]);
addEventListener("error", (event) => errors.push(event.message));
addEventListener("load", () => setTimeout(() => {
  const root = document.querySelector(".gilfree-recording"), chart = root.querySelector(".chart");
  const output = root.querySelector("output"), tip = root.querySelector(".tip");
  const frame = () => new Promise((go) => setTimeout(go, 60));
  const track = (row) => root.querySelectorAll(".lane .track")[row];
  const over = (row, part) => {
    const { left, width, top } = track(row).getBoundingClientRect();
    const where = { bubbles: true, clientX: left + part * width, clientY: top + 9 };
    track(row).dispatchEvent(new PointerEvent("pointermove", where));
  };
  const colours = (row) => {
    const canvas = track(row).querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, canvas.height - 2, canvas.width, 1);
    const found = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add(
      "#" + [...data.subarray(i, i + 3)].map((one) => one.toString(16).padStart(2, "0")).join(""));
    return [...found].sort();
  };
  (async () => {
    await frame();
    tell("drawn", document.querySelectorAll(".chart[data-painted]").length);
    tell("gil", colours(0));
    tell("thread", colours(1));
    over(0, 0.01);
    tell("holder", tip.textContent);
    over(1, 0.05);
    tell("stall", tip.textContent);
    const box = tip.getBoundingClientRect();
    tell("inside", box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight);
    root.querySelector("[data-stall='1']").click();
    await frame();
    tell("zoomed", output.textContent);
    chart.dispatchEvent(new KeyboardEvent("keydown", { key: "0" }));
    await frame();
    tell("all", output.textContent);
    chart.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
    await frame();
    tell("key", output.textContent);
    chart.dispatchEvent(new WheelEvent("wheel", { deltaY: -70, ctrlKey: true, bubbles: true }));
    await frame();
    tell("wheel", output.textContent);
    tell("errors", errors);
    const seen = document.createElement("pre");
    seen.id = "seen";
    seen.textContent = JSON.stringify(Object.fromEntries(told));
    document.body.append(seen);
  })();
}, 100));
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.thread_unsafe(reason="starts a browser")
@pytest.mark.parametrize(
    ("theme", "blocked"), [("", "#ebebeb"), (' data-jp-theme-light="false"', "#2c2f34")]
)
def test_the_script_draws_and_zooms_in_the_theme_of_the_notebook(tmp_path, theme, blocked):
    found = recording(slices=12)
    other = found._repr_html_()  # a second one on the page
    text = page.page(found).replace("</head>", f"{ACTIONS}</head>")
    text = text.replace("</body>", f"{other}</body>")
    text = text.replace("<body", f"<body{theme}")
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=800,900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--blink-settings=preferredColorScheme=1", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    seen = re.search('<pre id="seen">(.*?)</pre>', done.stdout)
    assert seen, done.stderr
    told = json.loads(html.unescape(seen[1]))
    assert told["errors"] == []
    assert told["drawn"] == 2
    assert told["gil"] == ["#d55e00"]
    assert told["thread"] == sorted(["#56b4e9", "#d55e00", "#f0e442", blocked])
    assert told["holder"].startswith("worker 0 holds the GIL\nfrom 0.000 s for 250 ms")
    assert told["stall"].startswith("worker 0 ")
    assert told["inside"]
    assert told["zoomed"].startswith("750 ms from 0.000")
    assert told["all"] == ""
    assert told["key"].startswith("1.5 s from 0.75")
    assert told["wheel"] not in ("", told["key"])
