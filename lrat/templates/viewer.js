// The page of `lrat view`: a list of trajectories, and the timeline of the one that is chosen, for one folder or for two side by side.
// Whatever comes from a log becomes a text node. Nothing here makes HTML of it, follows a link in it or runs it.
(() => {
"use strict";
const { html, render, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState } = htmPreact;
const settings = JSON.parse(document.getElementById("settings").textContent);
const folders = settings.folders;
const two = folders.length > 1;
const ROW = 78; // Height of a row of the list, in pixels, as in the style sheet
const wide = matchMedia("(min-width: 60rem)");
const count = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// ---------------------------------------------------------------- where the data are: in this file, or behind a server

let token = "";

async function unpacked(id) {
  if (!document.getElementById(id) && document.readyState === "loading") await new Promise(done => addEventListener("DOMContentLoaded", done));
  const element = document.getElementById(id);
  if (!element) throw Error("this file was cut off; make it again with lrat view --out");
  if (!window.DecompressionStream) throw Error("this browser cannot unpack the data; use one of 2023 or later");
  const bytes = Uint8Array.from(atob(element.textContent), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function asked(path, values) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  let reply;
  try { reply = await fetch(`${path}?${new URLSearchParams(values)}`, { headers }); }
  catch { throw Error("the server does not answer; is lrat view still running?"); }
  const body = await reply.json().catch(() => ({}));
  if (!reply.ok) throw Object.assign(Error(body.error || `the server answered ${reply.status}`), { status: reply.status });
  return body;
}

const source = settings.served
  ? { rows: (folder, after) => asked("rows", { folder, after }), trajectory: (folder, row) => asked("trajectory", { folder, name: row.name }) }
  : { rows: folder => unpacked(`rows-${folder}`), trajectory: (folder, row) => unpacked(`trajectory-${folder}-${row.index}`) };

// ---------------------------------------------------------------- the list: one item for each question and repetition

function itemsOf(rows) {
  const items = new Map();
  rows.forEach((list, folder) => {
    const seen = new Map();
    for (const row of list) {
      const n = seen.get(row.id) || 0, key = n ? `${row.id}~${n + 1}` : row.id;
      seen.set(row.id, n + 1);
      if (!items.has(key)) items.set(key, { key, question: row.question, rows: [], words: "" });
      const item = items.get(key);
      item.rows[folder] = row;
      item.question = item.question || row.question;
      item.words += ` ${row.words}`;
    }
  });
  return [...items.values()];
}

const ANY = { text: "", status: "", correct: "", judged: "", pairs: "", minSearches: "", maxSearches: "", minOpens: "", maxOpens: "", order: "file" };
const ORDERS = { file: "File order", searches: "Most searches", opens: "Most opened", pairs: "Most pairs" };
const CORRECT = { right: "Right", wrong: "Wrong", unknown: "No gold answer" };
const CHANGES = { gained: `Right only in ${folders[1]?.label}`, lost: `Right only in ${folders[0].label}`, both: "Right in both", neither: "Right in neither" };
const JUDGED = { yes: "Some useful", no: "Judged, none useful", none: "Not judged" };
const total = said => Object.entries(said).reduce((sum, [verdict, n]) => sum + (verdict === "missing" ? 0 : n), 0);
const TESTS = {
  right: row => row.correct === true, wrong: row => row.correct === false, unknown: row => row.correct === null,
  yes: row => row.verdicts.yes > 0, no: row => total(row.verdicts) > 0 && !row.verdicts.yes, none: row => total(row.verdicts) === 0,
  some: row => row.pairs > 0, without: row => row.pairs === 0,
};

function changed(item) {
  const [a, b] = [item.rows[0]?.correct, item.rows[1]?.correct];
  if (a == null || b == null) return "";
  return a ? (b ? "both" : "lost") : b ? "gained" : "neither";
}

function filtered(items, wanted) {
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  const within = (value, low, high) => (low === "" || value >= +low) && (high === "" || value <= +high);
  const fits = row => (!wanted.status || row.status === wanted.status)
    && (!TESTS[wanted.correct] || TESTS[wanted.correct](row)) && (!wanted.judged || TESTS[wanted.judged](row)) && (!wanted.pairs || TESTS[wanted.pairs](row))
    && within(row.searches, wanted.minSearches, wanted.maxSearches) && within(row.opens, wanted.minOpens, wanted.maxOpens);
  const found = items.filter(item => words.every(word => item.words.includes(word))
    && (!(wanted.correct in CHANGES) || changed(item) === wanted.correct) && item.rows.some(row => row && fits(row)));
  const of = item => Math.max(...item.rows.filter(Boolean).map(row => row[wanted.order]));
  return wanted.order === "file" ? found : found.sort((a, b) => of(b) - of(a));
}

// ---------------------------------------------------------------- small parts

const Mark = ({ correct }) => correct === null || correct === undefined ? html`<span class="mark unknown" title="no gold answer">–</span>`
  : correct ? html`<span class="mark right" title="right answer">✓</span>` : html`<span class="mark wrong" title="wrong answer">✗</span>`;

const Chip = ({ kind = "", title, children }) => html`<span class=${`chip ${kind}`} title=${title}>${children}</span>`;

const Verdict = ({ verdict }) => verdict ? html`<${Chip} kind=${`verdict-${verdict}`} title="the judge's verdict">${verdict === "yes" ? "useful" : verdict === "no" ? "not useful" : verdict}<//>` : null;

function Text({ text, most = 700, kind = "" }) {
  const [whole, setWhole] = useState(false);
  const value = String(text ?? "");
  const cut = value.length > most * 1.3 && !whole;
  return html`<div class=${`text ${kind}`} dir="auto">${cut ? `${value.slice(0, most).trimEnd()} …` : value}</div>
    ${value.length > most * 1.3 && html`<button class="more" onClick=${() => setWhole(!whole)}>${cut ? `Show all ${value.length.toLocaleString("en")} characters` : "Show less"}</button>`}`;
}

const Docid = ({ docid }) => html`<code class="docid" dir="auto" title=${docid}>${docid}</code>`;
const words = text => text.trim().split(/\s+/).filter(Boolean).length;

function cut(text) {
  const [first, ...rest] = String(text ?? "").split("\n");
  return { title: first.trim(), body: rest.join("\n").trim() };
}

// ---------------------------------------------------------------- one event of a timeline

function Result({ result, rank, about }) {
  const document = about.documents[result.docid], known = cut(document), text = known.body || result.snippet || known.title;
  const opened = result.opened.length > 0;
  return html`<li class=${opened ? "opened" : ""}>
    <details><summary>
      <span class="rank">${rank}</span>
      <span class="title" dir="auto">${result.title || known.title || result.docid}</span>
      <span class="marks">
        ${about.evidence.has(result.docid) && html`<${Chip} kind="evidence" title="judged relevant to the question">evidence<//>`}
        ${opened && html`<${Chip} kind="open" title="the agent opened it">opened, step ${result.opened.join(", ")}<//>`}
        ${opened && html`<${Verdict} verdict=${about.verdicts.get(`${result.opened[0]} ${result.docid}`)} />`}
      </span>
      <${Docid} docid=${result.docid} />
      ${result.score !== null && html`<span class="score" title="score">${result.score.toFixed(3)}</span>`}
    </summary>
    <${Text} text=${text || "The log does not show this document's text."} kind="document" /></details>
  </li>`;
}

function List({ list, about }) {
  const [whole, setWhole] = useState(false), most = 10, left = list.results.length - most;
  const shown = list.results.map((result, n) => [result, n + 1]).filter(([result, rank]) => whole || rank <= most || result.opened.length);
  return html`<p class="query" dir="auto">${list.query}</p>
    <ol class="results">${shown.map(([result, rank]) => html`<${Result} key=${result.docid} result=${result} rank=${rank} about=${about} />`)}</ol>
    ${left > 0 && html`<button class="more" onClick=${() => setWhole(!whole)}>${whole ? "Show ten" : `Show all ${list.results.length} results`}</button>`}`;
}

function Member({ docid, sign, tier, weight, about }) {
  const { title, body } = cut(about.documents[docid]);
  return html`<li class=${sign === "+" ? "positive" : "negative"}><details><summary><span class="sign">${sign}</span>
    <span class="title" dir="auto">${title || docid}</span>
    <span class="marks">${tier && html`<${Chip} title="tier of this negative">${tier}${weight !== undefined && ` × ${weight}`}<//>`}
      ${sign === "−" && about.evidence.has(docid) && html`<${Chip} kind="verdict-no" title="judged relevant to the question, but used as a negative">evidence<//>`}</span>
    <${Docid} docid=${docid} /></summary><${Text} text=${body || title} kind="document" /></details></li>`;
}

const Pair = ({ pair, about }) => html`<section class="pair">
  <h4>Training pair ${typeof pair.weight === "number" && html`<${Chip} kind="weight" title="its weight in the loss; the mean over all pairs is 1">weight ${pair.weight.toFixed(2)}<//>`}
    ${pair.satisfied === false && html`<${Chip} kind="verdict-no">rejected document<//>`}
    <span class="faint">${typeof pair.tokens === "number" && `${count(pair.tokens, "token")} of reasoning, `}${count(pair.negatives.length, "negative")}</span></h4>
  <p class="query" dir="auto">${pair.query}</p>
  <ul class="members">${pair.positive.map(docid => html`<${Member} key=${docid} docid=${docid} sign="+" about=${about} />`)}</ul>
  <details class="fold" open=${pair.negatives.length <= 3}><summary>${count(pair.negatives.length, "negative")}</summary>
  <ul class="members">${pair.negatives.map((docid, n) => html`<${Member} key=${n} docid=${docid} sign="−" tier=${pair.tiers?.[n]} weight=${pair.weights?.[n]} about=${about} />`)}</ul></details>
</section>`;

const Pairs = ({ pairs, about }) => (pairs || []).map((pair, n) => html`<${Pair} key=${n} pair=${pair} about=${about} />`);

function Judgement({ verdict }) {
  if (!verdict) return null;
  return html`<div class="judgement"><${Verdict} verdict=${verdict.verdict} /> <span class="faint">${verdict.judge ? `judge ${verdict.judge}` : "judge not named"}</span>
    ${verdict.stale && html` <${Chip} kind="verdict-no" title="the trajectory has changed since it was judged">out of date<//>`}
    ${verdict.error && html`<p>No usable reply: ${verdict.error}</p>`}
    ${verdict.reply && html`<details class="fold"><summary>Reply</summary><${Text} text=${verdict.reply} /></details>`}
    ${verdict.thinking && html`<details class="fold"><summary>Thinking</summary><${Text} text=${verdict.thinking} /></details>`}</div>`;
}

const Origin = ({ document }) => html`<span class="faint">${document.search === null ? "in no result list before it" : `rank ${document.rank} of the search in step ${document.search}`}</span>`;

const Returned = ({ output }) => html`<${Text} text=${output || "The log does not show what it returned."} most=${360} kind="document" />`;

function Opened({ document, about, output, alone }) {
  const known = cut(about.documents[document.docid]);
  const title = about.titles.get(document.docid) || known.title || (alone ? cut(output.replace(/^Document \S+:\s*/, "")).title : "") || document.docid;
  return html`<section class="document">
    <h3><span dir="auto">${title.length > 160 ? `${title.slice(0, 160)} …` : title}</span> <${Docid} docid=${document.docid} />
      ${about.evidence.has(document.docid) && html`<${Chip} kind="evidence">evidence<//>`}</h3>
    <p class="origin"><${Origin} document=${document} /></p>
    ${alone && html`<${Returned} output=${output} />`}
    <${Judgement} verdict=${document.verdict} />
    ${settings.verdicts && !document.verdict && html`<div class="judgement"><${Chip}>not judged<//></div>`}
    <${Pairs} pairs=${document.pairs} about=${about} /></section>`;
}

const BODIES = {
  thought: ({ event }) => html`<${Text} text=${event.text} />`,
  message: ({ event }) => html`<${Text} text=${event.text} />`,
  search: ({ event, about }) => html`${event.lists.map((list, n) => html`<${List} key=${n} list=${list} about=${about} />`)}
    ${event.output !== undefined && html`<p class="faint">The search returned no list that can be read:</p><${Text} text=${event.output || "(nothing)"} kind="document" />`}
    <${Pairs} pairs=${event.pairs} about=${about} />`,
  open: ({ event, about }) => html`${event.documents.map(document => html`<${Opened} key=${document.docid} document=${document} about=${about} output=${event.output} alone=${event.documents.length === 1} />`)}
    ${event.documents.length > 1 && html`<${Returned} output=${event.output} />`}
    <${Pairs} pairs=${event.pairs} about=${about} />`,
  call: ({ event }) => html`<p class="query" dir="auto">${event.tool}</p><${Text} text=${event.arguments} kind="document" /><details class="fold"><summary>Result</summary><${Text} text=${event.output || "(nothing)"} kind="document" /></details>`,
  answer: ({ event, about }) => html`<div class="final"><${Mark} correct=${about.correct} /><${Text} text=${event.text || "(empty)"} most=${4000} /></div>
    ${about.answer !== null && html`<p class="gold"><span class="faint">Gold answer</span> <span dir="auto">${about.answer}</span></p>`}`,
  empty: () => html`<p class="faint">This step says nothing.</p>`,
  pairs: ({ event, about }) => html`<p class="faint">These pairs name steps that are neither a search nor an opened document of this trajectory. Were they mined from another version of it?</p><${Pairs} pairs=${event.pairs} about=${about} />`,
};
const NAMES = { thought: "Thought", message: "Message", search: "Search", open: "Opened", call: "Other tool", answer: "Answer", empty: "Empty step", pairs: "Pairs without a step" };

function Event({ event, about, onFocus }) {
  const [error] = useErrorBoundary(), Body = BODIES[event.kind], after = event.kind === "thought" && event.after.length > 0;
  return html`<li class=${`event ${event.kind}${after ? " after" : ""}`} tabindex="-1" data-step=${event.step} onFocus=${onFocus}>
    <span class="number" aria-label=${`step ${event.step}`}>${event.step}</span>
    <header><span class="kind">${after ? `Reasoning after step ${event.after.join(", ")}` : NAMES[event.kind]}</span>
      ${event.kind === "thought" && html`<span class="faint">${count(words(event.text), "word")}</span>`}
      ${event.parallel && html`<${Chip} title="one message made this call and the one before it">parallel<//>`}</header>
    ${error ? html`<p class="error">This step cannot be shown: ${error.message}</p>` : html`<${Body} event=${event} about=${about} />`}</li>`;
}

// ---------------------------------------------------------------- one trajectory

function aboutOf(shown) {
  const verdicts = new Map(), titles = new Map();
  for (const event of shown.events) {
    for (const document of event.documents || []) if (document.verdict) verdicts.set(`${event.step} ${document.docid}`, document.verdict.verdict);
    for (const list of event.lists || []) for (const result of list.results) if (result.title) titles.set(result.docid, result.title);
  }
  return { ...shown, verdicts, titles, evidence: new Set(shown.evidence) };
}

function Facts({ shown, about }) {
  const of = kind => shown.events.filter(event => event.kind === kind);
  const opened = of("open").flatMap(event => event.documents), lists = of("search").flatMap(event => event.lists);
  const pairs = shown.events.flatMap(event => [...(event.pairs || []), ...(event.documents || []).flatMap(document => document.pairs || [])]);
  const found = new Set(lists.flatMap(list => list.results.map(result => result.docid)));
  const seen = new Set(opened.map(document => document.docid)), evidence = [...about.evidence];
  const failed = Object.entries(shown.attempts).map(([tool, n]) => [tool, n - (shown.calls[tool] || 0)]).filter(([, n]) => n > 0);
  return html`<div class="facts"><${Mark} correct=${shown.correct} />
    <${Chip} kind=${shown.status === "completed" ? "" : "verdict-undecided"} title="how it ended">${shown.status || "no status"}<//>
    <span>${count(lists.length, "search", "searches")}</span><span>${opened.length} opened</span>
    ${settings.verdicts && html`<span>${opened.filter(document => document.verdict?.verdict === "yes").length} useful</span>`}
    ${settings.pairs && html`<span>${count(pairs.length, "pair")}</span>`}
    ${evidence.length > 0 && html`<span>evidence: ${evidence.filter(docid => found.has(docid)).length} of ${evidence.length} found, ${evidence.filter(docid => seen.has(docid)).length} opened</span>`}
    ${failed.map(([tool, n]) => html`<span class="warning" key=${tool}>${count(n, "call")} of ${tool} failed</span>`)}
    ${shown.missing.length > 0 && html`<span class="warning" title=${shown.missing.slice(0, 20).join(" ")}>${count(shown.missing.length, "document")} not in the corpus</span>`}</div>`;
}

function Strip({ events, onChoose }) {
  return html`<div class="strip" aria-hidden="true">${events.map((event, n) => html`<button tabindex="-1" key=${n}
    class=${`${event.kind}${event.after?.length ? " after" : ""}`} title=${`step ${event.step}: ${NAMES[event.kind]}`} onClick=${() => onChoose(n)}></button>`)}</div>`;
}

function Trajectory({ folder, row, column, onColumn, onShown }) {
  const [state, setState] = useState({}), element = useRef();
  useEffect(() => {
    let current = true;
    setState({});
    source.trajectory(folder, row).then(shown => current && setState({ shown, about: aboutOf(shown) }), error => current && setState({ error: error.message }));
    return () => { current = false; };
  }, [folder, row]);
  useEffect(() => { if (state.shown) onShown(folder, state.shown); }, [state]);
  const choose = n => element.current.querySelectorAll(".event")[n]?.focus();
  const { shown, about, error } = state;
  return html`<section class="trajectory" ref=${element} data-column=${column} aria-label=${folders[folder].label}>
    ${two && html`<h2 class="label">${folders[folder].label}</h2>`}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${shown && html`<${Facts} shown=${shown} about=${about} />
      <${Strip} events=${shown.events} onChoose=${choose} />
      ${Object.keys(shown.metadata).length > 0 && html`<details class="fold meta"><summary>Settings of the agent</summary><pre dir="auto">${JSON.stringify(shown.metadata, null, 1)}</pre></details>`}
      <ol class="timeline">${shown.events.map((event, n) => html`<${Event} key=${n} event=${event} about=${about} onFocus=${onColumn} />`)}</ol>
      ${shown.events.length === 0 && html`<p class="faint">This trajectory has no steps.</p>`}`}
  </section>`;
}

function Compared({ shown }) {
  if (!shown[0] || !shown[1]) return null;
  const opened = shown.map(one => new Map(one.events.flatMap(event => event.documents || []).map(document => [document.docid, document])));
  const title = docid => { for (const one of shown) { const { titles, documents } = aboutOf(one); const text = titles.get(docid) || cut(documents[docid]).title; if (text) return text; } return docid; };
  const only = [...opened[0].keys()].filter(docid => !opened[1].has(docid)), others = [...opened[1].keys()].filter(docid => !opened[0].has(docid));
  const both = [...opened[0].keys()].filter(docid => opened[1].has(docid));
  const line = (name, docids) => docids.length > 0 && html`<dt>${name}</dt><dd>${docids.map(docid => html`<span class="item" dir="auto" key=${docid} title=${docid}>${title(docid)}</span>`)}</dd>`;
  if (!only.length && !others.length && !both.length) return null;
  return html`<dl class="compared">${line("Opened by both", both)}${line(`Only ${folders[0].label}`, only)}${line(`Only ${folders[1].label}`, others)}</dl>`;
}

function Reader({ item, side, setSide, onBack, onColumn }) {
  const [shown, setShown] = useState([]), element = useRef();
  useLayoutEffect(() => { setShown([]); if (element.current) element.current.scrollTop = 0; }, [item]);
  const onShown = (folder, one) => setShown(before => { const next = [...before]; next[folder] = one; return next; });
  return html`<main class="reader" ref=${element} tabindex="-1"><div class=${`inside${two ? " two" : ""}`} data-side=${side}>
    <button class="back" onClick=${onBack}>‹ All trajectories</button>
    <p class="key"><code dir="auto">${item.key}</code></p>
    <h1 dir="auto">${item.question || "The question is not known."}</h1>
    ${two && html`<${Compared} shown=${shown} />
      <div class="sides" role="group" aria-label="Which side is shown">${folders.map((folder, n) => html`<button key=${n} aria-pressed=${side === n} onClick=${() => setSide(n)}>
        <${Mark} correct=${item.rows[n]?.correct} /> ${folder.label}</button>`)}</div>`}
    <div class="columns">${folders.map((folder, n) => item.rows[n]
      ? html`<${Trajectory} key=${n} folder=${n} row=${item.rows[n]} column=${n} onColumn=${() => onColumn(n)} onShown=${onShown} />`
      : html`<section class="trajectory" key=${n} data-column=${n}><h2 class="label">${folder.label}</h2><p class="faint">No trajectory for this question here.</p></section>`)}</div>
  </div></main>`;
}

// ---------------------------------------------------------------- the list and its filters

const Choice = ({ label, value, options, onChange }) => html`<label><span>${label}</span><select value=${value} onChange=${event => onChange(event.target.value)}>
  ${Object.entries(options).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select></label>`;

const Range = ({ label, low, high, onLow, onHigh }) => html`<div class="range" role="group" aria-label=${label}><span>${label}</span>
  <input type="number" min="0" inputmode="numeric" placeholder="min" aria-label=${`${label}, at least`} value=${low} onInput=${event => onLow(event.target.value)} />
  <input type="number" min="0" inputmode="numeric" placeholder="max" aria-label=${`${label}, at most`} value=${high} onInput=${event => onHigh(event.target.value)} /></div>`;

function Filters({ wanted, setWanted, statuses, answered }) {
  const set = name => value => setWanted(before => ({ ...before, [name]: value }));
  const active = Object.keys(ANY).filter(name => name !== "text" && wanted[name] !== ANY[name]).length;
  const choices = (any, options) => ({ "": any, ...options });
  return html`<div class="filters">
    <input id="search" type="search" placeholder="Search questions, answers, queries, docids   /" aria-label="Search" value=${wanted.text} onInput=${event => set("text")(event.target.value)} />
    <details><summary>Filters${active > 0 && ` (${active})`}${active > 0 && html`<button onClick=${event => { event.preventDefault(); setWanted({ ...ANY, text: wanted.text }); }}>Clear</button>`}</summary><div class="choices">
      <${Choice} label="Status" value=${wanted.status} onChange=${set("status")} options=${choices("Any status", Object.fromEntries(statuses.map(one => [one, one])))} />
      ${answered && html`<${Choice} label="Answer" value=${wanted.correct} onChange=${set("correct")} options=${choices("Right or wrong", two ? CHANGES : CORRECT)} />`}
      ${settings.verdicts && html`<${Choice} label="Judged" value=${wanted.judged} onChange=${set("judged")} options=${choices("Judged or not", JUDGED)} />`}
      ${settings.pairs && html`<${Choice} label="Pairs" value=${wanted.pairs} onChange=${set("pairs")} options=${choices("With or without", { some: "With pairs", without: "Without pairs" })} />`}
      <${Choice} label="Order" value=${wanted.order} onChange=${set("order")} options=${settings.pairs ? ORDERS : Object.fromEntries(Object.entries(ORDERS).filter(([key]) => key !== "pairs"))} />
      <${Range} label="Searches" low=${wanted.minSearches} high=${wanted.maxSearches} onLow=${set("minSearches")} onHigh=${set("maxSearches")} />
      <${Range} label="Opened" low=${wanted.minOpens} high=${wanted.maxOpens} onLow=${set("minOpens")} onHigh=${set("maxOpens")} />
    </div></details></div>`;
}

function Row({ item, chosen, top, position, size, onChoose }) {
  const lines = item.rows.map((row, n) => row && html`<span class="line" key=${n}><${Mark} correct=${row.correct} />${two && html`<b>${folders[n].label}</b>`}
    ${row.status !== "completed" && html`<em>${row.status || "no status"}</em>`}<span>${count(row.searches, "search", "searches")}</span><span>${row.opens} opened</span>
    ${!two && row.verdicts.yes > 0 && html`<span>${row.verdicts.yes} useful</span>`}${!two && row.pairs > 0 && html`<span>${count(row.pairs, "pair")}</span>`}</span>`);
  return html`<li id=${`row-${position}`} role="option" aria-selected=${chosen} aria-posinset=${position + 1} aria-setsize=${size} class=${two ? "two" : ""} style=${{ top: `${top}px` }} onClick=${onChoose}>
    <span class="question" dir="auto">${item.question || item.key}</span>${lines}</li>`;
}

function Rows({ items, cursor, onChoose }) {
  const element = useRef(), [view, setView] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setView(before => ({ ...before, height: element.current.clientHeight })));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  useLayoutEffect(() => {
    const list = element.current, top = cursor * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }, [cursor, items]);
  const first = Math.max(0, Math.floor(view.top / ROW) - 6), last = Math.min(items.length, Math.ceil((view.top + view.height) / ROW) + 6);
  return html`<div class="rows" ref=${element} tabindex="0" role="listbox" aria-label="Trajectories" aria-activedescendant=${`row-${cursor}`} onScroll=${event => setView({ top: event.target.scrollTop, height: event.target.clientHeight })}>
    <ul role="presentation" style=${{ height: `${items.length * ROW}px` }}>${items.slice(first, last).map((item, n) => html`<${Row} key=${item.key} item=${item} chosen=${first + n === cursor}
      top=${(first + n) * ROW} position=${first + n} size=${items.length} onChoose=${() => onChoose(first + n)} />`)}</ul></div>`;
}

// ---------------------------------------------------------------- the page

const KEYS = [["j  k", "next, previous: trajectory in the list, step in a timeline"], ["Enter", "open the trajectory; in a timeline, open what the step folds away"],
  ["Esc", "back to the list; in the list, clear the search"], ["/", "search"], ["n  p", "next, previous trajectory while reading"],
  ...(two ? [["h  l", "left, right side"]] : []), ["e", "open or close all that is folded away"], ["t", "light or dark"], ["?", "this help"]];

function Help({ onClose }) {
  const element = useRef();
  useLayoutEffect(() => element.current.showModal(), []);
  return html`<dialog ref=${element} onClose=${onClose} onClick=${event => event.target === element.current && element.current.close()} aria-label="Keys"><div>
    <h2>Keys</h2><dl>${KEYS.map(([key, text]) => html`<dt key=${key}>${key.split("  ").map(one => html`<kbd key=${one}>${one}</kbd>`)}</dt><dd>${text}</dd>`)}</dl>
    <button onClick=${() => element.current.close()}>Close</button></div></dialog>`;
}

function TokenForm({ onToken }) {
  const submit = event => { event.preventDefault(); onToken(event.target.elements.token.value.trim()); };
  return html`<form class="token" onSubmit=${submit}><label>This server asks for its token. <input name="token" type="password" autocomplete="off" required /></label><button>Continue</button></form>`;
}

function otherTheme() {
  const root = document.documentElement, dark = (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
}

function useRows() {
  const [state, setState] = useState({ rows: folders.map(() => []), expected: null, notes: [], done: false }), [attempt, setAttempt] = useState(0);
  useEffect(() => {
    (async () => {
      const rows = folders.map(() => []), notes = [], expected = [];
      for (let folder = 0; folder < folders.length; folder++) for (let done = false; !done;) {
        const part = await source.rows(folder, rows[folder].length);
        rows[folder].push(...part.rows);
        rows[folder].forEach((row, n) => { row.index = n; });
        expected[folder] = part.total;
        done = part.done;
        if (done) notes.push(...part.notes.map(note => two ? `${folders[folder].label}: ${note}` : note));
        setState({ rows: [...rows], expected: expected.reduce((a, b) => a + b), notes: [...notes], done: done && folder === folders.length - 1 });
      }
    })().catch(error => setState(before => ({ ...before, error })));
  }, [attempt]);
  return [state, given => { token = given; setState(before => ({ ...before, error: undefined })); setAttempt(attempt + 1); }];
}

const keyOfAddress = () => { try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; } };

function App() {
  const [loaded, withToken] = useRows();
  const [wanted, setWanted] = useState(ANY), [openKey, setOpenKey] = useState(keyOfAddress), [cursor, setCursor] = useState(0);
  const [help, setHelp] = useState(false), [side, setSide] = useState(0), [reading, setReading] = useState(Boolean(openKey));
  const items = useMemo(() => itemsOf(loaded.rows), [loaded.rows]);
  const found = useMemo(() => filtered(items, wanted), [items, wanted]);
  const rows = useMemo(() => loaded.rows.flat(), [loaded.rows]);
  const statuses = useMemo(() => [...new Set(rows.map(row => row.status).filter(Boolean))].sort(), [rows]);
  const open = useMemo(() => items.find(item => item.key === openKey), [items, openKey]);
  const at = Math.min(cursor, Math.max(0, found.length - 1));

  const go = (n, { preview = false } = {}) => {
    const item = found[n];
    if (!item) return;
    setCursor(n);
    if (preview && !wide.matches) return;
    const address = `#${encodeURIComponent(item.key)}`;
    if (address !== location.hash) history[preview || reading ? "replaceState" : "pushState"](null, "", address);
    setOpenKey(item.key);
    if (!preview) setReading(true);
  };
  const move = by => go(!open && wide.matches ? at : Math.max(0, Math.min(found.length - 1, at + by)), { preview: true });
  const back = () => {
    setReading(false);
    if (!wide.matches) { setOpenKey(""); if (location.hash) history.pushState(null, "", location.pathname + location.search); }
    document.querySelector(".rows")?.focus();
  };
  useEffect(() => {
    const follow = () => { const key = keyOfAddress(); setOpenKey(key); setReading(Boolean(key)); };
    addEventListener("popstate", follow);
    addEventListener("hashchange", follow);
    return () => { removeEventListener("popstate", follow); removeEventListener("hashchange", follow); };
  }, []);
  useEffect(() => setCursor(0), [wanted]);
  useEffect(() => { const n = found.findIndex(item => item.key === openKey); if (n >= 0) setCursor(n); }, [open, found.length]);
  useEffect(() => { document.title = open ? `${open.question || open.key} · lrat view` : settings.title; }, [open]);

  const column = () => document.querySelectorAll(".trajectory")[side];
  const step = by => {
    const events = [...(column()?.querySelectorAll(".event") || [])], now = events.indexOf(document.activeElement.closest?.(".event"));
    const next = events[now < 0 ? (by > 0 ? 0 : events.length - 1) : Math.max(0, Math.min(events.length - 1, now + by))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  };
  const fold = element => { const all = [...element.querySelectorAll("details")], closed = all.some(one => !one.open); all.forEach(one => { one.open = closed; }); };
  const acts = {
    j: () => reading ? step(1) : move(1), k: () => reading ? step(-1) : move(-1),
    n: () => reading && go(at + 1), p: () => reading && at > 0 && go(at - 1),
    h: () => two && (setSide(0), document.activeElement.blur()), l: () => two && (setSide(1), document.activeElement.blur()),
    e: () => column() && fold(column()), t: otherTheme, "?": () => setHelp(true),
    "/": () => document.getElementById("search")?.focus(),
    Enter: () => { if (!reading) { go(at); document.querySelector(".reader")?.focus(); } else if (document.activeElement.matches(".event")) fold(document.activeElement); },
    Escape: () => { if (reading) back(); else if (wanted.text) setWanted({ ...wanted, text: "" }); },
  };
  acts.ArrowDown = acts.j;
  acts.ArrowUp = acts.k;
  useLayoutEffect(() => { // Not after the next frame: keys typed fast must meet the state that the key before them made
    const press = event => {
      if (event.ctrlKey || event.metaKey || event.altKey || help || !acts[event.key]) return;
      const target = event.target, typing = target.matches("input, select, textarea");
      if (typing && event.key === "Escape") { if (!target.value) target.blur(); else if (target.id === "search") setWanted({ ...wanted, text: "" }); return; }
      if (typing && event.key === "Enter" && target.id === "search") { target.blur(); event.preventDefault(); go(at); return; }
      if (typing || event.key === "Enter" && target.matches("button, summary, a")) return;
      if (event.key.startsWith("Arrow") && !target.matches(".rows")) return;
      event.preventDefault();
      acts[event.key]();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  if (loaded.error?.status === 401) return html`<${TokenForm} onToken=${withToken} />`;
  const reads = loaded.expected === null ? "Reading …" : !loaded.done ? `Reading: ${rows.length.toLocaleString("en")} of ${loaded.expected.toLocaleString("en")}`
    : found.length === items.length ? count(items.length, two ? "question" : "trajectory", two ? "questions" : "trajectories") : `${found.length.toLocaleString("en")} of ${items.length.toLocaleString("en")}`;
  return html`<div class="app" data-open=${Boolean(open)} data-reading=${reading}>
    <aside class="panel">
      <header class="bar"><strong>${folders.map(folder => folder.label).join("  ↔  ")}</strong>
        <button title="Light or dark (t)" aria-label="Light or dark" onClick=${otherTheme}>◐</button><button title="Keys (?)" aria-label="Keys" onClick=${() => setHelp(true)}>?</button></header>
      <${Filters} wanted=${wanted} setWanted=${setWanted} statuses=${statuses} answered=${rows.some(row => row.correct !== null)} />
      <p class="reads" role="status">${reads}</p>
      ${loaded.error && html`<p class="error" role="alert">${loaded.error.message}</p>`}
      ${loaded.notes.map(note => html`<p class="note" key=${note}>${note}</p>`)}
      <${Rows} items=${found} cursor=${at} onChoose=${n => go(n)} />
      ${loaded.done && found.length === 0 && html`<p class="nothing">Nothing fits. <button class="more" onClick=${() => setWanted(ANY)}>Clear search and filters</button></p>`}
    </aside>
    ${open ? html`<${Reader} item=${open} side=${side} setSide=${setSide} onBack=${back} onColumn=${n => { setSide(n); setReading(true); }} />`
      : html`<main class="reader empty"><div><p>${loaded.done && openKey ? `There is no trajectory ${openKey} here.` : "Choose a trajectory."}</p><p class="faint"><kbd>j</kbd> <kbd>k</kbd> move, <kbd>Enter</kbd> opens, <kbd>/</kbd> searches, <kbd>?</kbd> shows all keys</p></div></main>`}
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
  </div>`;
}

document.getElementById("page").textContent = "";
render(html`<${App} />`, document.getElementById("page"));
})();
