"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const page = JSON.parse($("roto").textContent);
  const frames = page.frames;
  const indexOf = new Map(frames.map((frame, index) => [frame.frame, index]));
  const colours = ["#ff6259", "#ffb02e", "#ffe45c", "#a3e05f", "#3fdc9c", "#3ccbff", "#6f9bff", "#b985ff", "#ff7ad9", "#f4f4f4"];
  const colour = (shape) => colours[shape % colours.length];
  const layers = { shapes: true, controls: false, tangents: false, points: true, names: false };
  const matteModes = page.layers.length ? ["off", "tint", "alone"] : ["off"];
  const state = { index: 0, plain: false, matte: "off", layer: page.layers[0], solo: null, hover: null, playing: false };
  const view = { zoom: 1, x: 0, y: 0 };

  /* ---------- small helpers ---------- */

  const SVG = "http://www.w3.org/2000/svg";
  function make(name, attributes = {}, parent = null, text = null) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }
  function tag(name, className, text, parent) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }
  const px = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
  const grade = (value, limit) => (value > limit ? "bad" : value > 0.6 * limit ? "near" : "good");
  const now = () => frames[state.index];

  /* ---------- pictures: kept ready around the current frame ---------- */

  const ready = new Map();
  const KEEP = 40;
  function picture(path) {
    let image = ready.get(path);
    if (image) ready.delete(path);
    else {
      image = new Image();
      image.alt = "";
      image.draggable = false;
      image.src = path;
      image.done = image.decode();
      image.done.catch(() => {});
    }
    ready.set(path, image);
    while (ready.size > KEEP) ready.delete(ready.keys().next().value);
    return image;
  }
  const platePath = (frame) => `pictures/plate.${frame.frame}.jpg`;
  const mattePath = (frame) => `pictures/matte.${encodeURIComponent(state.layer)}.${frame.frame}.jpg`;
  function paths(frame) {
    return state.matte === "off" ? [platePath(frame)] : [platePath(frame), mattePath(frame)];
  }

  /* ---------- drawing a frame ---------- */

  function cubic(a, b) {
    return `C${a[0] + a[4]} ${a[1] + a[5]} ${b[0] + b[2]} ${b[1] + b[3]} ${b[0]} ${b[1]}`;
  }
  function drawShape(group, shape, data, closed, unit) {
    const points = data.points;
    const count = closed ? points.length : points.length - 1;
    const parts = { seen: "", hidden: "" };
    let last = null;
    for (let i = 0; i < count; i++) {
      const j = (i + 1) % points.length;
      const kind = data.seen[i] && data.seen[j] ? "seen" : "hidden";
      if (kind !== last) parts[kind] += `M${points[i][0]} ${points[i][1]}`;
      parts[kind] += cubic(points[i], points[j]);
      last = kind;
    }
    const strong = state.hover === shape ? 1.8 : 1;
    const line = { fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round" };
    if (parts.hidden) make("path", { ...line, d: parts.hidden, stroke: colour(shape), "stroke-width": strong * unit, "stroke-dasharray": `${3 * unit} ${4 * unit}`, class: "hidden" }, group);
    if (parts.seen) {
      make("path", { ...line, d: parts.seen, stroke: "#000", "stroke-opacity": .45, "stroke-width": 3.2 * strong * unit }, group);
      make("path", { ...line, d: parts.seen, stroke: colour(shape), "stroke-width": 1.5 * strong * unit, class: "curve" }, group);
    }
  }
  function drawControls(group, shape, data, unit) {
    const side = 2.6 * unit;
    data.points.forEach((p, i) => make("rect", { class: "control", x: p[0] - side, y: p[1] - side, width: 2 * side, height: 2 * side, fill: data.seen[i] ? colour(shape) : "none", stroke: data.seen[i] ? "#000" : colour(shape), "stroke-width": .8 * unit }, group));
  }
  function drawTangents(group, shape, data, unit) {
    for (const p of data.points) for (const k of [2, 4]) {
      if (!p[k] && !p[k + 1]) continue;
      const x = p[0] + p[k], y = p[1] + p[k + 1];
      make("line", { class: "tangent", x1: p[0], y1: p[1], x2: x, y2: y, stroke: colour(shape), "stroke-opacity": .75, "stroke-width": .9 * unit }, group);
      make("circle", { cx: x, cy: y, r: 2 * unit, fill: "#222", stroke: colour(shape), "stroke-width": .9 * unit }, group);
    }
  }
  function drawName(group, text, x, y, fill, unit, seen) {
    const label = make("text", { x: 0, y: 0, fill, "stroke-width": 3, "fill-opacity": seen ? 1 : .6, transform: `translate(${x} ${y}) scale(${unit / page.pixel_aspect} ${unit})` }, group, text);
    label.setAttribute("class", "name");
  }
  function drawTrack(group, name, track, unit) {
    const [x, y] = track.xy, arm = 4.5 * unit;
    const d = `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
    const stroke = track.visible ? "#7df9ff" : "#8a8a8a";
    make("path", { d, stroke: "#000", "stroke-opacity": .55, "stroke-width": 3 * unit }, group);
    make("path", { class: "track", d, stroke, "stroke-width": 1.3 * unit, ...(track.visible ? {} : { "stroke-dasharray": `${2 * unit}` }) }, group);
    if (layers.names) drawName(group, name, x + 6 * unit, y - 4 * unit, stroke, unit, track.visible);
  }
  /* Large shapes below small ones, open ones on top: a seam must not lie under a face's edge. */
  function drawingOrder(frame) {
    const size = (shape) => {
      const data = frame.shapes[shape];
      if (!data || !page.shapes[shape].closed) return 0;
      const [xs, ys] = [0, 1].map((axis) => data.points.map((p) => p[axis]));
      return (Math.max(...xs) - Math.min(...xs)) * (Math.max(...ys) - Math.min(...ys));
    };
    const sizes = page.shapes.map((_, shape) => size(shape));
    return [...sizes.keys()].sort((a, b) => sizes[b] - sizes[a]);
  }
  function drawOverlay() {
    const frame = now(), svg = $("overlay");
    const shown = $("stage").clientHeight;
    svg.replaceChildren();
    if (state.plain || shown === 0) return;
    const unit = page.height / shown; // plate px of one screen px
    for (const shape of drawingOrder(frame)) {
      const data = frame.shapes[shape];
      if (!data || !data.visible || (state.solo !== null && state.solo !== shape)) continue;
      const group = make("g", { "data-shape": page.shapes[shape].name }, svg);
      if (layers.shapes) drawShape(group, shape, data, page.shapes[shape].closed, unit);
      if (layers.tangents) drawTangents(group, shape, data, unit);
      if (layers.controls) drawControls(group, shape, data, unit);
      if (layers.names) {
        const top = data.points.reduce((best, p) => (p[1] < best[1] ? p : best));
        drawName(group, page.shapes[shape].name, top[0], top[1] - 6 * unit, colour(shape), unit, true);
      }
    }
    if (layers.points && state.solo === null) frame.tracks.forEach((track, i) => { if (track) drawTrack(svg, page.tracks[i], track, unit); });
  }

  function drawBadge() {
    const frame = now(), badge = $("badge");
    badge.replaceChildren();
    tag("span", "", String(frame.frame), badge);
    if (frame.flagged) tag("span", "flag", "look at this frame", badge);
    if (frame.hold_of !== null) tag("span", "", `hold of ${frame.hold_of}`, badge);
    if (frame.error) tag("span", frame.error.clean ? "" : "flag", frame.error.clean ? "measured: clean" : "measured: not clean", badge);
  }

  function drawInfo() {
    const frame = now();
    $("number").textContent = frame.frame;
    const list = $("reasons");
    list.replaceChildren();
    for (const reason of frame.reasons) tag("li", "bad", reason, list);
    if (frame.hold_of !== null) tag("li", "dim", `repeats frame ${frame.hold_of} (hold)`, list);
    if (frame.error) {
      tag("li", "dim", `tracking points ${px(frame.error.tracks_px)} px off`, list);
      for (const name of frame.error.missing) tag("li", "bad", `${name} is missing`, list);
    }
    const rows = $("rows");
    rows.replaceChildren();
    frame.shapes.forEach((data, shape) => rows.append(row(frame, data, shape)));
  }
  function row(frame, data, shape) {
    const line = tag("tr", "", null, null);
    line.dataset.row = page.shapes[shape].name;
    if (!data || !data.visible) line.classList.add("gone");
    if (state.solo === shape) line.classList.add("solo");
    const name = tag("td", "", null, line);
    tag("span", "swatch", null, name).style.background = colour(shape);
    name.append(page.shapes[shape].name);
    if (data && data.visible) {
      const expected = data.expected_px;
      tag("td", `number ${expected === null ? "dim" : grade(expected, page.limit_px)}`, px(expected), line);
      tag("td", "number", px(data.confidence), line);
    } else {
      const cell = tag("td", "number", data ? "hidden" : "none", line);
      cell.colSpan = 2;
    }
    if (page.measured) {
      const error = frame.error && frame.error.shapes[shape];
      tag("td", `number ${error ? (error.clean ? "good" : "bad") : "dim"}`, error ? `${px(error.mean_px)} / ${px(error.p95_px)}` : "–", line);
    }
    const sources = { predicted: "p", artist: "a", propagated: "c" };
    tag("td", "dim", data ? sources[data.source] : "", line).title = data ? data.source : "";
    line.addEventListener("click", () => { state.solo = state.solo === shape ? null : shape; drawOverlay(); drawInfo(); });
    line.addEventListener("mouseenter", () => { state.hover = shape; drawOverlay(); });
    line.addEventListener("mouseleave", () => { state.hover = null; drawOverlay(); });
    return line;
  }

  /* Overlay and pictures change together, else shapes seem to slip while playing. */
  let asked = 0;
  async function show(index) {
    state.index = Math.max(0, Math.min(frames.length - 1, index));
    const turn = ++asked, frame = now();
    const images = paths(frame).map(picture);
    try {
      await Promise.all(images.map((image) => image.done));
      if (turn === asked) $("fault").textContent = "";
    } catch {
      if (turn === asked) $("fault").textContent = `a picture of frame ${frame.frame} cannot be loaded; make the page again`;
    }
    if (turn !== asked) return;
    $("plate").replaceChildren(images[0]);
    if (images[1]) $("matte").src = images[1].src;
    $("stage").className = state.matte === "off" ? "" : state.matte;
    document.body.dataset.frame = frame.frame;
    drawOverlay();
    drawBadge();
    drawInfo();
    drawHead();
    for (const old of document.querySelectorAll(".thumb.current")) old.classList.remove("current");
    const thumb = document.querySelector(`.thumb[data-frame="${frame.frame}"]`);
    thumb.classList.add("current");
    if (!state.playing) thumb.scrollIntoView({ block: "nearest" });
    for (const step of [1, 2, 3, 4, -1]) if (frames[state.index + step]) paths(frames[state.index + step]).forEach(picture);
  }

  /* ---------- zoom and pan ---------- */

  function fitScale() {
    const box = $("viewport");
    return Math.min(box.clientWidth / (page.width * page.pixel_aspect), box.clientHeight / page.height);
  }
  function place() {
    const scale = fitScale() * view.zoom, stage = $("stage"), box = $("viewport");
    const width = page.width * page.pixel_aspect * scale, height = page.height * scale;
    stage.style.width = `${width}px`;
    stage.style.height = `${height}px`;
    stage.style.transform = `translate(${(box.clientWidth - width) / 2 + view.x}px, ${(box.clientHeight - height) / 2 + view.y}px)`;
    $("zoom").textContent = `${Math.round(scale * 100)} %`;
    drawOverlay();
  }
  function zoomBy(factor, at = null) {
    const box = $("viewport").getBoundingClientRect();
    const x = at ? at.x - box.left - box.width / 2 : 0, y = at ? at.y - box.top - box.height / 2 : 0;
    const zoom = Math.max(.25, Math.min(40, view.zoom * factor)), ratio = zoom / view.zoom;
    Object.assign(view, { zoom, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio });
    place();
  }
  function fit() {
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    place();
  }
  function dragging() {
    const box = $("viewport");
    let from = null;
    box.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(Math.exp(-event.deltaY / 400), event); }, { passive: false });
    box.addEventListener("dblclick", fit);
    box.addEventListener("pointerdown", (event) => { from = { x: event.clientX - view.x, y: event.clientY - view.y }; box.setPointerCapture(event.pointerId); box.classList.add("dragging"); });
    box.addEventListener("pointermove", (event) => { if (from) { view.x = event.clientX - from.x; view.y = event.clientY - from.y; place(); } });
    box.addEventListener("pointerup", () => { from = null; box.classList.remove("dragging"); });
    new ResizeObserver(place).observe(box);
  }

  /* ---------- the strip: every frame over time ---------- */

  const known = (pick) => frames.some((frame) => pick(frame) !== null && pick(frame) !== undefined);
  function strips() {
    const limit = page.limit_px;
    const found = [];
    if (known((f) => f.expected_px)) found.push({ label: `expected error, worst shape (line: ${px(limit)} px)`, value: (f) => f.expected_px, limit, top: 3 * limit });
    else if (known((f) => f.confidence)) found.push({ label: "doubt (1 − confidence), worst shape", value: (f) => (f.confidence === null ? null : 1 - f.confidence), limit: .5, top: 1 });
    if (page.measured) found.push({ label: `measured error, worst shape (line: ${px(limit)} px)`, value: (f) => (f.error ? f.error.worst_px : null), limit, top: 3 * limit, second: found.length > 0, missing: (f) => f.error && f.error.missing.length > 0 });
    return found;
  }
  function row2(label, className, height) {
    tag("label", "", label, $("strip"));
    return make("svg", { class: className, viewBox: `0 0 ${frames.length} ${height}`, preserveAspectRatio: "none" }, $("strip"));
  }
  function drawStrip() {
    const flags = row2("", "flags", 12);
    frames.forEach((frame, i) => {
      if (frame.flagged) make("path", { class: "flag", d: `M${i + .1} 1H${i + .9}L${i + .5} 11Z` }, flags);
    });
    for (const strip of strips()) {
      const svg = row2(strip.label, strip.second ? "bars second" : "bars", 100);
      frames.forEach((frame, i) => drawBar(svg, strip, frame, i));
      make("line", { class: "limit", x1: 0, x2: frames.length, y1: 100 - 100 * strip.limit / strip.top, y2: 100 - 100 * strip.limit / strip.top }, svg);
      make("rect", { class: "head", y: 0, width: 1, height: 100 }, svg);
    }
    if (frames.some((frame) => frame.hold_of !== null)) {
      const holds = row2("holds", "flags", 12);
      frames.forEach((frame, i) => { if (frame.hold_of !== null) make("rect", { class: "hold", x: i, y: 4, width: 1, height: 4 }, holds); });
    }
    tag("label", "", null, $("strip"));
    const ruler = tag("div", "", null, $("strip"));
    ruler.id = "ruler";
    const every = Math.max(1, Math.ceil(frames.length / 24));
    frames.forEach((frame, i) => { if (i % every === 0) tag("span", "", String(frame.frame), ruler).style.left = `${(100 * (i + .5)) / frames.length}%`; });
    for (const svg of $("strip").querySelectorAll("svg")) scrubbing(svg);
  }
  function drawBar(svg, strip, frame, i) {
    const value = strip.value(frame), lost = strip.missing && strip.missing(frame);
    const full = value === null || value === undefined ? 0 : 100 * Math.min(1, value / strip.top);
    const height = lost ? 100 : Math.max(1.5, full);
    const fill = lost ? "var(--bad)" : value === null ? "#444" : `var(--${grade(value, strip.limit)})`;
    const bar = make("rect", { class: "bar", "data-bar": frame.frame, x: i + .04, y: 100 - height, width: .92, height, fill }, svg);
    make("title", {}, bar, `${frame.frame}: ${px(value)}${lost ? ", shapes missing" : ""}${frame.flagged ? `\n${frame.reasons.join("\n")}` : ""}`);
  }
  function scrubbing(svg) {
    let held = false;
    const go = (event) => {
      const box = svg.getBoundingClientRect();
      stop();
      show(Math.floor(((event.clientX - box.left) / box.width) * frames.length));
    };
    svg.addEventListener("pointerdown", (event) => { held = true; svg.setPointerCapture(event.pointerId); go(event); });
    svg.addEventListener("pointermove", (event) => { if (held) go(event); });
    svg.addEventListener("pointerup", () => { held = false; });
  }
  function drawHead() {
    for (const head of $("strip").querySelectorAll(".head")) head.setAttribute("x", state.index);
  }

  /* ---------- what keys and buttons do ---------- */

  function stop() {
    state.playing = false;
    document.querySelector("[data-go=play]").setAttribute("aria-pressed", "false");
  }
  async function play() {
    if (state.playing) return stop();
    state.playing = true;
    document.querySelector("[data-go=play]").setAttribute("aria-pressed", "true");
    while (state.playing) {
      const due = performance.now() + 1000 / page.fps;
      await show((state.index + 1) % frames.length);
      await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
    }
  }
  function step(by) { stop(); show(state.index + by); }
  function flagged(direction) {
    stop();
    for (let k = 1; k <= frames.length; k++) {
      const index = (state.index + direction * k + frames.length * k) % frames.length;
      if (frames[index].flagged) return show(index);
    }
  }
  function toggle(layer) {
    if (state.plain) state.plain = false;
    else layers[layer] = !layers[layer];
    press();
  }
  function nextMatte() {
    state.matte = matteModes[(matteModes.indexOf(state.matte) + 1) % matteModes.length];
    press();
    show(state.index);
  }
  function nextLayer() {
    if (!page.layers.length) return;
    pickLayer(page.layers[(page.layers.indexOf(state.layer) + 1) % page.layers.length]);
  }
  function pickLayer(layer) {
    state.layer = layer;
    if (state.matte === "off") state.matte = "tint";
    press();
    show(state.index);
  }
  function press() {
    for (const button of document.querySelectorAll("[data-layer]")) button.setAttribute("aria-pressed", String(!state.plain && layers[button.dataset.layer]));
    document.querySelector("[data-plain]").setAttribute("aria-pressed", String(state.plain));
    if (page.layers.length) {
      $("matte-mode").textContent = state.matte;
      $("matte-layer").value = state.layer;
      document.querySelector("[data-matte]").setAttribute("aria-pressed", String(state.matte !== "off"));
    }
    drawOverlay();
  }
  const actions = {
    arrowleft: (event) => step(event.shiftKey ? -10 : -1), arrowright: (event) => step(event.shiftKey ? 10 : 1),
    home: () => step(-frames.length), end: () => step(frames.length),
    f: (event) => flagged(event.shiftKey ? -1 : 1), " ": play,
    s: () => toggle("shapes"), c: () => toggle("controls"), t: () => toggle("tangents"), p: () => toggle("points"), n: () => toggle("names"),
    o: () => { state.plain = !state.plain; press(); }, m: nextMatte, l: nextLayer,
    "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), h: fit, 1: () => zoomBy(1 / (fitScale() * view.zoom)),
  };
  function listen() {
    document.addEventListener("keydown", (event) => {
      const action = actions[event.key.toLowerCase()];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (event.target.blur) event.target.blur();
      action(event);
    });
    for (const button of document.querySelectorAll("[data-layer]")) button.addEventListener("click", () => toggle(button.dataset.layer));
    for (const thumb of document.querySelectorAll(".thumb")) thumb.addEventListener("click", () => { stop(); show(indexOf.get(Number(thumb.dataset.frame))); });
    document.querySelector("[data-plain]").addEventListener("click", () => { state.plain = !state.plain; press(); });
    const go = { previous: () => step(-1), next: () => step(1), play, flag: () => flagged(1), fit };
    for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go[button.dataset.go]());
    if (page.layers.length) {
      document.querySelector("[data-matte]").addEventListener("click", nextMatte);
      $("matte-layer").addEventListener("change", (event) => pickLayer(event.target.value));
    }
    window.addEventListener("hashchange", fromHash);
  }
  function fromHash() {
    const asked = indexOf.get(Number(location.hash.slice(1)));
    if (asked !== undefined) show(asked);
    return asked !== undefined;
  }

  dragging();
  listen();
  drawStrip();
  place();
  press();
  if (!fromHash()) show(Math.max(0, frames.findIndex((frame) => frame.flagged)));
})();
