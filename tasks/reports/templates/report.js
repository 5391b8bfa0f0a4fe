// The screens, the filmstrip, the axis, the lanes and the tables share one time; without a player the axis keeps it.
// Text is only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id), all = (what, within = document) => [...within.querySelectorAll(what)];
  const board = byId("board"), player = byId("player"), slider = byId("slider"), now = byId("now"), card = byId("card");
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const screens = all(".frame").map((frame, place) => new Screen(frame, data.layers[place] ? new Boxes(data.layers[place], place) : null));
  const sheet = byId("sheet"), film = byId("film") && new Film(byId("film"), data.film, sheet, data.whole_s, (at_s) => seek(at_s));
  const tables = all("tr[data-from]");
  const labelColours = new Map();
  let time_s = 0, view = data.views[0] || {offset_s: 0, draws_boxes: true, draws_labels: true}, isPlayable = Boolean(player), told = -1;

  // As words.timestamp writes it.
  function timestamp(at_s) {
    if (data.whole_s < 60) return at_s.toFixed(1) + " s";
    const two = (number) => String(number).padStart(2, "0");
    const minutes = Math.floor(at_s / 60), seconds = two(Math.floor(at_s % 60));
    return data.whole_s >= 3600 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${seconds}` : `${minutes}:${seconds}`;
  }

  const placesAt = (at_s) => data.times_s.map((times_s) => lastBefore(times_s, at_s + 1e-6));

  function bestLabels(places, model, most) {
    const place = places[model];
    const rows = data.scores.map((scores, row) => row).filter((row) => data.of[row] === model && data.scores[row][place] > 0);
    rows.sort((one, other) => data.scores[other][place] - data.scores[one][place]);
    return rows.slice(0, most).map((row) => `${data.labels[row]} ${data.scores[row][place].toFixed(2)}`);
  }

  function labelsAt(places) {
    const best = data.models.map((name, model) => [name, bestLabels(places, model, 1)[0]]).filter(([, label]) => label);
    return best.map(([name, label]) => data.models.length > 1 ? `${name}: ${label}` : label).join(" · ");
  }

  function objectsAt(at_s) {
    const counts = data.classes.map(({name, spans}) =>
      [name, spans.filter(([start_s, end_s]) => start_s <= at_s && at_s <= end_s).length]);
    return counts.filter(([, count]) => count).map(([name, count]) => count > 1 ? `${name} × ${count}` : name).join(", ");
  }

  // The toggles, as `Screen.draw` asks them.
  const switches = new Map(all("#drawn input[type=checkbox]:not([name=class])").map((input) => [input.name, input]));
  const classes = all("#drawn input[name=class]"), least = byId("least"), eyes = all(".eye");
  const wants = {row: () => true};
  function readToggles() {
    for (const [name, input] of switches) wants[name] = input.checked;
    const hidden = new Set(classes.filter((input) => !input.checked).map((input) => input.value));
    const unseen = new Set(eyes.filter((input) => !input.checked).map((input) => input.dataset.track));
    const from = least ? Number(least.value) : 0;
    wants.row = ({score, thing, of}) => score >= from - 1e-4 && !hidden.has(thing.of) && !unseen.has(`${of} ${thing.id}`) &&
      (thing.id !== null || !wants.hasUnsure || wants.unsure);
    wants.hasUnsure = switches.has("unsure");
    if (least) byId("least-said").textContent = from.toFixed(2);
    for (const lane of all(".lane[data-score]")) lane.classList.toggle("faint", Number(lane.dataset.score) < from);
    draw(time_s);
    sayEach(time_s, placesAt(time_s));
  }

  function heldAt(at_s) {
    const found = data.held.filter(([, start_s, end_s]) => start_s <= at_s + .002 && at_s < end_s);
    const shown = [];
    for (let model = 0; model < data.models.length; model++) {
      const own = found.filter(([of]) => of === model).sort((one, other) => other[4] - one[4]).slice(0, data.models.length > 1 ? 2 : 3);
      shown.push(...own.map(([, , , name, score]) => ({
        text: `${data.models.length > 1 ? data.models[model] + ": " : ""}${name} ${score.toFixed(2)}`,
        colour: labelColours.get(name) || "#333333",
      })));
    }
    return shown;
  }

  // What is drawn over the picture of one time.
  function draw(at_s) {
    const drawn = {...wants, boxes: view.draws_boxes && wants.boxes, masks: view.draws_boxes && wants.masks, names: view.draws_boxes && wants.names,
      labels: view.draws_labels && wants.labels};
    const labels = drawn.labels ? heldAt(at_s) : [];
    screens.forEach((screen, place) => screen.draw(at_s, drawn, place ? [] : labels));
  }

  function show(at_s) {
    time_s = at_s;
    if (!slider) return draw(at_s);
    board.style.setProperty("--at", Math.min(at_s / data.whole_s, 1).toFixed(5));
    draw(at_s);
    film?.follow(at_s);
    // Words are read by people: while it plays, ten times a second will do.
    const isRunning = player && !player.paused && !player.ended;
    if (isRunning && performance.now() - told < 100) return;
    told = performance.now();
    say(at_s);
  }

  function say(at_s) {
    const places = placesAt(at_s);
    const said = [labelsAt(places), objectsAt(at_s)].filter(Boolean).join(" · ");
    for (const score of all(".at[data-row]"))
      score.textContent = data.scores[score.dataset.row][places[data.of[score.dataset.row]]]?.toFixed(2) ?? "";
    slider.setAttribute("aria-valuenow", at_s.toFixed(3));
    slider.setAttribute("aria-valuetext", [timestamp(at_s), said].filter(Boolean).join(": "));
    const when = Object.assign(document.createElement("a"), {href: `#t=${Number(at_s.toFixed(3))}`, title: "A link to this moment"});
    when.append(Object.assign(document.createElement("strong"), {textContent: timestamp(at_s)}));
    now.replaceChildren(when, said ? `  ${said}` : "  nothing was named");
    sayEach(at_s, places);
    followInTables(at_s);
  }

  // What each model or detector says of this moment, side by side.
  function sayEach(at_s, places) {
    if (!byId("moment")) return;
    const column = (name, lines) => {
      const head = Object.assign(document.createElement("strong"), {textContent: name, dir: "auto"}), list = document.createElement("ol");
      list.append(...(lines.length ? lines : ["nothing"]).map((text) => Object.assign(document.createElement("li"), {textContent: text})));
      const made = document.createElement("div");
      made.append(head, list);
      return made;
    };
    const models = data.models.length > 1 ? data.models.map((name, model) => column(name, bestLabels(places, model, 3))) : [];
    const detectors = data.layers.length > 1 ? screens.map(({boxes}) => {
      const counts = new Map();
      for (const each of boxes.at(at_s).filter(wants.row)) counts.set(each.thing.of, (counts.get(each.thing.of) || 0) + 1);
      return column(boxes.name, [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1)).map(([name, count]) => `${name} × ${count}`));
    }) : [];
    byId("moment").replaceChildren(...models, ...detectors);
  }

  // Rows of tables that hold now are marked, and the table moves to the first of them, unless somebody reads elsewhere.
  function followInTables(at_s) {
    const first = new Map();
    for (const row of tables) {
      const isNow = Number(row.dataset.from) <= at_s + 1e-6 && at_s <= Number(row.dataset.to);
      if (isNow !== row.classList.contains("on")) {
        row.classList.toggle("on", isNow);
        if (isNow) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
      }
      const around = row.closest(".wide");
      if (isNow && !first.has(around)) first.set(around, row);
    }
    for (const [around, row] of first) {
      const fold = around.closest("details");
      if (!fold.open || !fold.querySelector(".follow input").checked || around.matches(":hover, :focus-within")) continue;
      const head = row.closest("table").querySelector("thead").offsetHeight;
      const top = row.offsetTop - head - 8;
      if (row.offsetTop < around.scrollTop + head || row.offsetTop + row.offsetHeight > around.scrollTop + around.clientHeight)
        around.scrollTop = top;
    }
  }

  function seek(to_s) {
    const end_s = isPlayable && Number.isFinite(player.duration) ? view.offset_s + player.duration : data.whole_s;
    const at_s = Math.max(isPlayable ? view.offset_s : 0, Math.min(to_s, end_s));
    if (isPlayable) for (const {media} of screens) media.currentTime = at_s - view.offset_s;
    show(at_s);
  }

  // An address that ends in #t=12.4 opens the page at that second.
  function seekToAddress() {
    const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (!found) return;
    seek(Number(found[1]));
    if (isPlayable && player.readyState < 1)
      player.addEventListener("loadedmetadata", () => seek(Number(found[1])), {once: true});
  }

  function followPlayer() {
    const timeOf = () => view.offset_s + player.currentTime;
    for (const event of ["timeupdate", "seeking", "loadeddata", "pause"]) player.addEventListener(event, () => show(timeOf()));
    const others = screens.slice(1).map(({media}) => media);
    player.addEventListener("play", () => { for (const other of others) other.play().catch(() => {}); });
    player.addEventListener("pause", () => { for (const other of others) { other.pause(); other.currentTime = player.currentTime; } });
    player.addEventListener("seeking", () => { for (const other of others) other.currentTime = player.currentTime; });
    player.addEventListener("ratechange", () => { for (const other of others) other.playbackRate = player.playbackRate; });
    const keepUp = () => {
      for (const other of others) if (Math.abs(other.currentTime - player.currentTime) > .1) other.currentTime = player.currentTime;
    };
    if (player.requestVideoFrameCallback) {
      // Each picture with its own time; where motion is unwelcome, the cursor stays behind and the boxes do not.
      const shown = (_, {mediaTime}) => {
        const at_s = view.offset_s + mediaTime;
        if (isCalm || player.paused) draw(at_s); else show(at_s);
        keepUp();
        player.requestVideoFrameCallback(shown);
      };
      player.requestVideoFrameCallback(shown);
      return;
    }
    const step = () => {
      if (player.paused || player.ended) return;
      if (isCalm) draw(timeOf()); else show(timeOf());
      keepUp();
      requestAnimationFrame(step);
    };
    player.addEventListener("play", () => requestAnimationFrame(step));
  }

  // Another file of the same video goes on at the same time, playing where this one played.
  function switchTo(place) {
    const choice = all(".switch input").find((input) => Number(input.dataset.view) === place);
    const source = choice?.value || firstSource;
    const isPlaying = player && !player.paused && !player.ended, at_s = time_s;
    view = data.views[place];
    isPlayable = Boolean(player);
    for (const screen of screens) { screen.still = null; screen.media.hidden = false; }
    if (player) {
      player.addEventListener("loadedmetadata", () => {
        for (const {media} of screens) media.currentTime = at_s - view.offset_s;
        if (isPlaying) player.play().catch(() => {});
      }, {once: true});
      player.setAttribute("aria-label", `The video${view.drawn}`);
    } else screens[0].media.alt = `The picture${view.drawn}`;
    for (const {media} of screens) media.src = source;
    film?.lookInto(source, view.offset_s, data.aspect);
    draw(at_s);
  }

  // What a browser cannot play, or what is gone, gives way to what is left: a copy, else the filmstrip.
  function giveWay() {
    const failed = data.views.indexOf(view), why = `${data.views[failed].what} (${data.codec}) does not play here: the file is gone, or this browser has no decoder for it.`;
    const next = data.views.findIndex((each, place) => place > failed && each.name);
    const said = (instead) => { byId("instead").hidden = false; byId("instead").textContent = `${why} ${instead}`; };
    if (next > failed) {
      said(`${data.views[next].what} is shown instead.`);
      const choice = all(".switch input").find((input) => Number(input.dataset.view) === next);
      if (choice) choice.checked = true;
      switchTo(next);
      return;
    }
    isPlayable = false;
    view = {offset_s: 0, draws_boxes: true, draws_labels: true};
    standIn();
    said(data.film ? "Pictures of the filmstrip stand in for it; the arrow keys and the axis move through them." : "Times and tables are all here.");
    show(time_s);
  }

  function standIn() {
    for (const screen of screens) {
      if (screen.media) screen.media.hidden = true;
      screen.still = (context, width, height, at_s) => film?.paint(context, 0, 0, width, height, at_s);
    }
    sheet?.addEventListener("load", () => draw(time_s));
  }

  function timeUnder(event, plot) {
    const {left, width} = plot.getBoundingClientRect();
    return data.whole_s * Math.max(0, Math.min((event.clientX - left) / width, 1));
  }

  // A click on a plot seeks to the time under it; keys on a button (they click with detail 0) seek to what it names.
  function onClick(event) {
    const button = event.target.closest("[data-seek]");
    const plot = event.target.closest(".plot");
    if (plot && event.detail && !event.target.closest("summary")) seek(timeUnder(event, plot));
    else if (button) seek(Number(button.dataset.seek));
  }

  function onDrag(event) {
    if (event.buttons === 1) seek(timeUnder(event, slider));
  }

  const small_s = data.whole_s > 30 ? 1 : .5, large_s = data.whole_s / 10;
  const steps = {ArrowLeft: -small_s, ArrowDown: -small_s, ArrowRight: small_s, ArrowUp: small_s, PageDown: -large_s,
    PageUp: large_s, Home: -Infinity, End: Infinity};

  function onAxisKey(event) {
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    seek(event.key === "End" ? data.whole_s : event.key === "Home" ? 0 : time_s + steps[event.key]);
  }

  function togglePlay() {
    if (!isPlayable) return;
    if (player.paused) player.play().catch(() => {}); else player.pause();
  }

  // Keys of the whole page, unless what has the focus needs them itself.
  function onPageKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target, needsSpace = at.closest("input, select, button, summary, a, textarea");
    const needsArrows = at.closest("input[type=radio], input[type=range], select, textarea, [role=slider]");
    const frame = Math.round(time_s / data.frame_s), sideways = {ArrowLeft: time_s - small_s, ArrowRight: time_s + small_s,
      ",": (frame - 1) * data.frame_s + .001, ".": (frame + 1) * data.frame_s + .001};
    if (event.key === " " && !needsSpace) togglePlay();
    else if (event.key in sideways && !needsArrows) {
      if (event.key.length === 1 && player) player.pause();
      seek(sideways[event.key]);
    } else if (event.key === "f" && !at.closest("textarea")) large();
    else if (event.key === "+" && film) zoomFilm(.5);
    else if (event.key === "-" && film) zoomFilm(2);
    else return;
    event.preventDefault();
  }

  function large() {
    if (document.fullscreenElement) document.exitFullscreen(); else byId("large")?.closest(".watch").querySelector(".screens").requestFullscreen?.();
  }

  function zoomFilm(factor) {
    const span_s = film.zoom(factor), isWhole = span_s >= data.whole_s - 1e-6;
    byId("wider").disabled = isWhole;
    byId("closer").disabled = span_s <= 2;
    byId("stretch").textContent = isWhole ? "" : `${span_s < 60 ? span_s.toFixed(1) + " s" : timestamp(span_s)} of ${timestamp(data.whole_s)}`;
  }

  // What a lane stands for, beside it, while it is pointed at or has the focus; Escape takes it away.
  function describe(lane) {
    const words = document.createElement("span"), title = document.createElement("b");
    title.textContent = lane.dataset.says;
    words.append(title, `${lane.dataset.boxes} ${lane.dataset.boxes === "1" ? "box" : "boxes"}, best at ${lane.dataset.best}`);
    const thumbnail = lane.querySelector("img");
    const picture = thumbnail ? [Object.assign(new Image(), {src: thumbnail.src, alt: ""})] : [];
    card.replaceChildren(...picture, words);
    card.hidden = false;
    const at = lane.getBoundingClientRect(), bar = lane.querySelector(".bar").getBoundingClientRect();
    const height = Math.max(card.offsetHeight, picture.length ? 110 : 0);
    card.style.left = `${Math.max(8, Math.min(bar.left, innerWidth - card.offsetWidth - 8))}px`;
    card.style.top = at.top > height + 16 ? `${at.top - card.offsetHeight - 6}px` : `${at.bottom + 6}px`;
    // Its picture may come later and make it higher.
    picture[0]?.addEventListener("load", () => { if (at.top > height + 16) card.style.top = `${at.top - card.offsetHeight - 6}px`; });
  }

  function markOnPicture(button) {
    const {left, top, right, bottom} = button.dataset;
    Object.assign(byId("mark").style, {left: left + "%", top: top + "%", width: right - left + "%", height: bottom - top + "%"});
    for (const other of all(".things .thing")) other.setAttribute("aria-pressed", other === button);
    byId("mark").hidden = false;
  }

  const firstSource = screens[0]?.media?.getAttribute("src");
  for (const row of all(".score")) {
    const colour = getComputedStyle(row).getPropertyValue("--c").trim();
    if (/^#[0-9a-f]{6}$/i.test(colour)) labelColours.set(row.querySelector(".name").textContent, colour);
  }
  for (const choice of all(".switch input")) choice.addEventListener("change", () => switchTo(Number(choice.dataset.view)));
  for (const input of [...switches.values(), ...classes, ...eyes]) input.addEventListener("change", readToggles);
  least?.addEventListener("input", readToggles);
  for (const [id, isWanted] of [["all-classes", true], ["no-classes", false]])
    byId(id)?.addEventListener("click", () => { for (const input of classes) input.checked = isWanted; readToggles(); });
  byId("large")?.addEventListener("click", large);
  byId("closer")?.addEventListener("click", () => zoomFilm(.5));
  byId("wider")?.addEventListener("click", () => zoomFilm(2));
  for (const {canvas} of screens) new ResizeObserver(() => draw(time_s)).observe(canvas);
  if (byId("mark")) {
    for (const thing of all(".things .thing"))
      for (const event of ["click", "pointerenter", "focus"]) thing.addEventListener(event, () => markOnPicture(thing));
  }
  if (screens.length && !screens[0].media) standIn();
  const first = screens[0]?.media;
  first?.addEventListener("error", giveWay);
  if (first?.error || (first?.complete && !first.naturalWidth)) giveWay();
  // Sound may play where the picture does not.
  player?.addEventListener("loadedmetadata", () => { if (!player.videoWidth) giveWay(); });
  if (film && firstSource) film.lookInto(firstSource, view.offset_s, data.aspect);
  readToggles();
  if (slider) {
    document.addEventListener("click", onClick);
    slider.addEventListener("pointerdown", (event) => { slider.setPointerCapture(event.pointerId); onDrag(event); });
    slider.addEventListener("pointermove", onDrag);
    slider.addEventListener("keydown", onAxisKey);
    document.addEventListener("keydown", onPageKey, {capture: true});
    board.addEventListener("pointerover", (event) => {
      const lane = event.pointerType === "mouse" && event.target.closest(".lane");
      if (lane) describe(lane); else card.hidden = true;
    });
    board.addEventListener("pointerleave", () => { card.hidden = true; });
    board.addEventListener("focusin", (event) => {
      if (event.target.matches(".lane :focus-visible")) describe(event.target.closest(".lane"));
    });
    board.addEventListener("focusout", () => { card.hidden = true; });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") card.hidden = true; });
    // The browser scrolls to what gets the focus, so the card of that lane goes along.
    document.addEventListener("scroll", () => {
      const lane = document.querySelector(".lane :focus-visible")?.closest(".lane");
      if (lane && !card.hidden) describe(lane); else card.hidden = true;
    }, {passive: true});
    if (player) followPlayer();
    for (const fold of all("details.as-table")) fold.addEventListener("toggle", () => followInTables(time_s));
    if (isPlayable && data.from_s > view.offset_s) seek(data.from_s); else show(player ? view.offset_s : 0);
    seekToAddress();
    addEventListener("hashchange", seekToAddress);
  }
})();
