"use strict";
// A strip of small pictures over a stretch of the video: of the sheet beside the page, and where one looks closer, of the
// video itself, which a second, unseen player looks up.
class Film {
  constructor(canvas, about, sheet, whole_s, onSeek) {
    Object.assign(this, {canvas, about, sheet, whole_s, onSeek, from_s: 0, span_s: whole_s, at_s: 0});
    this.context = canvas.getContext("2d");
    this.closer = new Map(); // pictures by their second, those that were looked up
    this.wanted = [];
    this.scout = null;
    sheet?.addEventListener("load", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("click", (event) => onSeek(this.#timeAt(event.offsetX)));
  }

  // The video may be looked into for closer pictures, where it plays; its time 0 is that of the page at `offset_s`.
  lookInto(source, offset_s, aspect) {
    this.offset_s = offset_s;
    this.closer.clear();
    this.wanted = [];
    this.aspect = aspect;
    this.source = source;
    if (this.scout) this.scout.src = source;
  }

  zoom(factor) {
    const span_s = Math.max(Math.min(this.whole_s, this.span_s * factor), Math.min(2, this.whole_s));
    const share = Math.min(Math.max((this.at_s - this.from_s) / this.span_s, 0), 1);
    this.from_s = Math.min(Math.max(this.at_s - share * span_s, 0), this.whole_s - span_s);
    this.span_s = span_s;
    this.draw();
    return span_s;
  }

  // The stretch follows the time once that leaves it.
  follow(at_s) {
    this.at_s = at_s;
    if (at_s < this.from_s || at_s > this.from_s + this.span_s) {
      this.from_s = Math.min(Math.max(at_s - .1 * this.span_s, 0), this.whole_s - this.span_s);
      this.draw();
    } else this.#cursor();
  }

  #timeAt(x) {
    return this.from_s + this.span_s * Math.min(Math.max(x / this.canvas.clientWidth, 0), 1);
  }

  #shape() {
    return this.about ? this.about.width / this.about.height : this.aspect || 16 / 9;
  }

  draw() {
    const dots = devicePixelRatio || 1, width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width) return;
    this.canvas.width = Math.round(width * dots);
    this.canvas.height = Math.round(height * dots);
    this.context.setTransform(dots, 0, 0, dots, 0, 0);
    const count = Math.max(1, Math.round(width / (height * this.#shape()))), wide = width / count, step_s = this.span_s / count;
    this.wanted = [];
    for (let number = 0; number < count; number++) {
      const at_s = this.from_s + (number + .5) * step_s;
      const key = at_s.toFixed(2), closer = this.closer.get(key);
      if (closer) this.context.drawImage(closer, number * wide, 0, wide, height);
      else {
        const apart_s = this.paint(this.context, number * wide, 0, wide, height, at_s);
        if (this.source && apart_s > .75 * step_s + .1) this.wanted.push({key, at_s, left: number * wide, wide, height});
      }
    }
    this.backdrop = document.createElement("canvas");
    this.backdrop.width = this.canvas.width;
    this.backdrop.height = this.canvas.height;
    this.backdrop.getContext("2d").drawImage(this.canvas, 0, 0);
    this.#cursor();
    clearTimeout(this.timer);
    if (this.wanted.length) this.timer = setTimeout(() => this.#lookUp(), 150);
  }

  // Draws the picture of the sheet that is nearest to a time, and returns how many seconds it is away.
  paint(context, left, top, width, height, at_s) {
    const {about, sheet} = this;
    if (!about || !sheet?.complete || !sheet.naturalWidth) return Infinity;
    let place = Math.max(lastBefore(about.times_s, at_s), 0);
    if (about.times_s[place + 1] - at_s < at_s - about.times_s[place]) place++;
    const column = place % about.columns, row = Math.floor(place / about.columns);
    context.drawImage(sheet, column * about.width, row * about.height, about.width, about.height, left, top, width, height);
    return Math.abs(about.times_s[place] - at_s);
  }

  #cursor() {
    if (!this.backdrop) return;
    const context = this.context, width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    context.drawImage(this.backdrop, 0, 0, width, height);
    const x = width * (this.at_s - this.from_s) / this.span_s;
    context.fillStyle = "#000";
    context.fillRect(x - 2, 0, 4, height);
    context.fillStyle = "#fff";
    context.fillRect(x - 1, 0, 2, height);
  }

  #lookUp() {
    if (this.isBusy || !this.source) return;
    const next = this.wanted.shift();
    if (!next) return;
    this.isBusy = true;
    if (!this.scout) {
      this.scout = Object.assign(document.createElement("video"), {muted: true, preload: "auto", src: this.source});
      this.scout.addEventListener("error", () => { this.source = null; this.isBusy = false; });
    }
    const taken = () => {
      this.isBusy = false;
      if (!this.scout.videoWidth) return;
      const picture = document.createElement("canvas");
      picture.height = 72;
      picture.width = Math.round(72 * this.#shape());
      picture.getContext("2d").drawImage(this.scout, 0, 0, picture.width, picture.height);
      if (this.closer.size > 400) this.closer.clear();
      this.closer.set(next.key, picture);
      if (this.wanted.length) this.#lookUp(); else this.draw();
    };
    this.scout.addEventListener("seeked", taken, {once: true});
    this.scout.currentTime = Math.max(next.at_s - this.offset_s, 0);
  }
}
