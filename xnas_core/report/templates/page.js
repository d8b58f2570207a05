// Wires the page: axis pickers, pointers and keys on plots, the selected candidate, the lineage picker.
const frontStage = document.getElementById("front-stage");
const pickers = {x: document.getElementById("axis-x"), y: document.getElementById("axis-y")};
const zoom = document.getElementById("zoom");
const picked = document.getElementById("picked");
let plots = [], selected = null, origin = null;

function tip(plot, px, py, lines) {
  let box = plot.stage.querySelector(".tip");
  if (!box) plot.stage.append(box = html("div", {className: "tip"}));
  box.replaceChildren(html("b", {className: "id"}, lines[0]), ...lines.slice(1).flatMap(line => [html("br"), line]));
  box.hidden = false;
  const width = plot.stage.clientWidth, wide = box.offsetWidth, high = box.offsetHeight;
  box.style.left = Math.max(0, Math.min(width - wide, px + 14 + wide > width ? px - wide - 14 : px + 14)) + "px";
  box.style.top = Math.max(0, py - high - 10) + "px";
}

function untip(plot) {
  const box = plot.stage.querySelector(".tip");
  if (box) box.hidden = true;
}

function tipFor(plot, i) {
  const fields = [...new Set([...report.fields.keys()].filter(f => report.fields[f].objective).concat(plot.x, plot.y))];
  const [px, py] = plot.at(i);
  const notes = [onFront.has(i) ? "on the front" : infeasible.has(i) ? "breaks a constraint" : "", i === report.knee ? "knee point" : ""].filter(Boolean);
  tip(plot, px, py, [report.id[i], ...fields.map(f => `${report.fields[f].name} ${withError(f, i)}`), ...notes]);
}

function place(plot, event) {
  const box = plot.stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// Shows the candidate in the panel; `opener` gets the focus back when the panel is closed.
function choose(i, {scroll = false, quiet = false} = {}) {
  selected = i;
  for (const plot of plots) if (plot.mark) plot.mark(i);
  familyTree.show(i);
  for (const card of document.querySelectorAll(".card.on")) card.classList.remove("on");
  const card = document.getElementById("card-" + report.id[i]);
  if (card) card.classList.add("on");
  if (scroll && card) { picked.hidden = true; card.scrollIntoView({block: "start"}); card.focus({preventScroll: true}); return; }
  if (quiet) return;
  if (picked.hidden) origin = document.activeElement;
  const rows = report.fields.map((field, f) => [field, f]).filter(([, f]) => report.values[f][i] !== null && f < report.fields.length - 1);
  const metrics = html("dl", {className: "metrics"}, ...rows.map(([field, f]) =>
    html("div", {className: field.objective ? "objective" : ""}, html("dt", {}, html("a", {href: "#metric-" + f, className: "term"}, field.name)), html("dd", {}, withError(f, i)))));
  const body = [
    html("h2", {className: "id"}, report.id[i]),
    html("p", {}, html("code", {}, report.arch[i])),
    html("p", {}, `${report.states[report.state[i]]}, generation ${report.generation[i]}${onFront.has(i) ? ", on the front" : infeasible.has(i) ? ", breaks a constraint" : ""}`),
  ];
  if (report.failure[i]) body.push(html("p", {}, report.failure[i]));
  if (report.parents[i].length) {
    body.push(html("p", {}, "Parents: ", ...report.parents[i].flatMap((p, k) =>
      [k ? " " : "", html("button", {type: "button", className: "id", onclick: () => choose(p)}, report.id[p])])));
  }
  body.push(metrics);
  if (card) body.push(html("p", {}, html("a", {href: "#card-" + report.id[i], onclick: () => { picked.hidden = true; }}, "Go to its card")));
  picked.querySelector(".body").replaceChildren(...body);
  picked.hidden = false;
  document.getElementById("said").textContent = `Selected ${report.id[i]}`;
}

function closePicked() {
  picked.hidden = true;
  if (origin && origin.isConnected) origin.focus({preventScroll: true});
}

function pointers(plot) {
  const {stage} = plot;
  stage.onpointermove = event => {
    const i = plot.nearest(...place(plot, event));
    stage.style.cursor = i === null ? "" : "pointer";
    if (i === null) untip(plot); else tipFor(plot, i);
  };
  stage.onpointerleave = () => untip(plot);
  stage.onclick = event => {
    const mark = event.target.closest("a[data-i]");
    // A key on a focused mark clicks it too, at no place on the screen.
    const i = mark && event.detail === 0 ? Number(mark.dataset.i) : plot.nearest(...place(plot, event));
    if (i === null) return;
    event.preventDefault();
    choose(i, {scroll: onFront.has(i) && event.pointerType !== "touch"});
  };
}

function keys(plot) {
  const marks = [...plot.stage.querySelectorAll("a[data-i]")];
  marks.forEach((mark, k) => {
    mark.onfocus = () => { if (plot.has(Number(mark.dataset.i))) tipFor(plot, Number(mark.dataset.i)); };
    mark.onblur = () => untip(plot);
    mark.onkeydown = event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      const target = event.key === "Home" ? 0 : event.key === "End" ? marks.length - 1 : step ? k + step : -1;
      if (!marks[target]) return;
      event.preventDefault();
      mark.setAttribute("tabindex", -1);
      marks[target].setAttribute("tabindex", 0);
      marks[target].focus();
    };
  });
}

function drawAll() {
  plots = [];
  if (frontStage) drawFront();
  for (const stage of document.querySelectorAll(".multiples .stage"))
    plots.push(scatter(stage, Number(stage.dataset.x), Number(stage.dataset.y), 230));
  plots.forEach(pointers);
  if (selected !== null) plots.forEach(plot => plot.mark(selected));
  drawHypervolume();
}

function drawFront() {
  const height = Math.min(460, Math.max(300, frontStage.clientWidth * 0.56));
  const main = scatter(frontStage, Number(pickers.x.value), Number(pickers.y.value), height, {zoom: zoom.checked, links: true});
  keys(main);
  plots.push(main);
}

function drawHypervolume() {
  const stage = document.getElementById("hypervolume-stage");
  if (stage && report.history.length) {
    const plot = hypervolume(stage);
    stage.onpointermove = event => {
      const found = plot.read(place(plot, event)[0]);
      if (found) tip(plot, found[0], found[1], [number(found[3][1]), found[2], `${found[3][2]} on the front`]);
      else untip(plot);
    };
    stage.onpointerleave = () => untip(plot);
  }
}

function showTree(id) {
  for (const tree of document.querySelectorAll(".tree")) tree.open = tree.id === "lineage-" + id;
  document.getElementById("lineage-of").value = id;
  familyTree.show(report.id.indexOf(id));
}

// A link to something that is folded up unfolds it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}

function trees() {
  const picker = document.getElementById("lineage-of");
  if (!picker) return;
  picker.onchange = () => showTree(picker.value);
  familyTree.show(report.id.indexOf(picker.value));
  for (const link of document.querySelectorAll("a[data-lineage]")) {
    link.onclick = event => {
      event.preventDefault();
      showTree(link.dataset.lineage);
      document.getElementById("lineage").scrollIntoView();
      picker.focus({preventScroll: true});
    };
  }
  document.getElementById("lineage").addEventListener("click", event => {
    const mark = event.target.closest("g[data-i]");
    if (mark) choose(Number(mark.dataset.i));
  });
}

function start() {
  document.documentElement.classList.add("scripted");
  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;
  if (frontStage) axisPickers();
  picked.querySelector(".close").onclick = closePicked;
  document.addEventListener("keydown", event => { if (event.key === "Escape" && !picked.hidden) closePicked(); });
  document.getElementById("save-spec").onclick = () => save(document.getElementById("spec").textContent, "search.yaml", "application/yaml");
  candidateTable.start();
  trees();
  familyTree.start();
  addEventListener("hashchange", unfold);
  unfold();
  // What was not scrolled to has not been decoded yet.
  addEventListener("beforeprint", () => { for (const image of document.images) image.loading = "eager"; });
  drawAll();
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    // A phone's bars change the height while one scrolls; only the width matters.
    if (innerWidth !== width) { width = innerWidth; clearTimeout(waiting); waiting = setTimeout(drawAll, 100); }
  });
}

function axisPickers() {
  for (const [axis, picker] of Object.entries(pickers)) {
    for (const [title, wanted] of [["objectives", true], ["other quantities", false]]) {
      const options = report.fields.map((field, f) => [field, f]).filter(([field]) => field.objective === wanted);
      picker.append(html("optgroup", {label: title}, ...options.map(([field, f]) => html("option", {value: f}, field.name))));
    }
    picker.value = report.axes[axis === "x" ? 0 : 1];
    picker.onchange = drawAll;
  }
  zoom.onchange = drawAll;
  document.querySelector("#front-figure form").onsubmit = event => event.preventDefault();
}
start();
