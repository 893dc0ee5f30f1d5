"use strict";
// Fills the page from /events. Every value is inserted as text: what callers send is hostile.

const SVG = "http://www.w3.org/2000/svg";
const LEVELS = {
  Live: "good", Starting: "wait", Interrupted: "warn", Outage: "bad", Withdrawn: "bad",
  healthy: "good", degraded: "warn", unhealthy: "bad", draining: "wait",
  running: "good", starting: "wait", restarting: "warn", given_up: "bad", stopped: "wait",
};
const LANES = ["Live", "Interrupted", "Outage", "Withdrawn", "Starting"];
// An authority that ends within a day should have a successor by now; within an hour it is late.
const SOON_S = 86400;
const LATE_S = 3600;
const DENIALS_SHOWN = 40;

const byId = (id) => document.getElementById(id);

/** Sets a text only where it changes, so that nothing is read out or selected anew for nothing. */
function say(node, text, level) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  if (level === undefined) return node;
  if (node.dataset.level !== level) node.dataset.level = level;
  return node;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = String(text);
  return node;
}

/** One child of `parent` for each item, kept from update to update by its key; equal keys are numbered. */
function keep(parent, items, keyOf, create, update) {
  const known = new Map();
  const equals = new Map();
  for (const child of parent.children) known.set(child.dataset.key, child);
  let place = parent.firstElementChild;
  items.forEach((item, at) => {
    const bare = keyOf(item, at);
    const before = equals.get(bare) ?? 0;
    equals.set(bare, before + 1);
    const key = `${before} ${bare}`;
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  });
  for (const child of known.values()) child.remove();
}

/** Rows of a table: the first cell is the row's header. */
function rows(body, items, keyOf, cellsOf) {
  const create = (item) => {
    const row = make("tr");
    cellsOf(item).forEach((cell, at) => {
      const node = make(at === 0 ? "th" : "td", cell.className);
      if (at === 0) node.scope = "row";
      if (cell.curve) node.append(curve());
      row.append(node);
    });
    return row;
  };
  keep(body, items, keyOf, create, (row, item) => {
    cellsOf(item).forEach((cell, at) => {
      const node = row.children[at];
      if (cell.curve) draw(node.firstChild, cell.curve);
      else say(node, cell.text, cell.level);
    });
  });
}

/** Terms and their values. */
function terms(list, pairs) {
  const flat = pairs.flatMap(([name, text, level]) => [{ tag: "dt", name, text: name }, { tag: "dd", name, text, level }]);
  keep(list, flat, (one) => `${one.tag} ${one.name}`, (one) => make(one.tag), (node, one) => say(node, one.text, one.level));
}

function curve() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 180 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "curve");
  // The numbers beside it say the same.
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "polyline"));
  return svg;
}

function draw(svg, values) {
  const peak = Math.max(1, ...values);
  const points = values.map((value, at) => `${180 - values.length + at},${(23 - (22 * value) / peak).toFixed(1)}`);
  svg.firstChild.setAttribute("points", points.join(" "));
}

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const clock = (time) => `${time.slice(0, 10)} ${time.slice(11, 19)} UTC`;
const age = (ms) => (ms === null ? "unknown" : span(ms));

/** Bundles may be from the disk: then there are some, though SPIRE has given none. */
function confirmed(trust) {
  if (trust.age_ms !== null) return `${span(trust.age_ms)} ago${trust.state === "Starting" ? ", and kept on disk" : ""}`;
  return trust.domains_total > 0 ? "in the future: was the clock set back?" : "never";
}

/** How many there are beyond those listed. */
function more(id, total, listed) {
  const node = byId(`${id}-more`);
  node.hidden = total <= listed;
  say(node, total > listed ? `and ${total - listed} more` : "");
}

/** The same among terms. */
function others(total, listed, term, text, level) {
  const count = total - (listed ?? []).length;
  return count > 0 ? [[term(count), text, level]] : [];
}

/** Why somebody cannot be verified, or nobody, and what to do. */
function unverifiable(trust) {
  return [
    ...(trust.error ? [["Away because", trust.error, "warn"]] : []),
    ...(trust.remedy ? [["To do", trust.remedy]] : []),
    ...(trust.refused ? [["Refused before", trust.refused.error, "bad"], ["To do for the refusal", trust.refused.remedy]] : []),
    ...(trust.barren ?? []).flatMap((one) => [[`Nobody of ${one.trust_domain}`, `is verified: ${one.error}`, "bad"], [`To do for ${one.trust_domain}`, one.remedy]]),
    ...others(trust.barren_total, trust.barren, (count) => `Nobody of ${count} more`, "is verified", "bad"),
    ...(trust.foreign ? [["Nobody whom the policy allows", `can be verified: ${trust.foreign.error}`, "bad"], ["To do for the policy", trust.foreign.remedy]] : []),
    ...(trust.missing ? [["Bundles missing", trust.missing.error, "warn"], ["To do for those missing", trust.missing.remedy]] : []),
  ];
}

/** What of SPIRE's updates cannot be used. */
function unusable(trust) {
  return [
    ...(trust.discarded ? [["Updates", `discarded for ${span(trust.discarded.for_ms)}: ${trust.discarded.error}`, "warn"]] : []),
    ...(trust.unreadable ?? []).map((one) => [`Bundle of ${one.key}`, `cannot be read, for ${span(one.for_ms)}; ${one.kept ? "the one before counts until cache-ttl" : "there is none before"}: ${one.error}`, "warn"]),
    ...others(trust.unreadable_total, trust.unreadable, (count) => `Bundles of ${count} more`, "cannot be read", "warn"),
  ];
}

/** What the state directory does not take. */
function unkept(disk) {
  if (!disk?.error) return [];
  return [
    ["Disk", `${disk.error}; for ${span(disk.for_ms)}`, disk.refusal_missing ? "bad" : "warn"],
    ["To do for the disk", disk.remedy],
  ];
}

/** Each complaint as a term of its own. */
function numbered(term, complaints) {
  return (complaints ?? []).map((said, at) => [at ? `${term} ${at + 1}` : term, said, "warn"]);
}

/** The push that was refused last: the proxy was told, and its operator looks here. */
function refusedPush({ refused_push: push }) {
  if (!push) return [];
  const said = `${push.total} refused, the last from ${push.proxy}, ${span(push.ago_ms)} ago: ${push.reason}`;
  return [["Pushes", said, "bad"], ["To do for pushes", "correct the config block in the proxy's file, and reload the proxy"]];
}

function now(status) {
  const { health, trust, process, audit } = status;
  terms(byId("now-list"), [
    ["Health", health.state, LEVELS[health.state]],
    ["Ready", health.readiness, health.ready ? "good" : "warn"],
    ["Alive", health.live ? "yes" : "stuck: no sign of life", health.live ? "good" : "bad"],
    ...(status.requests ? [["Requests", status.requests]] : []),
    ["SPIRE", `${trust.state} for ${span(trust.for_ms)}`, LEVELS[trust.state]],
    ["Bundles confirmed", confirmed(trust)],
    ["Fault", ...(trust.fault === "ours" ? ["SPIRE says that we call it wrongly", "bad"] : ["none of ours", "good"])],
    ...unverifiable(trust),
    ...(process.socket_lost ? [["Socket file", `${process.socket_lost.error}; ${process.socket_lost.remedy}`, "bad"]] : []),
    ...(status.full_doors ?? []).map((full) => [`Door ${full.door}`, `${full.error}; ${full.remedy}`, "bad"]),
    ...unusable(trust),
    ...(audit && audit.complaint ? [["Records", audit.complaint, audit.refuses ? "bad" : "warn"]] : []),
    ...unkept(status.state_dir),
    ...refusedPush(status.policies),
    ...numbered("Telemetry", status.telemetry),
    ...numbered("Telemetry lost", status.undelivered),
    ["Up for", span(process.uptime_ms)],
  ]);
  say(byId("summary"), `${health.state}; SPIRE ${trust.state}; ${health.readiness}`, LEVELS[health.state]);
  const title = `${health.state} · SPIFFE agent`;
  if (document.title !== title) document.title = title;
}

function availability(status) {
  const changes = status.trust.timeline;
  keep(byId("lanes"), LANES, (lane) => lane, (lane) => make("div", "", lane), () => {});
  const whole = Math.max(1, changes.length ? changes[0].ago_ms : 1);
  const bars = changes.map((change, at) => {
    const end = at + 1 < changes.length ? changes[at + 1].ago_ms : 0;
    return { state: change.to, from: 1000 * (1 - change.ago_ms / whole), width: (1000 * (change.ago_ms - end)) / whole, ms: change.ago_ms - end };
  });
  keep(byId("bars"), bars, (_, at) => String(at), () => document.createElementNS(SVG, "rect"), (rect, bar) => {
    rect.setAttribute("x", bar.from.toFixed(1));
    rect.setAttribute("width", Math.max(bar.width, 3).toFixed(1));
    rect.setAttribute("y", String(20 * LANES.indexOf(bar.state) + 3));
    rect.setAttribute("height", "14");
    rect.dataset.level = LEVELS[bar.state];
    rect.dataset.state = bar.state;
  });
  const told = bars.slice(-6).map((bar) => `${bar.state} for ${span(bar.ms)}`).join(", then ");
  byId("bars").setAttribute("aria-label", `Availability, lately: ${told}`);
  say(byId("axis-from"), `${span(whole)} ago`);
  rows(byId("changes"), changes.slice().reverse(), (change) => `${change.time} ${change.to}`, (change) => [
    { text: clock(change.time), className: "when" },
    { text: change.to, level: LEVELS[change.to] },
    { text: change.from ?? "" },
    { text: change.cause, className: "mono" },
  ]);
}

function left(authority, nowS) {
  const s = authority.not_after - nowS;
  if (authority.unusable) return [`${s < 0 ? `ended ${span(-1000 * s)} ago` : "unusable"}: ${authority.unusable}`, "bad"];
  if (s < LATE_S) return [`ends in ${span(1000 * s)}`, "bad"];
  if (s < SOON_S) return [`ends in ${span(1000 * s)}`, "warn"];
  return [`ends in ${span(1000 * s)}`, "good"];
}

function domains(status, nowS) {
  const all = status.trust.domains;
  byId("domains-none").hidden = all.length > 0;
  more("domains", status.trust.domains_total, all.length);
  const create = (domain) => {
    const box = make("div");
    const wide = make("div", "wide");
    wide.tabIndex = 0;
    wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", `Authorities of ${domain.trust_domain}`);
    const table = make("table");
    const head = make("tr");
    for (const name of ["Authority", "Ends", "Time left"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const thead = make("thead");
    thead.append(head);
    table.append(make("caption"), thead, make("tbody"));
    wide.append(table);
    box.append(make("h3", "", domain.trust_domain), wide);
    return box;
  };
  keep(byId("domain-list"), all, (domain) => domain.trust_domain, create, (box, domain) => {
    const kept = domain.standing === "kept" ? "; the latest update held one that cannot be read" : "";
    const more = domain.authorities_total > domain.authorities.length ? `, ${domain.authorities_total} in all` : "";
    say(box.querySelector("caption"), `Generation ${domain.generation}, confirmed ${age(domain.age_ms)} ago${kept}${more}`);
    rows(box.querySelector("tbody"), domain.authorities, (one, at) => `${at} ${one.subject} ${one.not_after}`, (one) => {
      const [text, level] = left(one, nowS);
      return [{ text: one.subject }, { text: clock(new Date(1000 * one.not_after).toISOString()), className: "when" }, { text, level, className: "left" }];
    });
  });
}

function decisions(status) {
  const { allowed, denied, per_second: rates, seconds } = status.decisions;
  const flat = new Array(seconds).fill(0);
  const named = (totals, level) => Object.entries(totals).map(([name, total]) => ({ name, total, level, rate: rates[name] ?? flat }));
  const always = ["verified"];
  const seen = [...named(allowed, "good"), ...named(denied, "bad")].filter((one) => one.total > 0 || always.includes(one.name));
  rows(byId("answers"), seen, (one) => one.name, (one) => [
    { text: one.name, level: one.name.startsWith("unverified") ? "warn" : one.level },
    { text: one.total, className: "number" },
    { text: one.rate.length ? one.rate[one.rate.length - 1] : 0, className: "number" },
    { text: Math.max(0, ...one.rate), className: "number" },
    { curve: one.rate },
  ]);
  const d = status.decisions;
  terms(byId("counters"), [
    ["Remembered", `${d.memory_hits} of ${d.memory_hits + d.memory_misses} credentials`],
    ["Audit records lost", d.audit_dropped, d.audit_dropped > 0 ? "bad" : "good"],
    ["Untrusted proxies turned away", d.untrusted_proxy],
  ]);
}

function denials(status) {
  byId("denials-none").hidden = status.denials.length > 0;
  const create = (denial) => {
    const item = make("li");
    const head = make("h3");
    say(head, `${denial.reason} ${denial.status ?? "let pass"}`, denial.verdict === "deny" ? "bad" : "warn");
    const more = make("details");
    const list = make("dl");
    more.append(make("summary", "", "Request and certificate"), list);
    const known = [
      ["Request", denial.request_id], ["Correlation", denial.correlation_id], ["Client", denial.client_ip],
      ["Leaf SHA-256", denial.leaf_sha256], ["List entry", denial.matched_rule], ["Proxy", denial.proxy], ["Door", denial.door],
    ];
    terms(list, known.filter(([, text]) => text));
    item.append(
      head,
      make("p", "mono", denial.spiffe_id ?? "no ID"),
      make("p", "", denial.rule),
      make("p", "advice", `Do: ${denial.advice}`),
      make("p", "faint", clock(denial.time)),
      more,
    );
    return item;
  };
  const key = (denial) => `${denial.time} ${denial.correlation_id} ${denial.reason}`;
  keep(byId("denial-list"), status.denials.slice(0, DENIALS_SHOWN), key, create, () => {});
  more("denials", status.denials.length, DENIALS_SHOWN);
}

function proxies(status) {
  const seen = status.proxies ?? [];
  byId("proxies-none").hidden = seen.length > 0;
  for (const id of ["proxies-hint", "proxy-table"]) byId(id).hidden = seen.length === 0;
  rows(byId("proxy-list"), seen, (one) => `${one.name} ${one.version}`, (one) => [
    { text: one.name },
    { text: one.version, className: "version" },
    { text: one.open, className: "number" },
    { text: one.connections, className: "number" },
    { text: `${span(one.last_ms)} ago`, className: "when" },
  ]);
}

function tree(status) {
  rows(byId("places"), status.tree, (place) => place.path, (place) => {
    const names = place.path.split("/");
    const failure = place.last_failure;
    const ago = failure ? status.process.uptime_ms - failure.at_ms : 0;
    const busy = place.role === "temporary" ? "as needed" : place.state.replace("_", " ");
    return [
      { text: names[names.length - 1], className: `depth-${Math.min(names.length - 1, 4)}` },
      { text: busy, level: LEVELS[place.state] },
      { text: place.alive, className: "number" },
      { text: place.restarts, className: "number" },
      { text: failure ? `${failure.cause}, ${span(ago)} ago` : "" },
    ];
  });
}

function inForce(status) {
  const { process } = status;
  terms(byId("build"), [
    ["Version", process.version], ["Build", process.build], ["For", process.target],
    ["Process", process.pid],
    ...(process.socket ? [["Socket path", process.socket]] : []), ...(process.config ? [["File", process.config]] : []),
    ...(process.spire_socket ? [["SPIRE's socket", process.spire_socket]] : []),
    ["Started", clock(process.started)],
  ]);
  const { policies } = status;
  byId("policies-none").hidden = policies.total > 0;
  more("policies", policies.total, policies.shown.length);
  keep(byId("policy-list"), policies.shown, (_, at) => String(at), () => make("dl", "policy"), (list, policy) => {
    const entries = (one) => {
      const more = one.total > one.shown.length ? ` and ${one.total - one.shown.length} more` : "";
      return one.any ? "everybody" : one.total === 0 ? "empty" : one.shown.join(", ") + more;
    };
    terms(list, [
      ["From", policy.source],
      ["While SPIRE is away", policy.mode],
      ["Enforced", policy.enforce ? "yes" : "no: decided and recorded only", policy.enforce ? "good" : "warn"],
      ["Validation failure", policy.validation_failure],
      ["Certificate required", policy.require_mtls ? "yes" : "no"],
      ["Header", `${policy.client_cert_header} (${policy.client_cert_format})`],
      ["Bundles count for", `${policy.cache_ttl_s} s`],
      ["Allowlist", entries(policy.allowlist)],
      ["Denylist", entries(policy.denylist)],
    ]);
  });
  rows(byId("settings"), status.configuration, (one, at) => `${at} ${one.key}`, (one) => [
    { text: one.key, className: "mono" }, { text: one.value, className: "mono" }, { text: one.source },
  ]);
}

/** Told to screen readers: changes of state, nothing that merely moves. */
const told = { health: null, trust: null, ready: null };
// What follows within a moment is told with it, not in its place.
const TOGETHER_MS = 3000;
let toldAt = 0;

function news(status) {
  const { health, trust } = status;
  const last = trust.timeline[trust.timeline.length - 1];
  const lines = [];
  if (told.trust !== null && told.trust !== trust.state) lines.push(`SPIRE is ${trust.state}, because of ${last?.cause}.`);
  if (told.health !== null && told.health !== health.state) lines.push(`The agent is ${health.state}.`);
  if (told.ready !== null && told.ready !== health.ready) lines.push(health.ready ? "Ready." : `Not ready: ${health.readiness}.`);
  Object.assign(told, { health: health.state, trust: trust.state, ready: health.ready });
  if (!lines.length) return;
  if (Date.now() - toldAt < TOGETHER_MS) lines.unshift(byId("news").textContent);
  toldAt = Date.now();
  say(byId("news"), lines.join(" "));
}

let latest = null;
let skew = 0;
let heard = 0;
let paused = false;

function show() {
  if (!latest) return;
  const nowS = (Date.now() + skew) / 1000;
  for (const part of [now, availability, domains, decisions, denials, proxies, tree, inForce, news]) part(latest, nowS);
}

function link(text, level) {
  say(byId("link"), text, level);
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) return link("paused", "wait");
  show();
});

const events = new EventSource("/events");
events.addEventListener("status", (event) => {
  latest = JSON.parse(event.data);
  skew = Date.parse(latest.time) - Date.now();
  heard = Date.now();
  if (paused) return;
  link("following", "good");
  show();
});
events.addEventListener("error", () => link("the agent does not answer", "bad"));

// Authorities count down between events too, and silence is shown.
setInterval(() => {
  if (paused || !latest) return;
  domains(latest, (Date.now() + skew) / 1000);
  if (Date.now() - heard > 5000) link(`nothing heard for ${span(Date.now() - heard)}`, "bad");
}, 1000);
