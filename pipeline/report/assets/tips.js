// What a point of a chart says, beside the pointer. The same stands in the numbers below each chart.

const tip = find("#tip");

function showTip(content, x, y) {
  tip.replaceChildren(content);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - box.width - 6))}px`;
  tip.style.top = `${y - box.height - 10 < 6 ? y + 16 : y - box.height - 10}px`;
}

const hideTip = () => { tip.hidden = true; };

document.addEventListener("pointermove", (event) => {
  if (event.target.id === "map-canvas") return; // the map shows its own
  const words = event.target.dataset?.tip;
  if (words) showTip(words, event.clientX, event.clientY);
  else hideTip();
});
