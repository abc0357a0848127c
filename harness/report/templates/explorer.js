// The query explorer. Its data is base64 of gzipped JSON; whatever it holds reaches the page as textContent alone.
(() => {
  const packed = document.getElementById("explorer-data");
  if (!packed) return;
  const $ = (id) => document.getElementById(id);
  const PAGE = 50;
  const NONE = "\u2013";
  const KINDS = [["all", "all"], ["improved", "improved"], ["regressed", "regressed"], ["same", "unchanged"], ["failed", "failed"]];
  let data;
  const state = { left: 0, right: 0, measure: 0, order: "change", kind: "all", words: "", query: -1, shown: PAGE };
  let rows = [];
  // Queries of conversations often have the same text: these are told apart by their ids.
  const repeated = new Set();

  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  }
  const stranger = (tag, name, text) => el(tag, { class: name, dir: "auto" }, text);

  async function unpack() {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (sign) => sign.charCodeAt(0));
    packed.remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // ---- values

  const fixed = (value) => value.toFixed(3).replace(/^-(0\.0+)$/, "$1");
  const signed = (value) => (value < -0.0005 ? "" : "+") + fixed(value);
  const isNumber = (value) => typeof value === "number";
  function shown(value) {
    if (isNumber(value)) return fixed(value);
    return value === null ? NONE : "failed";
  }
  // Better is always more: of a measure where less is better, the sign of the difference is turned.
  function judge(query, measure) {
    const [left, right] = [state.left, state.right].map((system) => data.scores[system][measure][query]);
    if (typeof left === "string" || typeof right === "string") return { left, right, kind: "failed", change: null };
    if (left === null || right === null) return { left, right, kind: "none", change: null };
    const change = right - left;
    const better = data.measures[measure].lower ? -change : change;
    return { left, right, change, better, kind: better > 1e-9 ? "improved" : better < -1e-9 ? "regressed" : "same" };
  }
  const WORDS = { improved: "\u25B2 better", regressed: "\u25BC worse", same: "unchanged", failed: "\u2716 failed", none: "" };
  const TONES = { improved: "improved", regressed: "regressed", failed: "failed" };
  function changeText(found) {
    const number = found.change === null ? "" : `${signed(found.change)} `;
    return el("span", { class: `verdict ${TONES[found.kind] ?? ""}` }, found.kind === "same" ? WORDS.same : number + WORDS[found.kind]);
  }

  // ---- the list

  function link(query) {
    const to = new URLSearchParams({
      query: data.queries[query][0], left: data.systems[state.left], right: data.systems[state.right],
      measure: data.measures[state.measure].name,
    });
    return `#${to}`;
  }

  function collect() {
    const words = state.words.trim().toLowerCase();
    const found = [];
    data.queries.forEach(([id, text], query) => {
      if (words && !`${id} ${text}`.toLowerCase().includes(words)) return;
      const row = judge(query, state.measure);
      if (row.kind !== "none") found.push({ query, ...row });
    });
    const counts = { all: found.length, improved: 0, regressed: 0, same: 0, failed: 0 };
    for (const row of found) counts[row.kind] += 1;
    rows = found.filter((row) => state.kind === "all" || row.kind === state.kind);
    const better = (row) => row.better ?? 0;
    const orders = {
      change: (one, other) => Math.abs(better(other)) - Math.abs(better(one)),
      loss: (one, other) => better(one) - better(other), gain: (one, other) => better(other) - better(one), file: () => 0,
    };
    rows.sort(orders[state.order]);
    return counts;
  }

  function drawList() {
    const counts = collect();
    for (const label of $("x-kinds").querySelectorAll("[data-kind]")) label.textContent = counts[label.dataset.kind];
    const items = rows.slice(0, state.shown).map((row) => el("li", {}, el("a", { href: link(row.query) },
      stranger("span", "question", data.queries[row.query][1] || data.queries[row.query][0]),
      el("span", { class: "change" }, el("span", {}, `${shown(row.left)} \u2192 ${shown(row.right)}`), changeText(row),
        repeated.has(data.queries[row.query][1]) ? stranger("span", "id", data.queries[row.query][0]) : null))));
    $("x-list").replaceChildren(...items);
    $("x-more").hidden = rows.length <= state.shown;
    const measure = data.measures[state.measure].name;
    $("x-count").textContent = counts.all
      ? `${rows.length.toLocaleString("en")} of ${data.queries.length.toLocaleString("en")} queries, by ${measure}.`
      : `No query has a value of ${measure} for both systems.`;
    markCurrent();
  }

  function markCurrent() {
    const at = rows.findIndex((row) => row.query === state.query);
    [...$("x-list").children].forEach((item, number) => {
      if (number === at) item.firstChild.setAttribute("aria-current", "true");
      else item.firstChild.removeAttribute("aria-current");
    });
  }

  // ---- one query

  function scoresTable() {
    const head = el("tr", {}, ...["measure", data.systems[state.left], data.systems[state.right], "difference"].map((name, number) =>
      el("th", { scope: "col", class: number ? "right" : "left" }, el("bdi", {}, name))));
    const lines = [];
    const why = new Set();
    data.measures.forEach((measure, number) => {
      const found = judge(state.query, number);
      if (found.left === null && found.right === null) return;
      for (const value of [found.left, found.right]) if (typeof value === "string") why.add(data.reasons[Number(value)]);
      const name = measure.name.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
      lines.push(el("tr", {}, el("th", { scope: "row" }, ...name), el("td", { class: "right" }, shown(found.left)),
        el("td", { class: "right" }, shown(found.right)), el("td", { class: "right" }, found.kind === "none" ? NONE : changeText(found))));
    });
    const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines));
    const region = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores of this query" }, table);
    return [region, ...[...why].map((reason) => stranger("p", "note", `Failed: ${reason}`))];
  }

  function hit(number, detail, shownTo, others) {
    const [id, title, text] = data.documents[number];
    const grade = detail.judged[number];
    const relevant = grade > 0;
    const facts = [];
    if (relevant) facts.push(el("strong", {}, grade > 1 ? `\u2713 relevant (${grade})` : "\u2713 relevant"));
    else if (grade !== undefined) facts.push(el("span", { class: "bad" }, `judged not relevant (${grade})`));
    if (shownTo.includes(number)) facts.push(el("span", {}, "shown to the generator"));
    if (others) {
      const there = others.indexOf(number);
      facts.push(el("span", {}, there < 0 ? `not in the other's first ${data.listed}` : `other list: ${there + 1}`));
    }
    facts.push(stranger("span", "", id));
    return el("li", { class: relevant ? "relevant" : null }, title ? stranger("span", "title", title) : null,
      text ? stranger("span", "text", text) : null, el("span", { class: "facts" }, ...facts));
  }

  function missed(detail, system) {
    const list = detail.lists[system];
    const lines = detail.relevant.map((number, place) => [number, detail.ranks[system][place]]).filter(([number]) => !list.includes(number));
    if (!lines.length) return null;
    const items = lines.map(([number, rank]) => el("li", { dir: "auto" }, el("bdi", {}, data.documents[number][1] || data.documents[number][0]),
      rank ? `: rank ${rank}` : ": not in the list"));
    return el("div", { class: "note" }, `Relevant, but not in the first ${data.listed}:`, el("ul", {}, ...items));
  }

  function listOf(detail, system, other) {
    const list = detail.lists[system];
    const head = el("h5", {}, el("bdi", {}, data.systems[system]));
    if (!list) return el("section", {}, head, el("p", { class: "note" }, "This system retrieves nothing."));
    const context = detail.answers[system]?.[1] ?? [];
    const hits = el("ol", { class: "hits" }, ...list.map((number) => hit(number, detail, context, other === system ? null : detail.lists[other])));
    return el("section", {}, head, list.length ? hits : el("p", { class: "note" }, "An empty list."), missed(detail, system));
  }

  function answerOf(detail, system) {
    const answer = detail.answers[system];
    const head = el("h5", {}, el("bdi", {}, data.systems[system]));
    if (!answer) return el("section", {}, head, el("p", { class: "note" }, "No answer was written."));
    const unlisted = answer[1].filter((number) => !(detail.lists[system] ?? []).includes(number));
    const more = unlisted.map((number) => stranger("li", "", data.documents[number][1] || data.documents[number][0]));
    return el("section", {}, head, stranger("p", "answer", answer[0] || "(empty)"),
      more.length ? el("div", { class: "note" }, "It was shown:", el("ul", {}, ...more)) : null);
  }

  function referenceOf(reference) {
    if (!reference) return [];
    const texts = reference.answerable ? reference.answers : ["The corpus does not answer this query; to abstain is right."];
    return [el("h4", {}, "Reference"), ...texts.map((text) => stranger("p", "answer", text))];
  }

  function historyOf(detail) {
    if (!detail.history) return [];
    const more = detail.before ? [el("li", { class: "note" }, `${detail.before} earlier turns are not in this page.`)] : [];
    const turns = detail.history.map(([role, text]) => el("li", {}, el("span", { class: "role" }, `${role}: `), stranger("span", "", text)));
    const parts = [el("h4", {}, "Conversation"), el("ul", { class: "turns" }, ...more, ...turns)];
    if (detail.searched) parts.push(el("h4", {}, "Searched with"), sides((system) => searchedOf(detail, system)));
    return parts;
  }

  function searchedOf(detail, system) {
    const text = detail.searched[system];
    const shown = text ? stranger("p", "answer", text) : el("p", { class: "note" }, "The query as it is.");
    return el("section", {}, el("h5", {}, el("bdi", {}, data.systems[system])), shown);
  }

  const sides = (make) => el("div", { class: "sides" }, make(state.left, state.right), make(state.right, state.left));

  function steps() {
    const at = rows.findIndex((row) => row.query === state.query);
    if (at < 0) return null;
    const step = (row, name) => (row ? el("a", { href: link(row.query) }, name) : null);
    return el("p", { class: "step" }, step(rows[at - 1], "\u2190 Previous query"), step(rows[at + 1], "Next query \u2192"));
  }

  function drawDetail() {
    if (state.query < 0) {
      $("x-detail").replaceChildren(el("p", { class: "note" }, "Choose a query from the list."));
      return;
    }
    const [id, text, group] = data.queries[state.query];
    const detail = data.details[state.query];
    const where = el("p", { class: "where" }, el("span", {}, "Query ", el("bdi", {}, id)),
      group && group !== id ? el("span", {}, "group ", el("bdi", {}, group)) : null, el("a", { href: link(state.query) }, "Link to this query"));
    const parts = [el("h3", { tabindex: "-1", dir: "auto", id: "x-question" }, text || id), where, ...scoresTable()];
    if (!detail) parts.push(el("p", { class: "note" }, "Lists, answers and texts of this query are not in this page."));
    else {
      parts.push(...historyOf(detail));
      if (detail.answers.some((answer) => answer)) parts.push(el("h4", {}, "Answers"), sides((system) => answerOf(detail, system)));
      parts.push(...referenceOf(detail.reference));
      if (detail.lists.some((list) => list)) parts.push(el("h4", {}, "Ranked lists"), sides((one, other) => listOf(detail, one, other)));
    }
    $("x-detail").replaceChildren(...parts, steps() ?? "");
  }

  // ---- from the address and the controls

  function fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("query")) return false;
    const query = data.queries.findIndex(([id]) => id === asked.get("query"));
    if (query < 0) {
      $("explorer-state").textContent = "The link names a query that is not in this report.";
      return false;
    }
    const named = (names, name, usual) => (names.indexOf(name) < 0 ? usual : names.indexOf(name));
    state.left = named(data.systems, asked.get("left"), state.left);
    state.right = named(data.systems, asked.get("right"), state.right);
    state.measure = named(data.measures.map((one) => one.name), asked.get("measure"), state.measure);
    state.query = query;
    $("explorer-state").textContent = "";
    return true;
  }

  function open() {
    const before = [state.left, state.right, state.measure].join();
    if (!fromAddress()) return;
    $("x-left").value = state.left;
    $("x-right").value = state.right;
    $("x-measure").value = state.measure;
    if (before === [state.left, state.right, state.measure].join()) markCurrent();
    else drawList();
    drawDetail();
    $("x-question").focus({ preventScroll: true });
    const top = $("x-question").getBoundingClientRect().top;
    if (top < 60 || top > window.innerHeight * 0.6) $("x-question").scrollIntoView({ block: "start" });
  }

  function fill(select, names) {
    select.replaceChildren(...names.map((name, number) => el("option", { value: number }, name)));
  }

  function changed() {
    state.shown = PAGE;
    drawList();
    drawDetail();
  }

  function wire() {
    fill($("x-left"), data.systems);
    fill($("x-right"), data.systems);
    fill($("x-measure"), data.measures.map((one) => one.name));
    for (const [id, name] of [["x-left", "left"], ["x-right", "right"], ["x-measure", "measure"]]) {
      $(id).value = state[name];
      $(id).addEventListener("change", (event) => { state[name] = Number(event.target.value); changed(); });
    }
    $("x-order").addEventListener("change", (event) => { state.order = event.target.value; changed(); });
    $("x-words").addEventListener("input", (event) => { state.words = event.target.value; changed(); });
    $("x-more").addEventListener("click", () => { state.shown += PAGE; drawList(); });
    document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
    for (const [kind, name] of KINDS) {
      const input = el("input", { type: "radio", name: "kind", value: kind });
      input.checked = kind === state.kind;
      input.addEventListener("change", () => { state.kind = kind; changed(); });
      $("x-kinds").append(el("label", {}, input, el("span", {}, name), el("span", { "data-kind": kind })));
    }
    window.addEventListener("hashchange", open);
  }

  async function start() {
    $("explorer-state").textContent = "Unpacking the queries \u2026";
    data = await unpack();
    Object.assign(state, { left: data.left, right: data.right });
    const seen = new Set();
    for (const [, text] of data.queries) (seen.has(text) ? repeated : seen).add(text);
    $("explorer-state").textContent = "";
    $("explorer").hidden = false;
    wire();
    drawList();
    if (rows.length) state.query = rows[0].query;
    drawDetail();
    markCurrent();
    document.documentElement.dataset.explorer = "ready";
    open();
  }
  start().catch(() => { $("explorer-state").textContent = "The queries of this page could not be unpacked; the file may be damaged, or the browser too old."; });
})();
