"use strict";
// Cards found by words, kept by what they show, and put in order; the address keeps what was asked.
(() => {
  const byId = (id) => document.getElementById(id), list = byId("cards");
  const fields = ["query", "names", "only", "order"].map(byId).filter(Boolean);
  // Letters with marks are found without them, whatever their case.
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const cards = [...list.children].map((item) => ({
    item,
    link: item.querySelector("a"),
    text: fold(`${item.textContent} ${item.dataset.names} ${item.querySelector("a").title}`),
    names: new Set(item.dataset.names.split("\n")),
    kinds: new Set([item.dataset.kind, ...item.dataset.has.split(" ")]),
    title: fold(item.querySelector("a").textContent),
    made: Number(item.dataset.made), length: Number(item.dataset.length), things: Number(item.dataset.things),
  }));
  const byTitle = new Intl.Collator(undefined, {numeric: true}).compare;
  const shown = () => cards.filter(({item}) => !item.hidden);
  let order = "";

  function sort(wanted) {
    if (wanted === order) return;
    order = wanted;
    cards.sort((one, other) => (wanted === "title" ? 0 : other[wanted] - one[wanted]) || byTitle(one.title, other.title));
    list.append(...cards.map(({item}) => item));
  }

  function sift() {
    const said = Object.fromEntries(fields.map((field) => [field.id, field.value]));
    const words = fold(said.query).split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const isWanted = words.every((word) => card.text.includes(word)) && (!said.names || card.names.has(said.names)) &&
        (!said.only || card.kinds.has(said.only));
      if (card.item.hidden === isWanted) card.item.hidden = !isWanted;
      count += isWanted;
    }
    sort(said.order);
    const videos = (number) => `${number.toLocaleString("en")} ${number === 1 ? "video" : "videos"}`;
    byId("count").textContent = count === cards.length ? videos(count) : `${count.toLocaleString("en")} of ${videos(cards.length)}`;
    byId("none").hidden = count > 0;
    const kept = new URLSearchParams(fields.filter(({id, value}) => value && !(id === "order" && value === "title")).map(({id, value}) => [id, value]));
    try { history.replaceState(null, "", `#${kept}`); } catch { /* some browsers keep no address of a file */ }
  }

  function readAddress() {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) {
      const value = kept.get(field.id) || (field.id === "order" ? "title" : "");
      if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
    }
    sift();
  }

  // The card beside, above or below the one with the focus.
  function step(key) {
    const seen = shown(), at = seen.findIndex(({link}) => link === document.activeElement);
    if (at < 0) return false;
    const top = seen[0].item.offsetTop, columns = Math.max(1, seen.findIndex(({item}) => item.offsetTop > top) < 0 ? seen.length :
      seen.findIndex(({item}) => item.offsetTop > top));
    const to = at + {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: seen.length - 1 - at}[key];
    if (to < 0 && key === "ArrowUp") byId("query").focus(); else seen[to]?.link.focus();
    return true;
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest("input, select");
    if (event.key === "/" && !inField) { byId("query").focus(); byId("query").select(); }
    else if (event.key === "Escape" && event.target === byId("query") && byId("query").value) { byId("query").value = ""; sift(); }
    else if (event.key === "ArrowDown" && event.target === byId("query")) shown()[0]?.link.focus();
    else if (/^(Arrow|Home$|End$)/.test(event.key) && !inField) { if (!step(event.key)) return; }
    else return;
    event.preventDefault();
  }

  for (const field of fields) field.addEventListener("input", sift);
  byId("clear").addEventListener("click", () => { for (const field of fields) field.value = field.id === "order" ? "title" : ""; sift(); byId("query").focus(); });
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", readAddress);
  byId("sift").hidden = cards.length < 2;
  if (cards.length > 1) readAddress();
})();
