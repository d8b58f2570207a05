"use strict";
// Draws the page's scatter and step plots to the width they have, and finds the candidate at a pointer.
const report = JSON.parse(document.getElementById("data").textContent);
const onFront = new Set(report.front);
const infeasible = new Set(report.infeasible);
const room = {left: 72, right: 12, top: 12, bottom: 46, title: 12}, mostTicks = 10;

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties || {});
  element.append(...children);
  return element;
}

function grouped(value) {
  const text = String(Math.abs(value));
  const parted = text.length > 4 ? text.replace(/\B(?=(\d{3})+$)/g, "\u202f") : text;
  return (value < 0 ? "-" : "") + parted;
}

const shortest = value => String(Number(value.toPrecision(4)));

// The same rules as numbers.py: four figures, thin spaces, M, G, T; zeros at the end of a large one would only look exact.
function number(value, unit, figures = value => value.toPrecision(4), large = shortest) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const tail = unit && unit !== "1" ? " " + unit : "";
  for (const [power, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"]])
    if (size >= power * 0.99995) return large(value / power) + "\u202f" + letter + tail;
  if (Number.isInteger(value) || size >= 9999.5) return grouped(Math.round(value)) + tail;
  return figures(value) + tail;
}

const tickText = value => number(value, "1", shortest);

function withError(field, i) {
  const value = report.values[field][i], errors = report.errors[field];
  const error = errors && errors[i], unit = report.fields[field].unit;
  if (value === null || !(error > 0)) return number(value, unit);
  const decimals = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(error))));
  return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}` + (unit !== "1" ? " " + unit : "");
}

function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const away = m => Math.abs(Math.log(m * power / rough));
  const step = [1, 2, 5, 10].reduce((best, m) => away(m) < away(best) ? m : best) * power;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

function scale(values, start, end) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  if (low > high) { low = 0; high = 1; }
  const extra = (high - low) * 0.05 || Math.abs(high) * 0.05 || 0.5;
  low -= extra; high += extra;
  const map = value => start + (value - low) / (high - low) * (end - start);
  return Object.assign(map, {low, high});
}

const short = value => String(Math.round(value * 10) / 10);
const diamond = (x, y, r) => `M${short(x)} ${short(y - r)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`;

function axisTitle(field, small) {
  const unit = field.unit !== "1" && !/_(ms|seconds)$/.test(field.name) ? ` (${field.unit})` : "";
  const better = small || !field.objective || !field.direction ? "" : field.direction === "maximize" ? ", more is better" : ", less is better";
  return field.name + unit + better;
}

function axes(across, up, xTitle, yTitle, width, height) {
  const group = svg("g", {class: "axes"}), bottom = height - room.bottom;
  for (const value of ticks(across.low, across.high, Math.min(mostTicks, Math.floor((width - room.left) / 70)))) {
    group.append(svg("line", {class: "grid", x1: short(across(value)), x2: short(across(value)), y1: room.top, y2: bottom}));
    group.append(svg("text", {x: short(across(value)), y: bottom + 16, "text-anchor": "middle"}, tickText(value)));
  }
  for (const value of ticks(up.low, up.high, Math.floor((bottom - room.top) / 45))) {
    group.append(svg("line", {class: "grid", x1: room.left, x2: width - room.right, y1: short(up(value)), y2: short(up(value))}));
    group.append(svg("text", {x: room.left - 7, y: short(up(value) + 4), "text-anchor": "end"}, tickText(value)));
  }
  const centre = short((room.top + bottom) / 2);
  group.append(svg("text", {class: "title", x: short((room.left + width - room.right) / 2), y: height - 8, "text-anchor": "middle"}, xTitle));
  group.append(svg("text", {class: "title", x: room.title, y: centre, "text-anchor": "middle", transform: `rotate(-90 ${room.title} ${centre})`}, yTitle));
  return group;
}

function frame(stage, label, width, height) {
  const made = svg("svg", {class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label});
  const old = stage.querySelector("svg.plot");
  if (old) old.replaceWith(made); else stage.append(made);
  return made;
}

// The border of what the front dominates; only between two objectives.
function staircase(x, y, members, across, up) {
  const fx = report.fields[x], fy = report.fields[y];
  if (!fx.objective || !fy.objective || x === y) return "";
  const sx = fx.direction === "maximize" ? -1 : 1, sy = fy.direction === "maximize" ? -1 : 1;
  const rows = members.map(i => [report.values[x][i], report.values[y][i]]).sort((a, b) => sx * (a[0] - b[0]) || sy * (a[1] - b[1]));
  let best = Infinity, line = "";
  for (const [a, b] of rows) if (sy * b < best) {
    best = sy * b;
    line += line ? `H${short(across(a))}V${short(up(b))}` : `M${short(across(a))} ${short(up(b))}`;
  }
  return line;
}

// Draws field y over field x; returns what pointers need to find and show candidates.
function scatter(stage, x, y, height, {zoom = false, links = false} = {}) {
  const width = Math.max(240, stage.clientWidth), xs = report.values[x], ys = report.values[y];
  const known = i => xs[i] !== null && ys[i] !== null;
  const members = report.front.filter(known);
  let shown = xs.map((_, i) => i).filter(known);
  const basis = zoom && members.length ? members : shown;
  const across = scale(basis.map(i => xs[i]), room.left, width - room.right);
  const up = scale(basis.map(i => ys[i]), height - room.bottom, room.top);
  const inside = i => xs[i] >= across.low && xs[i] <= across.high && ys[i] >= up.low && ys[i] <= up.high;
  shown = shown.filter(inside);
  const cells = new Map();
  let crosses = "";
  for (const i of shown) {
    const px = across(xs[i]), py = up(ys[i]);
    if (infeasible.has(i)) crosses += `M${short(px - 3)} ${short(py - 3)}l6 6m-6 0l6 -6`;
    else if (!onFront.has(i)) cells.set(Math.round(px / 2) * 8192 + Math.round(py / 2), `M${short(px)} ${short(py)}h0`);
  }
  const label = `${report.fields[y].name} over ${report.fields[x].name}: ${shown.length} candidates, ${members.length} of them on the front`;
  const made = frame(stage, label, width, height);
  made.append(axes(across, up, axisTitle(report.fields[x], !links), axisTitle(report.fields[y], !links), width, height));
  // One dot for each two pixels, and short paths: browsers take much longer for one long path than for several.
  const moves = [...cells.values()];
  for (let at = 0; at < moves.length; at += 500) made.append(svg("path", {class: "dots", d: moves.slice(at, at + 500).join("")}));
  made.append(svg("path", {class: "cross", d: crosses}));
  made.append(svg("path", {class: "stairs", d: staircase(x, y, members, across, up)}));
  members.forEach((i, place) => {
    const px = across(xs[i]), py = up(ys[i]);
    const mark = links ? svg("a", {href: "#card-" + report.id[i], tabindex: place ? -1 : 0, "data-i": i, "aria-label": describe(i, x, y)}) : svg("g");
    if (i === report.knee && links) mark.append(svg("circle", {class: "knee", cx: short(px), cy: short(py), r: 10}));
    mark.append(svg("path", {class: "member", d: diamond(px, py, links ? 5.5 : 4.5)}));
    made.append(mark);
  });
  const ring = svg("circle", {class: "chosen", r: 9, visibility: "hidden"});
  made.append(ring);
  return {
    stage, x, y,
    at: i => [across(xs[i]), up(ys[i])],
    has: i => known(i) && inside(i),
    mark(i) {
      const seen = i !== null && known(i) && inside(i);
      ring.setAttribute("visibility", seen ? "visible" : "hidden");
      if (seen) { ring.setAttribute("cx", short(across(xs[i]))); ring.setAttribute("cy", short(up(ys[i]))); }
    },
    nearest(px, py) {
      let best = null, least = 28 * 28;
      for (const i of shown) {
        const dx = across(xs[i]) - px, dy = up(ys[i]) - py, away = (dx * dx + dy * dy) * (onFront.has(i) ? 0.5 : 1);
        if (away < least) { least = away; best = i; }
      }
      return best;
    },
  };
}

function describe(i, x, y) {
  const say = field => `${report.fields[field].name} ${number(report.values[field][i], report.fields[field].unit)}`;
  return `${report.id[i]}: ${say(x)}, ${say(y)}` + (i === report.knee ? ", knee point" : "");
}

// Steps of the hypervolume; a pointer reads the value at its place.
function hypervolume(stage) {
  const width = Math.max(240, stage.clientWidth), height = 240, rows = report.history;
  const across = scale(rows.map(row => row[0]), room.left, width - room.right);
  const up = scale(rows.map(row => row[1]), height - room.bottom, room.top);
  const made = frame(stage, stage.querySelector("svg").getAttribute("aria-label"), width, height);
  made.append(axes(across, up, "finished evaluations", "hypervolume", width, height));
  let line = "";
  for (const [n, volume] of rows) line += line ? `H${short(across(n))}V${short(up(volume))}` : `M${short(across(n))} ${short(up(volume))}`;
  made.append(svg("path", {class: "line", d: line}));
  return {
    stage,
    read(px) {
      const n = across.low + (px - room.left) / (width - room.right - room.left) * (across.high - across.low);
      const row = rows.filter(r => r[0] <= n).pop();
      return row && [across(Math.min(n, rows[rows.length - 1][0])), up(row[1]), `after ${Math.round(Math.min(n, rows[rows.length - 1][0]))} evaluations`, row];
    },
  };
}
