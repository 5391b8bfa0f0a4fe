"use strict";
// What is drawn over a picture: boxes, masks, names and labels, from the columns that tasks/reports/player.py packs.
const FULL = 65535;

function numbers(text, Kind) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
  return new Kind(bytes.buffer);
}

// Where each part of a list begins, given how long they are; one more than there are parts.
function beginnings(lengths) {
  const starts = new Uint32Array(lengths.length + 1);
  for (let place = 0; place < lengths.length; place++) starts[place + 1] = starts[place] + lengths[place];
  return starts;
}

// Where the last time that is not after this one stands in a rising list; -1 before the first.
function lastBefore(times, at_s) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at_s) low = middle + 1; else high = middle;
  }
  return low - 1;
}

// The boxes of one detector, and which of them are seen at any time.
class Boxes {
  constructor(packed, number) {
    Object.assign(this, {number, name: packed.name, things: packed.things, look_s: packed.look_s, frame_s: packed.frame_s});
    this.times = numbers(packed.times, Float64Array);
    this.starts = beginnings(numbers(packed.counts, Uint16Array));
    this.of = numbers(packed.tracks, Uint16Array);
    this.scores = numbers(packed.scores, Uint16Array);
    this.sides = numbers(packed.boxes, Uint16Array);
    this.rings = beginnings(numbers(packed.rings, Uint16Array));
    this.points = beginnings(numbers(packed.points, Uint16Array));
    this.outline = numbers(packed.outline, Uint16Array);
    this.hasMasks = this.outline.length > 0;
    this.isFollowed = this.things.some((thing) => thing.id !== null);
    this.things.forEach((thing) => { thing.last = -1; });
    this.of.forEach((place, row) => { this.things[place].last = row; });
  }

  // Rows with their boxes (four shares of the picture) at a time. Between two looks a thing that both have moves from
  // one to the other, and one that a single look has is there until half-way, as on a copy that is drawn once for all.
  at(at_s) {
    const place = lastBefore(this.times, at_s + .002);
    const since_s = at_s - this.times[place], gap_s = this.times[place + 1] - this.times[place];
    const isLookedAtAll = this.look_s < 1.5 * this.frame_s;
    const found = [];
    if (place < 0) return found;
    const isFollowedByLook = gap_s < 1.5 * this.look_s;
    const share = isFollowedByLook && !isLookedAtAll ? Math.min(Math.max(since_s / gap_s, 0), 1) : 0;
    const next = new Map();
    if (share) for (let row = this.starts[place + 1]; row < this.starts[place + 2]; row++)
      if (this.things[this.of[row]].id !== null) next.set(this.of[row], row);
    const stays_s = isLookedAtAll ? .9 * this.frame_s : this.look_s / 2;
    for (let row = this.starts[place]; row < this.starts[place + 1]; row++) {
      const thing = this.things[this.of[row]], after = next.get(this.of[row]);
      next.delete(this.of[row]);
      const isOnShow = isFollowedByLook ? after !== undefined || share < .5 :
        since_s < stays_s || (row === thing.last && at_s <= thing.until_s + .001);
      if (isOnShow) found.push(this.#mixed(row, after, share));
    }
    if (share >= .5) for (const row of next.values()) found.push(this.#mixed(row, undefined, 0));
    return found;
  }

  #mixed(row, after, share) {
    const side = (number) => {
      const here = this.sides[4 * row + number];
      return (after === undefined ? here : here + share * (this.sides[4 * after + number] - here)) / FULL;
    };
    const score = this.scores[row] / FULL, box = [side(0), side(1), side(2), side(3)];
    return {row, of: this.number, thing: this.things[this.of[row]], place: this.of[row], score, box};
  }

  // The outlines of a row's mask, moved along with its box.
  traceMask(context, {row, box}, width, height) {
    const [left, top, right, bottom] = [0, 1, 2, 3].map((number) => this.sides[4 * row + number] / FULL);
    const wider = right > left ? (box[2] - box[0]) / (right - left) : 1, higher = bottom > top ? (box[3] - box[1]) / (bottom - top) : 1;
    context.beginPath();
    for (let ring = this.rings[row]; ring < this.rings[row + 1]; ring++) {
      for (let point = this.points[ring]; point < this.points[ring + 1]; point += 2) {
        const x = box[0] + (this.outline[point] / FULL - left) * wider, y = box[1] + (this.outline[point + 1] / FULL - top) * higher;
        if (point === this.points[ring]) context.moveTo(x * width, y * height); else context.lineTo(x * width, y * height);
      }
      context.closePath();
    }
  }
}

// Black or white, whichever stands out more: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio.
function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((place) => {
    const part = parseInt(colour.slice(place, place + 2), 16) / 255;
    return part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
  });
  return (.2126 * red + .7152 * green + .0722 * blue + .05) ** 2 > .05 * 1.05 ? "#000" : "#fff";
}

// One picture, still or moving, with a canvas above it.
class Screen {
  constructor(frame, boxes) {
    this.frame = frame;
    this.boxes = boxes;
    this.media = frame.querySelector("video, img");
    this.canvas = frame.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.still = null; // (context, width, height, at_s) => draws what stands in for a video that does not play
    this.measured = new Map();
  }

  // `wants` says what is to be drawn: boxes, masks, names, labels, and of a row whether it is.
  draw(at_s, wants, labels) {
    const dots = devicePixelRatio || 1, width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (this.canvas.width !== Math.round(width * dots)) this.canvas.width = Math.round(width * dots);
    if (this.canvas.height !== Math.round(height * dots)) this.canvas.height = Math.round(height * dots);
    const context = this.context;
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.clearRect(0, 0, width, height);
    this.still?.(context, width, height, at_s);
    const seen = this.boxes && (wants.boxes || wants.masks || wants.names) ? this.boxes.at(at_s).filter(wants.row) : [];
    const area = ({box}) => (box[2] - box[0]) * (box[3] - box[1]);
    seen.sort((one, other) => area(other) - area(one)); // small ones stay on top
    const line = Math.max(1.5, Math.min(width, height) / 240), high = Math.max(12, Math.min(width, height) / 24);
    for (const each of seen) this.#drawThing(each, wants, line, high, width, height);
    if (wants.labels) labels.forEach((label, number) => this.#plate(label.text, label.colour, width, 6 + number * (high + 3), high, width - 6));
  }

  #drawThing(each, wants, line, high, width, height) {
    const {box: [left, top, right, bottom], thing} = each, context = this.context;
    context.strokeStyle = context.fillStyle = thing.colour;
    context.lineWidth = line;
    if (wants.masks && this.boxes.hasMasks) {
      this.boxes.traceMask(context, each, width, height);
      context.globalAlpha = .45;
      context.fill("evenodd");
      context.globalAlpha = 1;
      if (!wants.boxes) context.stroke();
    }
    if (wants.boxes) context.strokeRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    if (wants.names) {
      const y = top * height >= high ? top * height - high : top * height;
      this.#plate(thing.id === null ? `${thing.says} ${Math.round(100 * each.score)}%` : thing.says, thing.colour, left * width, y, high, width);
    }
  }

  #plate(text, colour, x, y, high, width) {
    const context = this.context, font = `${Math.round(.72 * high)}px system-ui, sans-serif`;
    context.font = font;
    context.textBaseline = "middle";
    const key = font + text;
    if (!this.measured.has(key)) this.measured.set(key, context.measureText(text).width + .5 * high);
    const wide = this.measured.get(key), left = Math.max(0, Math.min(x, width - wide));
    context.fillStyle = colour;
    context.fillRect(left, y, wide, high);
    context.fillStyle = inkOn(colour);
    context.fillText(text, left + .25 * high, y + .53 * high);
  }
}
