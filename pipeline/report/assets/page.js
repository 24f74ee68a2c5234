// What all parts of the page use: elements, data of the page, the theme, and the section one reads.

const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

// Make an element. Text goes in as text, never as markup, so a title that holds markup stays a title.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The JSON that stands in the page under an id; null where the report has none.
function pageData(id) {
  const holder = document.getElementById(id);
  return holder ? JSON.parse(holder.textContent) : null;
}

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const thousands = (value) => value.toLocaleString("en-US");

// The colours: as the system has them, or light, or dark. Parts that paint a canvas listen to "theme".
const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = find("#theme");
  button.textContent = `Colours: ${theme}`;
  button.dataset.now = theme;
  document.dispatchEvent(new Event("theme"));
}

find("#theme").addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(find("#theme").dataset.now || "auto") + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));

// Mark the section that one reads in the list of contents.
const links = new Map(findAll(".contents a").map((link) => [link.getAttribute("href").slice(1), link]));
const inSight = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-20% 0px -70% 0px" },
);
for (const section of findAll("main > section")) inSight.observe(section);
