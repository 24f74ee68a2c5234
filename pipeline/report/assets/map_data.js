// The map's data: compressed in the page, unpacked by the browser itself when the map comes into sight.

const bytesOf = (base64) => Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));

async function unpackMap(holder) {
  const stream = new Blob([bytesOf(holder.textContent.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(stream).json();
  const numbers = (base64, Type) => new Type(bytesOf(base64).buffer);
  return {
    titles: data.titles,
    items: numbers(data.items, Uint32Array),
    popularity: numbers(data.popularity, Uint32Array),
    perItem: data.perItem,
    columns: data.columns.map((column) => ({ ...column, place: numbers(column.place, Uint8Array) })),
    layouts: data.layouts.map((layout) => ({
      ...layout,
      places: numbers(layout.places, Uint16Array), // x and y of each item by turns, 65535 for none
      neighbours: numbers(layout.neighbours, Uint32Array),
    })),
  };
}
