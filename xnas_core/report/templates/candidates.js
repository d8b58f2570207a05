// The table of all candidates: filtered, sorted, a page of rows at a time, so that 16,000 are as quick as 50.
const candidateTable = (() => {
  const pageSize = 50;
  const columns = [
    {name: "candidate", text: i => report.id[i], key: i => report.id[i]},
    ...fieldColumns(true),
    {name: "state", text: i => state(i), key: i => state(i)},
    {name: "generation", text: i => String(report.generation[i]), key: i => report.generation[i], numeric: true},
    ...fieldColumns(false),
    {name: "attempts", text: i => String(report.attempts[i]), key: i => report.attempts[i], numeric: true},
    {name: "architecture", text: i => report.arch[i], key: i => report.arch[i], code: true},
  ];
  const table = document.getElementById("table"), query = document.getElementById("query");
  const previous = document.getElementById("previous"), next = document.getElementById("next");
  let order = report.id.map((_, i) => i), page = 0, sorted = null, descending = false;

  // As many decimals in all rows of a column as its largest value needs for four figures.
  function figures(f) {
    const largest = report.values[f].reduce((most, value) => Math.max(most, Math.abs(value || 0)), 0);
    const decimals = largest >= 1e6 ? 2 : Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(largest || 1))));
    return value => value.toFixed(decimals);
  }

  function fieldColumns(objective) {
    return [...report.fields.keys()].filter(f => report.fields[f].objective === objective).map(f => {
      const {name, about, unit} = report.fields[f], values = report.values[f], form = figures(f);
      return {name, about, unit, numeric: true, text: i => number(values[i], "1", form, form), key: i => values[i]};
    });
  }

  function state(i) {
    if (onFront.has(i)) return "front";
    return infeasible.has(i) ? "infeasible" : report.states[report.state[i]];
  }

  // "name>1" compares; anything else must occur in the candidate's text.
  function parse(text) {
    return text.toLowerCase().split(/\s+/).filter(Boolean).map(word => {
      const found = word.match(/^([a-z][a-z0-9_]*)(>=|<=|>|<|=)(-?[0-9.]+(?:e[+-]?\d+)?)$/);
      const column = found && columns.find(c => c.numeric && c.name.toLowerCase() === found[1]);
      if (column) {
        const bound = Number(found[3]), compare = {
          ">=": v => v >= bound, "<=": v => v <= bound, ">": v => v > bound, "<": v => v < bound, "=": v => v === bound,
        }[found[2]];
        return i => column.key(i) !== null && compare(column.key(i));
      }
      if (word === "front") return i => onFront.has(i);
      return i => `${report.id[i]} ${report.arch[i]} ${state(i)} ${report.failure[i] || ""}`.toLowerCase().includes(word);
    });
  }

  function arrange() {
    const tests = parse(query.value);
    order = report.id.map((_, i) => i).filter(i => tests.every(test => test(i)));
    if (sorted) {
      const way = descending ? -1 : 1;
      // What is not known comes last, whichever way.
      order.sort((a, b) => {
        const left = sorted.key(a), right = sorted.key(b);
        if (left === null || right === null) return (left === null) - (right === null) || a - b;
        return (left < right ? -way : left > right ? way : 0) || a - b;
      });
    }
    page = 0;
    show();
  }

  function header() {
    table.tHead.rows[0].replaceChildren(...columns.map(column => {
      const button = html("button", {type: "button", title: column.about || "", onclick() {
        descending = sorted === column ? !descending : Boolean(column.numeric);
        sorted = column;
        arrange();
      }}, column.name + (column.unit && column.unit !== "1" ? ` (${column.unit})` : ""));
      const cell = html("th", {scope: "col", className: column.numeric ? "n" : ""}, button);
      column.cell = cell;
      return cell;
    }));
  }

  function row(i) {
    const cells = columns.map((column, place) => {
      const text = column.text(i);
      if (!place) return html("th", {scope: "row"}, html("button", {type: "button", className: "id", onclick: () => choose(i)}, text));
      return html("td", {className: column.numeric ? "n" : ""}, column.code ? html("code", {}, text) : text);
    });
    return html("tr", {className: onFront.has(i) ? "front" : ""}, ...cells);
  }

  function show() {
    const pages = Math.max(1, Math.ceil(order.length / pageSize));
    table.tBodies[0].replaceChildren(...order.slice(page * pageSize, (page + 1) * pageSize).map(row));
    for (const column of columns) {
      if (column === sorted) column.cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else column.cell.removeAttribute("aria-sort");
    }
    document.getElementById("count").textContent = order.length === report.id.length
      ? `${grouped(order.length)} candidates` : `${grouped(order.length)} of ${grouped(report.id.length)} candidates`;
    document.getElementById("page").textContent = `page ${page + 1} of ${pages}`;
    previous.disabled = page === 0;
    next.disabled = page + 1 >= pages;
  }

  function quoted(value) {
    const text = value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  function csv() {
    const lines = [columns.map(c => quoted(c.name)), ...order.map(i => columns.map(c => quoted(c.key(i))))];
    return lines.map(line => line.join(",")).join("\r\n") + "\r\n";
  }

  function start() {
    header();
    let waiting = 0;
    query.oninput = () => { clearTimeout(waiting); waiting = setTimeout(arrange, report.id.length > 2000 ? 150 : 0); };
    document.getElementById("filters").onsubmit = event => { event.preventDefault(); arrange(); };
    previous.onclick = () => { page--; show(); };
    next.onclick = () => { page++; show(); };
    document.getElementById("download").onclick = () => save(csv(), "candidates.csv", "text/csv");
    show();
  }
  return {start, filter(text) { query.value = text; arrange(); }};
})();

function save(text, name, type) {
  const link = html("a", {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
