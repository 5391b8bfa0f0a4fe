"use strict";
// The player, the axis and the lanes share one time; without a player the axis keeps it. Text is only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const board = byId("board"), player = byId("player"), slider = byId("slider"), now = byId("now"), card = byId("card");
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let time_s = 0;

  // As words.timestamp writes it.
  function timestamp(at_s) {
    if (data.whole_s < 60) return at_s.toFixed(1) + " s";
    const two = (number) => String(number).padStart(2, "0");
    const minutes = Math.floor(at_s / 60), seconds = two(Math.floor(at_s % 60));
    return data.whole_s >= 3600 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${seconds}` : `${minutes}:${seconds}`;
  }

  // Where the last sample before a time stands; -1 before the first.
  function placeOf(at_s) {
    let low = 0, high = data.times_s.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.times_s[middle] <= at_s + 1e-6) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  function bestLabel(place, model) {
    let best = -1;
    data.scores.forEach((scores, row) => {
      if (data.of[row] === model && scores[place] > 0 && (best < 0 || scores[place] > data.scores[best][place])) best = row;
    });
    return best < 0 ? "" : `${data.labels[best]} ${data.scores[best][place].toFixed(2)}`;
  }

  function labelsAt(place) {
    const best = data.models.map((name, model) => [name, bestLabel(place, model)]).filter(([, label]) => label);
    return best.map(([name, label]) => data.models.length > 1 ? `${name}: ${label}` : label).join(" · ");
  }

  function objectsAt(at_s) {
    const counts = data.classes.map(({name, spans}) =>
      [name, spans.filter(([start_s, end_s]) => start_s <= at_s && at_s <= end_s).length]);
    return counts.filter(([, count]) => count).map(([name, count]) => count > 1 ? `${name} × ${count}` : name).join(", ");
  }

  function show(at_s) {
    time_s = at_s;
    const place = placeOf(at_s);
    const said = [labelsAt(place), objectsAt(at_s)].filter(Boolean).join(" · ");
    board.style.setProperty("--at", Math.min(at_s / data.whole_s, 1).toFixed(5));
    for (const score of document.querySelectorAll(".at[data-row]"))
      score.textContent = place < 0 ? "" : data.scores[score.dataset.row][place].toFixed(2);
    slider.setAttribute("aria-valuenow", at_s.toFixed(3));
    slider.setAttribute("aria-valuetext", [timestamp(at_s), said].filter(Boolean).join(": "));
    const when = document.createElement("strong");
    when.textContent = timestamp(at_s);
    now.replaceChildren(when, said ? `  ${said}` : "  nothing was named");
  }

  function seek(to_s) {
    const end_s = player && Number.isFinite(player.duration) ? data.from_s + player.duration : data.whole_s;
    const at_s = Math.max(player ? data.from_s : 0, Math.min(to_s, end_s));
    if (player) player.currentTime = at_s - data.from_s;
    show(at_s);
  }

  // An address that ends in #t=12.4 opens the page at that second.
  function seekToAddress() {
    const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (found) seek(Number(found[1]));
  }

  function followPlayer() {
    // Between two reports of the player (4 a second) the cursor moves with each picture, unless motion is unwelcome.
    const step = () => { if (!player.paused && !player.ended) { show(data.from_s + player.currentTime); requestAnimationFrame(step); } };
    for (const event of ["timeupdate", "seeking", "loadeddata"]) player.addEventListener(event, () => show(data.from_s + player.currentTime));
    if (!isCalm) player.addEventListener("play", () => requestAnimationFrame(step));
  }

  // The other copy of the video goes on at the same time, playing where this one played.
  function switchTo(choice) {
    const shown = player || byId("picture");
    const isPlaying = player && !player.paused && !player.ended, at_s = time_s;
    if (player) {
      player.addEventListener("loadedmetadata", () => {
        player.currentTime = at_s - data.from_s;
        if (isPlaying) player.play().catch(() => {});
      }, {once: true});
      player.setAttribute("aria-label", `The video with its ${choice.dataset.what} drawn`);
    } else shown.alt = `The picture with its ${choice.dataset.what} drawn`;
    shown.src = choice.value;
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

  function onKey(event) {
    const small_s = data.whole_s > 30 ? 1 : .5, large_s = data.whole_s / 10;
    const steps = {ArrowLeft: -small_s, ArrowDown: -small_s, ArrowRight: small_s, ArrowUp: small_s, PageDown: -large_s,
      PageUp: large_s, Home: -Infinity, End: Infinity};
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    seek(event.key === "End" ? data.whole_s : event.key === "Home" ? 0 : time_s + steps[event.key]);
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
    for (const other of document.querySelectorAll(".things .thing")) other.setAttribute("aria-pressed", other === button);
    byId("mark").hidden = false;
  }

  for (const choice of document.querySelectorAll(".switch input")) choice.addEventListener("change", () => switchTo(choice));
  if (byId("mark")) {
    for (const thing of document.querySelectorAll(".things .thing"))
      for (const event of ["click", "pointerenter", "focus"]) thing.addEventListener(event, () => markOnPicture(thing));
  }
  if (slider) {
    document.addEventListener("click", onClick);
    slider.addEventListener("pointerdown", (event) => { slider.setPointerCapture(event.pointerId); onDrag(event); });
    slider.addEventListener("pointermove", onDrag);
    slider.addEventListener("keydown", onKey);
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
    show(player ? data.from_s : 0);
    seekToAddress();
    addEventListener("hashchange", seekToAddress);
  }
})();
