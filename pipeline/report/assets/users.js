// The browser of users: filters, a list, and one user's history beside what each run would have shown.

const FOUND_WITHIN = 10;

function startBrowser(data) {
  const filters = find("#user-filters");
  const list = find("#user-list");
  const view = find("#user");
  let shown = [];
  let current = null;

  const found = (user, run) => user.ranks[run] !== null && user.ranks[run] < FOUND_WITHIN + 1;
  const titleOf = (item) => data.titles[item];
  const tiles = (items, ranked, target) =>
    make("ol", { class: "tiles", tabindex: 0 }, ...items.map((item, i) => tile(item, titleOf(item), ranked ? i + 1 : 0, item === target)));

  function passes(user) {
    const { found: by, missed, rare, new: fresh } = filters.elements;
    return (
      (by.value === "" || found(user, Number(by.value))) &&
      (missed.value === "" || !found(user, Number(missed.value))) &&
      (!rare.checked || user.rare) &&
      (!fresh.checked || user.new)
    );
  }

  function entry(user) {
    const marks = data.runs.map((label, run) =>
      make("span", { class: `hit run-${run % 8}${found(user, run) ? " found" : ""}`, title: `${label}: ${found(user, run) ? "found" : "missed"}` }),
    );
    const traits = [user.rare ? "rare" : "", user.new ? "new" : ""].filter(Boolean).join(", ");
    const button = make("button", { type: "button" }, user.name, make("span", { class: "marks" }, ...marks, make("span", {}, traits)));
    button.addEventListener("click", () => open(user));
    return button;
  }

  function verdict(user, run) {
    const rank = user.ranks[run];
    if (rank === null) return data.depths[run] ? `missed, beyond rank ${data.depths[run]}` : "not measured yet";
    return found(user, run) ? `found at rank ${rank}` : `missed, rank ${rank}`;
  }

  function open(user) {
    current = user;
    [...list.children].forEach((button, i) => button.setAttribute("aria-current", String(shown[i] === user)));
    const step = (by, words) => {
      const button = make("button", { type: "button" }, words);
      button.addEventListener("click", () => {
        const next = shown[(shown.indexOf(current) + by + shown.length) % shown.length];
        open(next);
        list.children[shown.indexOf(next)].scrollIntoView({ block: "nearest", inline: "nearest" });
      });
      return button;
    };
    const of = user.before > user.history.length ? `the newest ${user.history.length} of ${thousands(user.before)}` : "newest last";
    const took = make("article", { class: "card took" },
      make("div", {}, make("h4", {}, "Took ", make("small", {}, of)), tiles(user.history)),
      make("div", { class: "then" }, make("h4", {}, "Then took ", make("small", {}, [user.rare ? "rare" : "", user.new ? "new to them" : "taken before"].filter(Boolean).join(", "))), tiles([user.target])),
    );
    const lists = user.lists.map((items, run) =>
      make("article", { class: "card" },
        make("h4", {}, make("i", { class: `swatch run-${run % 8}`, "aria-hidden": "true" }), data.runs[run], " ", make("small", {}, verdict(user, run))),
        tiles(items, true, user.target)),
    );
    view.replaceChildren(make("div", { class: "pager" }, make("h3", {}, `User ${user.name}`), step(-1, "Previous"), step(1, "Next")), took, ...lists);
  }

  function apply() {
    shown = data.users.filter(passes);
    list.replaceChildren(...shown.map(entry));
    find("#user-count").textContent = `${thousands(shown.length)} of ${thousands(data.users.length)} users`;
    const first = shown.find((user) => data.runs.some((_, run) => found(user, run))) || shown[0];
    if (shown.length) open(shown.includes(current) ? current : first);
    else view.replaceChildren(make("p", { class: "empty" }, "No user drawn here passes these filters."));
  }

  filters.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

const browsed = pageData("users-data");
if (browsed && find("#browser")) startBrowser(browsed);
