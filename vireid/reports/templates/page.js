// The large view: a query beside one image of its list, or a figure at its full size.
const large = document.getElementById("large"), [view, steps] = large.children;
let shown = null;
const copyOf = (element) => Object.assign(element.cloneNode(true), { tabIndex: -1 });
const show = (element) => {
  const item = element.matches(".item");
  shown = element;
  view.replaceChildren(...(item ? [copyOf(element.parentNode.firstElementChild), copyOf(element)]
    : [copyOf(element.firstElementChild)]));
  for (const button of steps.querySelectorAll("[data-step]")) button.hidden = !item;
  if (!large.open) large.showModal();
};
const step = (by) => {
  const items = [...shown.parentNode.querySelectorAll("button.item")];
  if (items.length) show(items[(items.indexOf(shown) + by + items.length) % items.length]);
};
for (const button of document.querySelectorAll("button.item, button.zoom"))
  button.addEventListener("click", () => show(button));
large.addEventListener("click", ({ target }) => {
  if (target.dataset.step) step(Number(target.dataset.step));
  else if (target === large || target.matches(".close")) large.close();
});
large.addEventListener("keydown", ({ key }) => {
  if (key === "ArrowRight" || key === "ArrowLeft") step(key === "ArrowRight" ? 1 : -1);
});
large.addEventListener("close", () => shown.focus());
// Links open the folded parts that they point into.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
const theme = document.createElement("button");
theme.className = "theme";
theme.textContent = "light / dark";
theme.addEventListener("click", () => {
  const root = document.documentElement, now = root.dataset.theme
    || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});
document.querySelector("header").prepend(theme);
