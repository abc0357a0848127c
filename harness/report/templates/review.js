// The review: decisions are kept in this browser as far as it lets a page from disk, and saved as a CSV file.
(() => {
  const main = document.getElementById("main");
  const articles = [...main.querySelectorAll("article")];
  const store = `harness review ${main.dataset.review}`;
  const formula = /^[=+\-@\t\r\n']/;

  const field = (article, name) => article.querySelector(`textarea[name="${name}"]`);
  const changed = (article) => [...article.querySelectorAll("textarea")].some((one) => one.value !== one.defaultValue);

  const decide = (article, decision) => {
    article.dataset.decision = decision;
    for (const radio of article.querySelectorAll("[data-choice]")) radio.checked = radio.value === decision;
    keep();
  };

  const keep = () => {
    const decided = articles.filter((one) => one.dataset.decision).length;
    const rejected = articles.filter((one) => one.dataset.decision === "reject").length;
    document.getElementById("progress").textContent = `${decided} of ${articles.length} decided, ${rejected} rejected`;
    const rows = {};
    for (const one of articles) {
      if (one.dataset.decision || changed(one)) {
        rows[one.dataset.id] = [one.dataset.decision, field(one, "question").value, field(one, "answer")?.value ?? ""];
      }
    }
    try { localStorage.setItem(store, JSON.stringify(rows)); } catch { /* The page still saves a file. */ }
  };

  const restore = () => {
    let rows = {};
    try { rows = JSON.parse(localStorage.getItem(store) ?? "{}"); } catch { return; }
    for (const one of articles) {
      const row = rows[one.dataset.id];
      if (!Array.isArray(row)) continue;
      field(one, "question").value = row[1];
      if (field(one, "answer")) field(one, "answer").value = row[2];
      one.dataset.decision = row[0];
      for (const radio of one.querySelectorAll("[data-choice]")) radio.checked = radio.value === row[0];
    }
  };

  const cell = (text) => `"${(formula.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;

  const csv = () => {
    const rows = [["id", "decision", "question", "answer"]];
    for (const one of articles) {
      const answer = field(one, "answer");
      rows.push([one.dataset.id, one.dataset.decision, field(one, "question").value, answer ? answer.value : ""]);
    }
    return `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
  };

  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    link.download = "review.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const go = (article) => {
    if (!article) return;
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "start" });
  };

  main.addEventListener("change", (event) => {
    if (event.target.matches("[data-choice]")) decide(event.target.closest("article"), event.target.value);
  });
  main.addEventListener("input", (event) => {
    if (!event.target.matches("textarea")) return;
    const article = event.target.closest("article");
    if (article.dataset.decision === "accept" || article.dataset.decision === "") decide(article, "edit");
    else keep();
  });
  main.addEventListener("keydown", (event) => {
    const article = event.target.closest("article");
    if (!article || event.target.matches("textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = articles.indexOf(article);
    const decision = { a: "accept", e: "edit", r: "reject" }[event.key];
    if (decision) {
      decide(article, decision);
      if (decision === "edit") field(article, "question").focus();
    } else if (event.key === "j") go(articles[place + 1]);
    else if (event.key === "k") go(articles[place - 1]);
    else return;
    event.preventDefault();
  });
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("next").addEventListener("click", () => go(articles.find((one) => !one.dataset.decision)));

  restore();
  keep();
  window.reviewAsCsv = csv;
  document.documentElement.classList.add("scripted");
})();
