// What moves in a report: threshold, legend, slices, sorting and the theme.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const number = (value) => value.toLocaleString("en");
  const plural = (count) => `${number(count)} ${count === 1 ? "pick" : "picks"}`;
  const data = JSON.parse(byId("data").textContent);
  const SCORES = 10000; // scores are whole ten-thousandths
  const TENTHS = 10; // places are tenths of a voxel
  const FIELDS = 5; // of a pick: x, y, z, class, score

  // --- theme ---------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  const remember = (theme) => {
    try { localStorage.setItem("dep-theme", theme); } catch { /* a page of a file may not */ }
  };
  const remembered = () => {
    try { return localStorage.getItem("dep-theme"); } catch { return null; }
  };
  const wear = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    byId("theme").textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  wear(theme);
  byId("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    wear(theme);
    remember(theme);
  });

  // --- counts --------------------------------------------------------------------
  // passing[t][c][k]: picks of class c in tomogram t at threshold k.
  const passing = new Map();
  for (const [t, one] of Object.entries(data.tomograms)) {
    passing.set(t, one.scores.map((sparse) => {
      const counts = new Int32Array(data.bins + 1);
      for (let i = 0; i < sparse.length; i += 2) counts[sparse[i]] = sparse[i + 1];
      for (let k = data.bins - 1; k >= 0; k--) counts[k] += counts[k + 1];
      return counts;
    }));
  }
  const rows = all("#overview tbody tr[data-t]").filter((row) => passing.has(row.dataset.t));
  const cells = rows.map((row) => [row.dataset.t, all("td[data-c]", row)]);
  const decimals = data.step < 100 ? 3 : 2;
  let threshold = 0;

  const put = (cell, value) => {
    if (cell.textContent === "\u2013") return; // a class that its model does not know
    cell.textContent = number(value);
    cell.dataset.v = value;
  };
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length / 2;
    return sorted.length % 2 ? sorted[half - 0.5] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const count = () => {
    const totals = data.classes.map(() => 0);
    const sums = [];
    for (const [t, ofRow] of cells) {
      const counts = passing.get(t).map((one) => one[threshold]);
      const sum = counts.reduce((a, b) => a + b, 0);
      counts.forEach((value, c) => { totals[c] += value; });
      sums.push(sum);
      for (const cell of ofRow) put(cell, cell.dataset.c === "all" ? sum : counts[cell.dataset.c]);
      const heading = document.querySelector(`[data-picks="${t}"]`);
      if (heading) heading.textContent = plural(sum);
    }
    const every = sums.reduce((a, b) => a + b, 0);
    for (const cell of all("[data-sum]")) {
      cell.textContent = number(cell.dataset.sum === "all" ? every : totals[cell.dataset.sum]);
    }
    for (const cell of all("[data-total]")) cell.textContent = number(totals[cell.dataset.total]);
    if (byId("figure-sum")) byId("figure-sum").textContent = number(every);
    if (byId("figure-median") && sums.length) byId("figure-median").textContent = number(Math.round(median(sums)));
    const lowest = (data.low + threshold * data.step) / SCORES;
    byId("least").textContent = lowest.toFixed(decimals);
    byId("threshold").setAttribute("aria-valuetext", `score at least ${lowest.toFixed(decimals)}`);
    byId("passing").textContent = threshold ? `${number(every)} of ${number(whole)}` : plural(whole);
    document.documentElement.style.setProperty("--part", threshold / Math.max(1, data.bins));
  };
  let whole = 0;
  for (const ofClasses of passing.values()) for (const one of ofClasses) whole += one[0];

  // --- slices --------------------------------------------------------------------
  const hidden = new Set();
  const SVG = "http://www.w3.org/2000/svg";
  const point = (x, y, r, degrees) => {
    const turn = degrees * Math.PI / 180;
    return `${(x + r * Math.cos(turn)).toFixed(2)} ${(y + r * Math.sin(turn)).toFixed(2)}`;
  };
  const circle = (x, y, r, [on, off]) => {
    if (on >= 360) return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
    let path = "";
    for (let start = 0; start < 360; start += on + off) {
      path += `M${point(x, y, r, start)}A${r} ${r} 0 0 1 ${point(x, y, r, start + on)}`;
    }
    return path;
  };
  const views = all(".card[data-t]").map((card) => {
    const one = data.tomograms[card.dataset.t];
    const slider = card.querySelector(".depth input");
    return {
      card, one, slider,
      stage: card.querySelector(".stage"),
      svg: card.querySelector(".stage svg"),
      tip: card.querySelector(".tip"),
      at: slider ? Number(slider.value) : 0,
      seen: false, stale: true, drawn: [], told: -1,
    };
  });
  const draw = (view) => {
    const { one } = view;
    const lowest = data.low + threshold * data.step;
    const z = one.z[view.at];
    const paths = data.classes.map(() => "");
    view.drawn = [];
    for (let i = 0; i < one.picks.length; i += FIELDS) {
      const [px, py, pz, c, score] = one.picks.slice(i, i + FIELDS);
      const away = pz / TENTHS - z;
      const cut = one.radii[c] ** 2 - away ** 2;
      if (cut <= 0 || score < lowest || hidden.has(c)) continue;
      const x = px / TENTHS + 0.5;
      const y = one.size[1] - py / TENTHS - 0.5; // y points up, as in IMOD
      const r = Math.max(Math.sqrt(cut), 0.6);
      paths[c] += circle(x, y, r, data.classes[c].line);
      view.drawn.push({ x, y, r, c, score, place: [px, py, pz] });
    }
    const nodes = [];
    paths.forEach((path, c) => {
      if (!path) return;
      for (const kind of ["rim", "line"]) {
        const node = document.createElementNS(SVG, "path");
        node.setAttribute("d", path);
        node.setAttribute("class", kind);
        node.dataset.class = c;
        if (kind === "line") node.setAttribute("stroke", data.classes[c].colour);
        nodes.push(node);
      }
    });
    view.svg.replaceChildren(...nodes);
    view.stage.dataset.circles = view.drawn.length;
    view.told = -1;
    view.tip.hidden = true;
    view.stale = false;
  };
  const redraw = () => {
    for (const view of views) {
      view.stale = true;
      if (view.seen) draw(view);
    }
  };
  const drawAll = () => views.forEach((view) => { if (view.stale) draw(view); });
  const turn = (view) => {
    view.at = Number(view.slider.value);
    all("img", view.stage).forEach((img, k) => { img.hidden = k !== view.at; });
    const words = `${view.one.z[view.at]} of ${view.one.size[2]}`;
    view.card.querySelector(".depth output").textContent = words;
    view.slider.setAttribute("aria-valuetext", `z = ${words}`);
    draw(view);
  };
  // Says what a pick is, beside its circle; null: nothing.
  const tell = (view, best) => {
    view.told = best ? view.drawn.indexOf(best) : -1;
    view.tip.hidden = !best;
    if (!best) return;
    const box = view.svg.getBoundingClientRect();
    const scale = view.one.size[0] / box.width;
    const place = best.place.map((value) => Math.round(value / TENTHS)).join(", ");
    view.tip.textContent = `${data.classes[best.c].name} · score ${(best.score / SCORES).toFixed(3)} · x, y, z ${place}`;
    const left = Math.min(best.x / scale - view.tip.offsetWidth / 2, box.width - view.tip.offsetWidth - 6);
    const above = (best.y - best.r) / scale - view.tip.offsetHeight - 6;
    const below = (best.y + best.r) / scale + 6;
    view.tip.style.left = `${Math.max(6, left)}px`;
    view.tip.style.top = `${above > 4 ? above : below}px`;
  };
  const point_at = (view, event) => {
    const box = view.svg.getBoundingClientRect();
    const scale = view.one.size[0] / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    let best = null;
    let least = Infinity;
    for (const one of view.drawn) {
      const away = Math.hypot(one.x - x, one.y - y);
      if (away <= one.r + 1 && away < least) [best, least] = [one, away];
    }
    tell(view, best);
  };
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const step_on = (view, event) => {
    const step = steps[event.key];
    const many = view.drawn.length;
    if (event.key === "Escape") tell(view, null);
    if (!step || !many || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault(); // the page would scroll
    const from = view.told < 0 && step < 0 ? 0 : view.told;
    tell(view, view.drawn[(from + step + many) % many]);
  };
  for (const view of views) {
    if (view.slider) view.slider.addEventListener("input", () => turn(view));
    view.stage.addEventListener("pointermove", (event) => point_at(view, event));
    view.stage.addEventListener("pointerdown", (event) => point_at(view, event));
    view.stage.addEventListener("pointerleave", () => tell(view, null));
    view.stage.addEventListener("blur", () => tell(view, null));
    view.stage.addEventListener("keydown", (event) => step_on(view, event));
  }
  // Only what is on the screen is drawn at once: a page may hold hundreds.
  if ("IntersectionObserver" in window) {
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const view = views.find((one) => one.card === entry.target);
        view.seen = entry.isIntersecting;
        if (view.seen && view.stale) draw(view);
      }
    }, { rootMargin: "300px" });
    views.forEach((view) => watch.observe(view.card));
  } else {
    views.forEach((view) => { view.seen = true; });
    drawAll();
  }
  window.addEventListener("beforeprint", () => {
    if (byId("classes")) byId("classes").open = true;
    drawAll();
  });

  // --- controls ------------------------------------------------------------------
  const slide = () => {
    threshold = Number(byId("threshold").value);
    count();
    redraw();
  };
  byId("threshold").addEventListener("input", slide);
  byId("reset").addEventListener("click", () => {
    byId("threshold").value = 0;
    slide();
  });
  const boxes = all("[data-class][type=checkbox]");
  const show = () => {
    hidden.clear();
    for (const box of boxes) if (!box.checked) hidden.add(Number(box.dataset.class));
    redraw();
  };
  boxes.forEach((box) => box.addEventListener("change", show));
  const tick = (checked) => () => {
    boxes.forEach((box) => { box.checked = checked; });
    show();
  };
  if (boxes.length) {
    byId("all").addEventListener("click", tick(true));
    byId("none").addEventListener("click", tick(false));
    if (matchMedia("(max-width: 899px)").matches) byId("classes").open = false;
    show(); // a browser may have kept the boxes of an earlier visit
  }

  // --- sorting -------------------------------------------------------------------
  const body = document.querySelector("#overview tbody");
  const headings = all("#overview thead th");
  const sort = (column, heading) => {
    const text = heading.dataset.kind === "text";
    const first = text ? "ascending" : "descending";
    const second = text ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? second : first;
    headings.forEach((one) => { if (one.hasAttribute("aria-sort")) one.setAttribute("aria-sort", "none"); });
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.children[column].dataset.v ?? "";
    const sorted = [...body.rows].sort((a, b) => {
      const [va, vb] = [value(a), value(b)];
      if (va === "" || vb === "") return (va === "") - (vb === "");
      if (text) return sign * va.localeCompare(vb, "en", { numeric: true });
      return sign * (Number(va) - Number(vb));
    });
    body.append(...sorted);
  };
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (button) button.addEventListener("click", () => sort(column, heading));
  });

  // --- finding -------------------------------------------------------------------
  const find = byId("find");
  if (find) {
    const each = [...body.rows].map((row) => ({
      row,
      words: row.cells[0].textContent.toLowerCase(),
      card: byId(`tomogram-${Number(row.dataset.t) + 1}`),
    }));
    const search = () => {
      const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { row, words, card } of each) {
        row.hidden = !wanted.every((word) => words.includes(word));
        if (card) card.hidden = row.hidden;
        shown += !row.hidden;
      }
      byId("shown").textContent = wanted.length ? `${number(shown)} of ${number(each.length)}` : "";
    };
    find.addEventListener("input", search);
    // A link to a card that is not shown shows all again.
    const whole = () => { find.value = ""; search(); };
    all("#attention a").forEach((link) => link.addEventListener("click", whole));
    search(); // a browser may have kept the words of an earlier visit
  }

  slide();
  document.documentElement.dataset.ready = "true";
})();
