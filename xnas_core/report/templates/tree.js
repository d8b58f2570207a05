// The family tree: the chosen candidate's lines of descent, and the candidate at a pointer.
const familyTree = (() => {
  const stage = document.querySelector(".tree-plot"), line = document.getElementById("tree-line");
  const near = document.getElementById("tree-near"), close = 2;
  const place = i => [report.tree[2 * i], report.tree[2 * i + 1]];

  function show(i) {
    if (!line) return;
    // Breadth first, so that the distance of each ancestor is its least.
    const away = new Map([[i, 0]]);
    let lines = "", bold = "";
    for (const [child, distance] of away) {
      const [x, y] = place(child);
      for (const parent of report.parents[child]) {
        if (report.number[parent] >= report.number[child]) continue;
        const [px, py] = place(parent), bend = x > px ? (x - px) / 2 : 8;
        const curve = `M${px} ${py}C${px + bend} ${py} ${x - bend} ${y} ${x} ${y}`;
        if (distance < close) bold += curve; else lines += curve;
        if (!away.has(parent)) away.set(parent, distance + 1);
      }
    }
    line.setAttribute("d", lines);
    near.setAttribute("d", bold);
  }

  function start() {
    if (!stage) return;
    stage.addEventListener("click", event => {
      const box = stage.getBoundingClientRect(), wide = stage.viewBox.baseVal.width / box.width;
      const px = (event.clientX - box.left) * wide, py = (event.clientY - box.top) * wide;
      let best = null, least = 14 * 14 * wide * wide;
      for (let i = 0; i < report.id.length; i++) {
        const [x, y] = place(i), away = (x - px) ** 2 + (y - py) ** 2;
        if (away < least) { least = away; best = i; }
      }
      if (best !== null) choose(best);
    });
  }
  return {start, show};
})();
