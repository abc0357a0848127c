// The page of harness serve: asks each system by itself, and keeps what was asked in this tab.
(() => {
  const byId = (id) => document.getElementById(id);
  const main = byId("main");
  const field = byId("question");
  const sides = [...document.querySelectorAll(".side")];
  const store = `harness serve ${main.dataset.suite}`;
  const long = 280;
  let kept = [];
  let entry = null;
  // The turns before the next question of a conversation, as each system heard and answered them.
  const turns = new Map(sides.map((side) => [side, []]));
  let asking = null;

  const make = (tag, name = "", text = "") => {
    const one = document.createElement(tag);
    if (name) one.className = name;
    if (text) one.textContent = text;
    return one;
  };

  const put = (parent, ...children) => { parent.append(...children.filter(Boolean)); return parent; };

  const auto = (one) => { one.dir = "auto"; return one; };

  const duration = (ms) => (ms >= 9950 ? `${(ms / 1000).toFixed(1)} s` : `${ms >= 9.95 ? Math.round(ms) : ms.toFixed(1)} ms`);

  const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  // ---- what was asked

  const relevant = (one) => Object.values(one.relevant);

  const keep = () => {
    try { sessionStorage.setItem(store, JSON.stringify(kept)); } catch { /* The page still saves files. */ }
    byId("session").hidden = !kept.length;
    byId("asked").replaceChildren(...kept.map(row));
    byId("save-qrels").disabled = !kept.some((one) => relevant(one).length);
    byId("save-spans").hidden = !kept.some((one) => relevant(one).some((passage) => passage.start !== null));
  };

  const row = (one) => {
    const again = make("button", "", "Ask again");
    const remove = make("button", "", "Remove");
    for (const button of [again, remove]) {
      button.type = "button";
      button.setAttribute("aria-label", `${button.textContent}: ${one.text}`);
    }
    again.addEventListener("click", () => {
      ask(one.text, sides.map(() => one.history));
      byId("shown").focus();
    });
    remove.addEventListener("click", () => {
      kept = kept.filter((other) => other !== one);
      if (entry === one) forgetTicks();
      keep();
      (document.querySelector("#asked button") ?? field).focus();
    });
    const marked = make("span", "note", `${relevant(one).length} relevant`);
    return put(make("li"), put(make("div"), auto(make("span", "text", one.text)), marked, again, remove));
  };

  const restore = () => {
    try { kept = JSON.parse(sessionStorage.getItem(store) ?? "[]"); } catch { kept = []; }
    if (!Array.isArray(kept)) kept = [];
    for (const one of kept) one.history ??= [];
  };

  const remember = (data, history) => {
    entry = kept.find((one) => one.id === data.id);
    if (!entry) {
      entry = { id: data.id, text: data.question, conversation: data.conversation, history, relevant: {} };
      kept.push(entry);
    }
    keep();
    return entry;
  };

  const forgetTicks = () => {
    for (const box of document.querySelectorAll(".tick input")) {
      box.checked = false;
      box.disabled = true;
      box.closest("li").classList.remove("relevant");
    }
  };

  const tick = (one, passage, checked) => {
    if (checked) one.relevant[passage.id] = { document: passage.document, start: passage.start, end: passage.end };
    else delete one.relevant[passage.id];
    for (const box of document.querySelectorAll(".tick input")) {
      if (box.value !== passage.id) continue;
      box.checked = checked;
      box.closest("li").classList.toggle("relevant", checked);
    }
    keep();
  };

  // ---- files

  const lines = (rows) => rows.map((one) => `${one}\n`).join("");

  const files = {
    "queries.jsonl": () => lines(kept.map((one) => JSON.stringify({
      _id: one.id, text: one.text,
      metadata: { source: main.dataset.source, conversation: one.conversation ?? one.id },
      ...(one.history.length ? { history: one.history } : {}),
    }))),
    "qrels.tsv": () => lines(["query-id\tcorpus-id\tscore", ...kept.flatMap((one) => (
      [...new Set(relevant(one).map((passage) => passage.document))].map((name) => `${one.id}\t${name}\t1`)
    ))]),
    "spans.jsonl": () => lines(kept.flatMap((one) => relevant(one).filter((passage) => passage.start !== null).map(
      (passage) => JSON.stringify({ query_id: one.id, doc_id: passage.document, start: passage.start, end: passage.end }),
    ))),
  };

  const save = (name) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([files[name]()], { type: "application/octet-stream" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // ---- what came back

  const times = (spent) => put(make("dl", "times"), ...Object.entries(spent).map(([part, ms]) => (
    put(make("div"), make("dt", "", part), make("dd", "", duration(ms)))
  )));

  const answer = (data) => {
    if (!data.answers) return [make("p", "note", "This system has no generator: it finds passages.")];
    const head = make("h4", "", "Answer");
    if (data.failure) return [head, make("p", "failure", `No answer: ${data.failure}`)];
    const cut = data.cut && make("p", "note", "The answer was cut off at the limit of tokens.");
    return [head, auto(make("p", "answer", data.answer || "(empty)")), cut];
  };

  const hit = (passage, one) => {
    const item = make("li");
    const box = make("input");
    box.type = "checkbox";
    box.value = passage.id;
    box.checked = passage.id in one.relevant;
    box.setAttribute("aria-label", `Relevant: ${passage.title || passage.id}`);
    box.addEventListener("change", () => tick(one, passage, box.checked));
    item.classList.toggle("relevant", box.checked);
    const title = auto(make("span", "title", passage.title || passage.id));
    const text = auto(make("span", "text", passage.text));
    const facts = put(
      make("p", "facts"), make("bdi", "", passage.id), passage.score !== null && make("span", "", passage.score.toFixed(4)),
      passage.shown && make("span", "shown", "in the prompt"), make("span", "other"),
    );
    if (passage.text.length > long) {
      const more = make("button", "", "Show all");
      more.type = "button";
      more.setAttribute("aria-expanded", "false");
      more.setAttribute("aria-label", `Show all of ${passage.title || passage.id}`);
      more.addEventListener("click", () => {
        const whole = text.classList.toggle("whole");
        more.textContent = whole ? "Show less" : "Show all";
        more.setAttribute("aria-label", `${more.textContent} of ${passage.title || passage.id}`);
        more.setAttribute("aria-expanded", String(whole));
      });
      facts.append(more);
    }
    const label = put(make("label", "tick"), box, "Relevant");
    return put(item, put(make("div", "head"), title, label), text, facts);
  };

  const said = (earlier) => earlier.length > 0 && put(make("ul", "turns"), ...earlier.map((turn) => (
    put(make("li"), make("span", "role", `${turn.role}: `), auto(make("span", "", turn.content)))
  )));

  const searched = (data) => data.searched
    && put(make("p", "note"), "Searched for: ", auto(make("span", "searched", data.searched)));

  const fill = (side, data, earlier, one) => {
    const passages = data.passages.map((passage) => hit(passage, one));
    const found = passages.length ? put(make("ol", "hits"), ...passages) : make("p", "note", "No passage was found.");
    side.querySelector(".content").replaceChildren(
      ...[said(earlier), ...answer(data), times(data.milliseconds), make("h4", "", "Passages"), searched(data), found]
        .filter(Boolean),
    );
  };

  const place = (rank, shown, label) => (rank ? `rank ${rank} in ${label}` : `not in the first ${shown} of ${label}`);

  // Two systems: each passage says where the other one ranks it, if elsewhere.
  const compare = () => {
    const ranks = sides.map((side) => new Map([...side.querySelectorAll(".hits input")].map((box, place) => [box.value, place + 1])));
    if (sides.length < 2 || !sides.every((side) => side.querySelector(".times"))) return;
    sides.forEach((side, number) => {
      const [label, other] = [sides[1 - number].dataset.label, ranks[1 - number]];
      for (const [id, rank] of ranks[number]) {
        const item = side.querySelectorAll(".hits > li")[rank - 1];
        const there = other.get(id);
        item.querySelector(".other").textContent = there === rank ? "" : place(there, other.size, label);
      }
    });
  };

  const spoken = (data) => {
    if (data.failure) return `no answer, ${data.failure}`;
    return data.answers ? data.answer : `${counted(data.passages.length, "passage")} found`;
  };

  // ---- asking

  const tell = (sentence) => { byId("problem").textContent = sentence; };

  // Heard, not seen: each answer as it comes.
  const say = (sentence) => byId("log").append(make("p", "", sentence));

  const sent = async (side, text, earlier, signal) => {
    // A page that was opened with a password in its address may not fetch by a relative one.
    const address = new URL("ask", `${location.origin}${location.pathname}`);
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ system: side.dataset.name, question: text, turns: earlier }),
      signal,
    }).catch((error) => {
      throw signal.aborted ? error : new Error("The server does not answer. Is harness serve still running?");
    });
    const nothing = { error: { message: `The server answers with status ${response.status}.` } };
    const data = await response.json().catch(() => nothing);
    if (data.error) throw new Error(data.error.message);
    return data;
  };

  const askOne = async (side, text, earlier, first, signal) => {
    const waiting = side.querySelector(".waiting");
    const started = Date.now();
    const show = () => { waiting.textContent = `Asking… ${Math.floor((Date.now() - started) / 1000)} s`; };
    const clock = setInterval(show, 1000);
    show();
    // What was asked is a turn even if no answer comes.
    turns.set(side, [...earlier, { role: "user", content: text }]);
    try {
      const data = await sent(side, text, earlier, signal);
      if (signal.aborted) return;
      if (data.answer) turns.get(side).push({ role: "assistant", content: data.answer });
      fill(side, data, earlier, remember(data, first));
      compare();
      say(`${side.dataset.label}: ${spoken(data)}`);
    } catch (error) {
      if (signal.aborted) return;
      side.querySelector(".content").replaceChildren(make("p", "failure", error.message));
      say(`${side.dataset.label}: ${error.message}`);
    } finally {
      clearInterval(clock);
      if (!signal.aborted) waiting.textContent = "";
    }
  };

  const ask = async (text, histories) => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    tell("");
    byId("result").hidden = false;
    byId("shown").textContent = text;
    byId("log").replaceChildren(make("p", "", "Asking"));
    for (const side of sides) side.querySelector(".content").replaceChildren();
    await Promise.all(sides.map((side, number) => askOne(side, text, histories[number], histories[0], signal)));
    byId("follow-on").hidden = false;
  };

  const submit = () => {
    const text = field.value.trim();
    const following = byId("follow").checked;
    if (text) {
      ask(text, sides.map((side) => (following ? turns.get(side) : [])));
      if (following) field.value = "";
    } else {
      tell("Write a question first.");
      field.focus();
    }
  };

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  field.addEventListener("keydown", (event) => {
    // Enter also ends the choice of a word where characters are composed of several keys.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  for (const name of Object.keys(files)) {
    byId(`save-${name.split(".")[0]}`).addEventListener("click", () => save(name));
  }
  byId("forget").addEventListener("click", () => {
    kept = [];
    forgetTicks();
    keep();
    field.focus();
  });

  restore();
  keep();
  window.askedAsFile = (name) => files[name]();
  document.documentElement.classList.add("scripted");
})();
