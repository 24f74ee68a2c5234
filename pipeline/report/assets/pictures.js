// Small pictures of items by number, and the tiles that show them.

const pictures = pageData("pictures-data") || {};

function picture(item) {
  const packed = pictures[item];
  if (!packed) return null;
  return make("img", { src: `data:image/webp;base64,${packed}`, alt: "", width: 84, height: 84, loading: "lazy" });
}

// A tile as the page's own (templates/parts.html.j2): picture, rank, title, and whether it was taken next.
function tile(item, title, rank, taken) {
  return make(
    "li",
    { class: taken ? "tile taken" : "tile", title },
    picture(item) || make("span", { class: "blank", "aria-hidden": "true" }),
    rank ? make("b", { class: "rank" }, String(rank)) : null,
    make("span", { class: "title" }, title),
    taken ? make("em", { class: "mark" }, "taken next") : null,
  );
}
