// Choices such as the history mask: of the parts marked data-mask="…" only the chosen one is shown.

for (const choice of findAll("fieldset.choice")) {
  const name = choice.dataset.choice;
  const apply = () => {
    const chosen = find("input:checked", choice).value;
    for (const part of findAll(`[data-${name}]`)) part.hidden = part.dataset[name] !== chosen;
  };
  if (findAll(`[data-${name}]`).length === 0) continue; // the map looks after its own
  choice.addEventListener("change", apply);
  apply();
}
