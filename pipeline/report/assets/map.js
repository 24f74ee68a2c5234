// The item map: a canvas with pan, zoom, search and colours; hover shows an item, a click its neighbours.

const NOWHERE = 65535;
const PICTURES_IN_SIGHT = 90;
const PICTURE_SIDE = 44;
const PALETTE = ["#4263eb", "#e8590c", "#0ca678", "#ae3ec9", "#74b816", "#e03131", "#1098ad", "#f59f00", "#7048e8", "#d6336c", "#868e96", "#adb5bd"];
const RAMP = { light: ["#c9d3f5", "#5b6fe0", "#1b1464"], dark: ["#3a4272", "#7f92ff", "#fff3bf"] };

class ItemMap {
  constructor(data) {
    this.data = data;
    this.canvas = find("#map-canvas");
    this.pen = this.canvas.getContext("2d");
    this.layout = 0;
    this.colour = -1; // a column, or -1 for popularity
    this.view = { x: 0.5, y: 0.5, zoom: 0.92 }; // what stands in the middle, and how large 1 is
    this.picked = -1;
    this.matches = new Set();
    this.images = new Map();
    this.fillControls();
    this.listen();
    this.resize();
  }

  // Colours of the items as they are now: styles, and each item's place among them.
  colours() {
    if (this.colour >= 0) return { styles: PALETTE, place: this.data.columns[this.colour].place };
    const { popularity } = this.data;
    const most = Math.log1p(popularity.reduce((a, b) => Math.max(a, b), 0)) || 1;
    const place = Uint8Array.from(popularity, (count) => Math.round((Math.log1p(count) / most) * 15));
    return { styles: Array.from({ length: 16 }, (_, i) => this.ramp(i / 15)), place };
  }

  ramp(share) {
    const stops = RAMP[this.isDark() ? "dark" : "light"].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    const [a, b] = share < 0.5 ? [stops[0], stops[1]] : [stops[1], stops[2]];
    const t = share < 0.5 ? share * 2 : share * 2 - 1;
    return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * t)).join(",")})`;
  }

  isDark() { return getComputedStyle(document.documentElement).colorScheme.includes("dark"); }

  side() { return Math.min(this.width, this.height) * this.view.zoom; }

  toScreen(index) {
    const { places } = this.data.layouts[this.layout];
    const side = this.side();
    const [x, y] = [places[2 * index], places[2 * index + 1]];
    return x === NOWHERE ? null : [this.width / 2 + (x / (NOWHERE - 1) - this.view.x) * side, this.height / 2 + (y / (NOWHERE - 1) - this.view.y) * side];
  }

  draw() {
    const { pen, data } = this;
    const scale = devicePixelRatio || 1;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const { styles, place } = this.colours();
    const count = data.items.length;
    const radius = Math.max(0.9, Math.min(7, (140 / Math.sqrt(count)) * 0.55 * Math.sqrt(this.view.zoom)));
    const searching = this.matches.size > 0;
    const byStyle = styles.map(() => []);
    for (let i = count - 1; i >= 0; i -= 1) byStyle[place[i]].push(i); // the popular last, on top
    byStyle.forEach((items, style) => {
      pen.fillStyle = styles[style];
      pen.globalAlpha = searching ? 0.12 : 0.85;
      pen.beginPath();
      for (const i of items) {
        const at = this.toScreen(i);
        if (!at || at[0] < -9 || at[1] < -9 || at[0] > this.width + 9 || at[1] > this.height + 9) continue;
        if (radius < 1.6) pen.rect(at[0] - radius, at[1] - radius, 2 * radius, 2 * radius);
        else { pen.moveTo(at[0] + radius, at[1]); pen.arc(at[0], at[1], radius, 0, 2 * Math.PI); }
      }
      pen.fill();
    });
    pen.globalAlpha = 1;
    this.drawPictures();
    for (const i of this.matches) this.ring(i, radius + 1.5, styles[place[i]]);
    if (this.picked >= 0) {
      for (const near of this.neighbours(this.layout, this.picked)) this.ring(near, radius + 3, null);
      this.ring(this.picked, radius + 4, styleOf("--bad"));
    }
  }

  // Close up, where few items are in sight, there is room for their pictures.
  drawPictures() {
    if (this.view.zoom < 2) return;
    const inSight = [];
    for (let i = 0; i < this.data.items.length; i += 1) {
      const at = this.toScreen(i);
      if (!at || at[0] < 0 || at[1] < 0 || at[0] > this.width || at[1] > this.height) continue;
      inSight.push([i, at]);
      if (inSight.length > PICTURES_IN_SIGHT) return;
    }
    for (const [i, [x, y]] of inSight) {
      const image = this.imageOf(i);
      if (!image || !image.complete) continue;
      const scale = PICTURE_SIDE / Math.max(image.naturalWidth, image.naturalHeight);
      const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
      this.pen.drawImage(image, x - width / 2, y - height / 2, width, height);
    }
  }

  imageOf(index) {
    if (!this.images.has(index)) {
      const image = picture(this.data.items[index]);
      if (image) {
        image.loading = "eager";
        image.addEventListener("load", () => this.draw(), { once: true });
      }
      this.images.set(index, image);
    }
    return this.images.get(index);
  }

  ring(index, radius, fill) {
    const at = this.toScreen(index);
    if (!at) return;
    this.pen.beginPath();
    this.pen.arc(at[0], at[1], radius, 0, 2 * Math.PI);
    if (fill) { this.pen.fillStyle = fill; this.pen.fill(); }
    this.pen.lineWidth = 1.6;
    this.pen.strokeStyle = styleOf("--ink");
    this.pen.stroke();
  }

  neighbours(layout, index) {
    const { neighbours } = this.data.layouts[layout];
    const k = this.data.perItem;
    return [...neighbours.subarray(index * k, (index + 1) * k)].filter((near) => near > 0).map((near) => near - 1);
  }

  nearestTo(x, y, within) {
    let best = -1;
    let least = within * within;
    for (let i = 0; i < this.data.items.length; i += 1) {
      const at = this.toScreen(i);
      if (!at) continue;
      const distance = (at[0] - x) ** 2 + (at[1] - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  pick(index, centre = false) {
    this.picked = index;
    if (centre && this.toScreen(index)) {
      const { places } = this.data.layouts[this.layout];
      Object.assign(this.view, { x: places[2 * index] / (NOWHERE - 1), y: places[2 * index + 1] / (NOWHERE - 1), zoom: Math.max(this.view.zoom, 3) });
    }
    this.showItem(index);
    this.draw();
  }

  entry(index, inBoth = false) {
    const title = make("span", { class: inBoth ? "near-title both" : "near-title" }, this.data.titles[index]);
    const button = make("button", { type: "button" }, picture(this.data.items[index]) || make("span"), title);
    button.addEventListener("click", () => this.pick(index, true));
    return make("li", {}, button);
  }

  showItem(index) {
    const { data } = this;
    const facts = [`taken ${thousands(data.popularity[index])} times in training`, ...data.columns.map((c) => `${c.name}: ${c.values[c.place[index]]}`)];
    const head = make("div", { class: "picked" }, picture(data.items[index]) || make("span"),
      make("div", {}, make("h3", {}, data.titles[index]), ...facts.slice(0, 4).map((fact) => make("div", { class: "fine" }, fact))));
    const lists = data.layouts.map((layout, i) => ({ layout, items: this.neighbours(i, index) }));
    const times = new Map();
    for (const { items } of lists) for (const near of items) times.set(near, (times.get(near) || 0) + 1);
    const columns = lists.map(({ layout, items }) =>
      make("div", {}, make("h4", {}, `Near by ${layout.title}`),
        items.length ? make("ul", { class: "near" }, ...items.map((near) => this.entry(near, times.get(near) > 1))) : make("p", { class: "fine" }, "none listed")));
    find("#map-item").replaceChildren(head, make("div", { class: "beside" }, ...columns));
  }

  search(words) {
    const wanted = words.trim().toLowerCase();
    const found = [];
    if (wanted) this.data.titles.forEach((title, i) => { if (title.toLowerCase().includes(wanted)) found.push(i); });
    this.matches = new Set(found.length < 4000 ? found : found.slice(0, 4000));
    const said = make("p", { class: "fine" }, wanted ? `${thousands(found.length)} titles hold “${words.trim()}”` : "");
    find("#map-found").replaceChildren(said, make("ul", { class: "near" }, ...found.slice(0, 6).map((i) => this.entry(i))));
    this.draw();
  }

  showLegend() {
    const legend = find("#map-legend");
    if (this.colour < 0) {
      const most = this.data.popularity.reduce((a, b) => Math.max(a, b), 0);
      const ramp = make("i", { class: "ramp", "aria-hidden": "true" });
      ramp.style.background = `linear-gradient(to right, ${this.ramp(0)}, ${this.ramp(0.5)}, ${this.ramp(1)})`;
      legend.replaceChildren(make("span", {}, "0 train actions", ramp, `${thousands(most)} (logarithmic)`));
      return;
    }
    const { values } = this.data.columns[this.colour];
    legend.replaceChildren(...values.map((value, i) => {
      const swatch = make("i", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = PALETTE[i];
      return make("span", {}, swatch, value);
    }));
  }

  fillControls() {
    const select = find("#map-colour");
    select.append(make("option", { value: -1 }, "popularity"), ...this.data.columns.map((column, i) => make("option", { value: i }, column.name)));
  }

  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.side();
    this.view.zoom = Math.max(0.5, Math.min(80, this.view.zoom * factor));
    const after = this.side(); // what is under the pointer stays there
    this.view.x += (x - this.width / 2) * (1 / before - 1 / after);
    this.view.y += (y - this.height / 2) * (1 / before - 1 / after);
    this.draw();
  }

  moveBy(dx, dy) {
    this.view.x -= dx / this.side();
    this.view.y -= dy / this.side();
    this.draw();
  }

  showAll() { Object.assign(this.view, { x: 0.5, y: 0.5, zoom: 0.92 }); this.draw(); }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    [this.width, this.height] = [box.width, box.height];
    const scale = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [box.width * scale, box.height * scale];
    this.showLegend();
    this.draw();
  }

  listen() {
    const { canvas } = this;
    const pointers = new Map();
    let moved = 0;
    const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, at(event)); canvas.setPointerCapture(event.pointerId); moved = 0; });
    canvas.addEventListener("pointermove", (event) => {
      const here = at(event);
      const before = pointers.get(event.pointerId);
      if (!before) return this.hover(here, event);
      if (pointers.size === 1) this.moveBy(here[0] - before[0], here[1] - before[1]);
      else { // two fingers: the distance between them is the zoom
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
        this.zoomBy(apart(here) / (apart(before) || 1), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
      }
      moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
      pointers.set(event.pointerId, here);
      hideTip();
    });
    const release = (event) => {
      const had = pointers.delete(event.pointerId);
      if (!had || moved > 5 || event.type === "pointercancel") return;
      const index = this.nearestTo(...at(event), 14);
      if (index >= 0) this.pick(index);
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", hideTip);
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // until it is clicked, the wheel scrolls the page
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0016), ...at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    find("#map-search").addEventListener("input", (event) => this.search(event.target.value));
    find("#map-colour").addEventListener("change", (event) => { this.colour = Number(event.target.value); this.showLegend(); this.draw(); });
    find("#map .choice").addEventListener("change", (event) => { this.layout = Number(event.target.value); this.draw(); });
    for (const button of findAll("[data-zoom]")) {
      button.addEventListener("click", () => (button.dataset.zoom === "all" ? this.showAll() : this.zoomBy(button.dataset.zoom === "in" ? 1.5 : 1 / 1.5)));
    }
    document.addEventListener("theme", () => { this.showLegend(); this.draw(); });
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  hover(here, event) {
    const index = this.nearestTo(...here, 12);
    if (index < 0) return hideTip();
    const words = make("span", {}, this.data.titles[index], make("br"), `taken ${thousands(this.data.popularity[index])} times`);
    showTip(make("span", { class: "hover-card" }, picture(this.data.items[index]), words), event.clientX, event.clientY);
  }

  key(event) {
    const step = 40;
    const actions = {
      ArrowLeft: () => this.moveBy(step, 0), ArrowRight: () => this.moveBy(-step, 0),
      ArrowUp: () => this.moveBy(0, step), ArrowDown: () => this.moveBy(0, -step),
      "+": () => this.zoomBy(1.3), "=": () => this.zoomBy(1.3), "-": () => this.zoomBy(1 / 1.3), 0: () => this.showAll(),
      Enter: () => { const index = this.nearestTo(this.width / 2, this.height / 2, this.width); if (index >= 0) this.pick(index); },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}

const packedMap = find("#map-data");
if (packedMap) {
  const arrives = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    arrives.disconnect();
    unpackMap(packedMap).then((data) => { new ItemMap(data); find("#map").dataset.ready = "true"; });
  }, { rootMargin: "400px" });
  arrives.observe(find("#map"));
}
