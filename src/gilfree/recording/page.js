// Draws the lanes of each recording on the page that is not drawn yet, and lets the reader zoom.
(() => {
  "use strict";
  const STATES = ["held", "waiting", "running", "blocked", "unread"];
  const N = STATES.length, [HELD] = STATES.keys();
  const MARK = 3;      // pixels: the height of a stall's mark, and the distance that still hits it
  const CLOSEST = 2e-5;  // seconds: the shortest view; samples are further apart

  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

  function readable(seconds) {
    if (seconds >= 999.5) return `${Math.round(seconds).toLocaleString("en")} s`;
    const [unit, name] = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]].find(
      ([least]) => seconds >= 0.9995 * least) || [1e-9, "ns"];
    return `${Number((seconds / unit).toPrecision(3))} ${name}`;
  }

  // The slices of a thread; and for each edge, the seconds in each state until then.
  class Lane {
    constructor([name, steps, shares], tick) {
      this.name = name;
      this.shares = bytes(shares);
      const ticks = new Uint32Array(bytes(steps).buffer);
      this.edges = new Float64Array(ticks.length);
      this.sums = new Float64Array(ticks.length * N);
      let sum = 0;
      ticks.forEach((step, i) => {
        this.edges[i] = (sum += step) * tick;
        for (let k = i ? 0 : N; k < N; k++)
          this.sums[i * N + k] =
            this.sums[(i - 1) * N + k] + step * tick * this.shares[(i - 1) * N + k] / 255;
      });
    }
    // The slice at a time, the last one after the end; -1 before the first.
    index(time) {
      let low = -1, high = this.edges.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (this.edges[middle] <= time) low = middle; else high = middle;
      }
      return low;
    }
    // Seconds in each state until a time.
    until(time) {
      const i = this.index(time), sums = new Float64Array(N);
      if (i < 0) return sums;
      const into = Math.min(time, this.edges[i + 1]) - this.edges[i];
      return sums.map((_, k) => this.sums[i * N + k] + into * this.shares[i * N + k] / 255);
    }
    // The share of each state between two times.
    within(begin, end) {
      const before = this.until(begin);
      return this.until(end).map((sum, k) => (sum - before[k]) / (end - begin));
    }
    // Moves a time to an edge within half a step, if a slice of two steps or more is beside it.
    snapped(time, step) {
      const i = this.index(time), last = this.edges.length - 1;
      for (const j of [i, i + 1])
        if (j >= 0 && j <= last && Math.abs(this.edges[j] - time) < step / 2
            && Math.max(this.edges[j] - this.edges[j - 1] || 0,
              this.edges[j + 1] - this.edges[j] || 0) >= 2 * step) return this.edges[j];
      return time;
    }
    // The state of a slice, or -1 if it was joined from several states.
    state(i) {
      return this.shares.subarray(i * N, i * N + N).indexOf(255);
    }
  }

  function start(root) {
    root.dataset.drawn = "";
    const source = root.querySelector("script[type='application/json']");
    if (!source) return;
    const data = JSON.parse(source.textContent), { words } = data;
    const lanes = data.lanes.map((lane) => new Lane(lane, data.tick));
    const stalls = data.stalls.map(([lane, begin, seconds, count, ...holders]) => ({
      lane, begin, seconds, end: begin + seconds, count,
      holders: holders.map(([who, held, place, inC]) => (
        { who: data.texts[who], held, place: data.texts[place], inC })),
    }));
    const find = (selector) => root.querySelector(selector);
    const chart = find(".chart"), cursor = find(".cursor"), tip = find(".tip");
    const rows = [...root.querySelectorAll(".lane")], tracks = [...root.querySelectorAll(".track")];
    const brushes = tracks.map((track) => {
      track.classList.add("drawn");
      return track.appendChild(document.createElement("canvas")).getContext("2d");
    });
    const view = { begin: 0, end: data.seconds };
    const closest = Math.min(CLOSEST, data.seconds);
    let colours = {}, pending = 0;

    // ---- the view

    function show(begin, end) {
      const span = clamp(end - begin, closest, data.seconds);
      view.begin = clamp((begin + end - span) / 2, 0, data.seconds - span);
      view.end = view.begin + span;
      pending = pending || requestAnimationFrame(draw);
    }
    const box = () => tracks[0].getBoundingClientRect();
    const timeAt = (x) => {
      const { left, width } = box();
      return view.begin + clamp((x - left) / width, 0, 1) * (view.end - view.begin);
    };
    const zoom = (factor, time = (view.begin + view.end) / 2) =>
      show(time - (time - view.begin) * factor, time + (view.end - time) * factor);
    const pan = (seconds) => {
      const by = clamp(seconds, -view.begin, data.seconds - view.end);
      show(view.begin + by, view.end + by);
    };
    const all = () => show(0, data.seconds);

    // ---- drawing

    function draw() {
      pending = 0;
      for (const name of [...STATES, "ink", "dim", "line"]) {
        root.style.color = `var(--${name})`;  // computed, it is the colour of the current theme
        colours[name] = getComputedStyle(root).color;
      }
      root.style.color = "";
      const { width } = box(), ratio = window.devicePixelRatio || 1;
      if (!width) return;
      brushes.forEach((brush, row) => {
        const { canvas } = brush, height = canvas.clientHeight;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        if (row) {
          paint(brush, lanes[row - 1], ratio);
          mark(brush, row - 1, ratio);
        } else {
          brush.scale(ratio, ratio);
          ticks(brush, width, height);
        }
      });
      find("output").textContent = view.end - view.begin < data.seconds
        ? `${readable(view.end - view.begin)} from ${moment(view.begin)}` : "";
      chart.dataset.painted = lanes.length;
    }

    // Paints columns of pixels in which the states are stacked; equal neighbours are one rectangle.
    function paint(brush, lane, ratio) {
      const { width, height } = brush.canvas, top = Math.round(MARK * ratio), tall = height - top;
      const step = (view.end - view.begin) / width, boxes = STATES.map(() => []);
      let begin = view.begin, before = lane.until(begin);
      for (let x = 0; x < width; x++) {
        const end = lane.snapped(view.begin + (x + 1) * step, step), after = lane.until(end);
        let sum = 0, y = height;
        boxes.forEach((found, k) => {
          sum += (after[k] - before[k]) / (end - begin);
          const next = height - Math.round(Math.min(sum, 1) * tall), last = found[found.length - 1];
          if (next >= y) return;
          if (last && last.end === x && last.y === next && last.bottom === y) last.end++;
          else found.push({ x, end: x + 1, y: next, bottom: y });
          y = next;
        });
        begin = end;
        before = after;
      }
      boxes.forEach((found, k) => {
        brush.fillStyle = colours[STATES[k]];
        for (const { x, end, y, bottom } of found) brush.fillRect(x, y, end - x, bottom - y);
      });
    }

    // Draws a line above each stall, and the name of its longest holder if it fits. The times of a
    // stall are exact even where slices were joined.
    function mark(brush, number, ratio) {
      const { width, height } = brush.canvas, span = view.end - view.begin;
      const place = (time) => Math.round(clamp((time - view.begin) / span, 0, 1) * width);
      const [top, line, pad] = [MARK, MARK - 1, 5].map((size) => Math.round(size * ratio));
      brush.font = `${(height < 20 * ratio ? 10 : 11) * ratio}px system-ui, sans-serif`;
      brush.textBaseline = "middle";
      for (const stall of stalls) {
        if (stall.lane !== number || stall.end < view.begin || stall.begin > view.end) continue;
        const left = place(stall.begin), wide = place(stall.end) - left;
        brush.fillStyle = colours.ink;
        brush.fillRect(left, 0, Math.max(wide - 1, 1), line);
        if (wide < top) continue;
        brush.fillStyle = colours.waiting;
        brush.fillRect(left, top, wide, height);
        const [most] = stall.holders;
        if (!most || wide < 30 * ratio) continue;
        const text = [most.place && `${most.who} in ${most.place}`, most.place, most.who].find(
          (some) => some && brush.measureText(some).width < wide - 2 * pad);
        brush.fillStyle = "#000";
        if (text) brush.fillText(text, left + pad, (top + height) / 2 + 0.5);
      }
    }

    function ticks(brush, width, height) {
      const span = view.end - view.begin, least = span * 80 / width;
      const power = 10 ** Math.floor(Math.log10(least));
      const step = (least > 5 ? [10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400] : [])
        .concat([1, 2, 5, 10].map((by) => by * power)).sort((a, b) => a - b)
        .find((some) => some >= least);
      brush.font = "12px system-ui, sans-serif";
      brush.textBaseline = "middle";
      for (let i = Math.ceil(view.begin / step - 1e-9); i * step <= view.end; i++) {
        const x = (i * step - view.begin) / span * width, text = label(i * step, step);
        brush.fillStyle = colours.line;
        brush.fillRect(Math.min(Math.round(x), width - 1), 3, 1, height);
        brush.fillStyle = colours.dim;
        if (x + 5 + brush.measureText(text).width < width) brush.fillText(text, x + 5, height / 2);
      }
    }
    // A time with the digits that a step needs: in ms, in s, or as h:mm:ss.
    function label(time, step) {
      const unit = data.seconds < 1 ? 1e-3 : 1;
      const digits = clamp(Math.ceil(-Math.log10(step / unit) - 1e-9), 0, 6);
      if (data.seconds < 120) return `${(time / unit).toFixed(digits)} ${unit < 1 ? "ms" : "s"}`;
      const scale = 10 ** digits, all = Math.round(time * scale), seconds = Math.floor(all / scale);
      const pad = (number, places) => String(number).padStart(places, "0");
      const rest = digits ? `.${pad(all % scale, digits)}` : "";
      return [Math.floor(seconds / 3600), pad(Math.floor(seconds / 60) % 60, 2),
        pad(seconds % 60, 2) + rest].join(":");
    }
    const moment = (time) => label(time, (view.end - view.begin) / 1000);

    // ---- what is under the pointer

    const percent = (share) => `${share < 0.01 ? "<1" : Math.round(share * 100)}%`;
    function holder({ who, held, place, inC }) {
      const how = inC === null ? "" : inC ? ", in one C call" : ", in bytecode";
      return `${who} ${words.held} for ${readable(held)}${place ? ` in ${place}` : ""}${how}`;
    }
    function describe(number, time, stallsToo = true) {
      const pixel = (view.end - view.begin) / box().width, lane = lanes[number];
      const stall = stallsToo && stalls.find((one) => one.lane === number
        && one.begin - MARK * pixel <= time && time <= one.end + MARK * pixel);
      if (stall) {
        const lines = stall.holders.map(holder);
        if (stall.count > lines.length) lines.push(`and ${stall.count - lines.length} more`);
        return [`${lane.name} ${words.waited} for ${readable(stall.seconds)}`,
          `from ${moment(stall.begin)}`, ...(lines.length ? lines : [words.unknown])];
      }
      const begin = Math.max(time - pixel / 2, 0), end = begin + pixel;
      if (number === 0) {
        if (!lane.within(begin, end)[HELD]) return [words.none, `at ${moment(time)}`];
        const shares = lanes.map((one, i) => (i ? one.within(begin, end)[HELD] : 0));
        const most = Math.max(...shares);
        if (most) return describe(shares.indexOf(most), time, false);
        return [words.other, `at ${moment(time)}`];
      }
      const i = lane.index(time), state = i < 0 ? -1 : lane.state(i);
      if (i < 0 || time > lane.edges[i + 1])
        return [lane.name, i < 0 ? "had not started yet" : "had ended"];
      const narrow = lane.edges[i + 1] - lane.edges[i] < pixel;
      const [from, to] = narrow ? [begin, end] : [lane.edges[i], lane.edges[i + 1]];
      if (state >= 0 && !narrow)
        return [`${lane.name} ${words.states[state]}`, `from ${moment(from)} for ${readable(to - from)}`];
      const shares = [...lane.within(from, to)].map((share, k) => [share, words.states[k]]);
      return [lane.name, `from ${moment(from)} for ${readable(to - from)}, several states:`,
        ...shares.filter(([share]) => share > 1e-6)
          .map(([share, what]) => `${percent(share)} ${what}`)];
    }
    function hover(event) {
      const row = event.target.closest(".lane"), { left, right } = box();
      const inside = event.clientX >= left && event.clientX <= right;
      tip.hidden = !row || !inside;
      cursor.hidden = !inside;
      if (!inside) return;
      const edge = chart.getBoundingClientRect().left;
      cursor.className = "cursor";
      Object.assign(cursor.style, { left: `${event.clientX - edge}px`, width: "" });
      if (!row) return;
      tip.textContent = describe(Number(row.dataset.lane), timeAt(event.clientX)).join("\n");
      Object.assign(tip.style, { left: 0, top: 0 });  // measure it where no edge narrows it
      const { offsetWidth: wide, offsetHeight: tall } = tip, gap = 14;
      const x = clamp(event.clientX + gap, 4, Math.max(4, window.innerWidth - wide - 8));
      const below = event.clientY + gap + tall < window.innerHeight - 4;
      const y = below ? event.clientY + gap : Math.max(4, event.clientY - gap - tall);
      Object.assign(tip.style, { left: `${x}px`, top: `${y}px` });
    }
    const leave = () => { tip.hidden = cursor.hidden = true; };

    // ---- pointer, wheel, keys, buttons

    const pointers = new Map();
    let selected = null;  // where a selection began
    chart.addEventListener("pointerdown", (event) => {
      if (event.button || !event.target.closest(".track")) return;
      pointers.set(event.pointerId, event.clientX);
      chart.setPointerCapture(event.pointerId);
      selected = event.shiftKey || event.target.closest(".axis") ? event.clientX : null;
      hover(event);
    });
    chart.addEventListener("pointermove", (event) => {
      const before = [...pointers.values()];
      if (!pointers.has(event.pointerId)) { hover(event); return; }
      tip.hidden = true;
      pointers.set(event.pointerId, event.clientX);
      const after = [...pointers.values()], perPixel = (view.end - view.begin) / box().width;
      const middle = (places) => places.reduce((a, b) => a + b) / places.length;
      if (selected !== null && after.length === 1) {
        const { left, right } = box(), edge = chart.getBoundingClientRect().left;
        const [from, to] = [selected, event.clientX].sort((a, b) => a - b)
          .map((x) => clamp(x, left, right));
        cursor.hidden = false;
        cursor.className = "cursor span";
        Object.assign(cursor.style, { left: `${from - edge}px`, width: `${to - from}px` });
        return;
      }
      cursor.hidden = true;
      if (after.length === 2) {
        const apart = ([a, b]) => Math.max(Math.abs(a - b), 10);
        zoom(apart(before) / apart(after), timeAt(middle(after)));
      }
      pan((middle(before) - middle(after)) * perPixel);
    });
    const up = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      const moved = selected !== null && Math.abs(event.clientX - selected) > 4;
      if (moved && event.type === "pointerup") {
        const [from, to] = [selected, event.clientX].map(timeAt).sort((a, b) => a - b);
        show(from, to);
      }
      selected = null;
      cursor.hidden = true;
    };
    for (const name of ["pointerup", "pointercancel"]) chart.addEventListener(name, up);
    chart.addEventListener("pointerleave", leave);
    // The wheel scrolls the page until the picture is clicked. A pinch on a touchpad sets ctrlKey.
    chart.addEventListener("wheel", (event) => {
      const pinched = event.ctrlKey || event.metaKey;
      const focused = chart.contains(document.activeElement);
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!pinched && !focused && !sideways) { leave(); return; }
      event.preventDefault();
      const pixels = event.deltaMode ? 30 : 1;
      if (sideways) pan(event.deltaX * pixels * (view.end - view.begin) / box().width);
      else zoom(Math.exp(event.deltaY * pixels * (pinched ? 0.01 : 0.002)), timeAt(event.clientX));
      leave();
    }, { passive: false });
    const step = () => (view.end - view.begin) / 5;
    const actions = {
      ArrowLeft: () => pan(-step()), ArrowRight: () => pan(step()), "+": () => zoom(0.5),
      "=": () => zoom(0.5), "-": () => zoom(2), 0: all, Home: all, Escape: () => chart.blur(),
    };
    chart.tabIndex = 0;
    chart.addEventListener("keydown", (event) => {
      const action = actions[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();  // a notebook handles these keys, too
      action();
    });
    const buttons = { in: () => zoom(0.5), out: () => zoom(2), all };
    for (const button of root.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", buttons[button.dataset.zoom]);
    for (const button of root.querySelectorAll("[data-stall]")) {
      button.disabled = false;
      button.addEventListener("click", () => {
        const { begin, seconds, end, lane } = stalls[Number(button.dataset.stall)];
        show(begin - seconds, end + seconds);
        rows.forEach((row, i) => row.classList.toggle("chosen", i === lane));
        rows[lane]?.scrollIntoView({ block: "nearest" });
      });
    }
    for (const part of root.querySelectorAll(".zoom, .keys")) part.hidden = false;
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    // JupyterLab hides its contents while its theme changes, so draw after that.
    new MutationObserver(() => { pending = pending || requestAnimationFrame(draw); })
      .observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
    new ResizeObserver(draw).observe(chart);
    draw();
  }

  for (const root of document.querySelectorAll(".gilfree-recording:not([data-drawn])")) start(root);
})();
