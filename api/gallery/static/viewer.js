// The viewer: one photo over the whole screen.

import { placeBox } from "./find.js";
import { byId, gallery, tell } from "./page.js";

const viewer = byId("viewer");
let shown = null;

document.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(cell);
  viewer.showModal();
  byId("close").focus();
});

function listCells() {
  return [...shown.closest("section").querySelectorAll(".cell")];
}

function show(cell) {
  shown = cell;
  const cells = listCells();
  const index = cells.indexOf(cell);
  const image = cell.querySelector("img");
  const picture = byId("picture");
  picture.dataset.id = cell.dataset.id;
  delete picture.dataset.renewed;
  picture.alt = image.alt;
  picture.src = image.src;
  byId("position").textContent = tell("position", { n: index + 1, total: cells.length });
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === cells.length - 1;
  byId("download").hidden = cell.dataset.original === "missing";
  byId("download").href = `${gallery}/photos/${cell.dataset.id}/original`;
  byId("show-face").hidden = !cell.dataset.box;
  showFace();
  const after = cells[index + 1]?.querySelector("img");
  if (after) new Image().src = after.src;
}

function showFace() {
  const wanted = byId("show-face").getAttribute("aria-pressed") === "true";
  byId("face").hidden = !wanted || !shown.dataset.box;
  if (shown.dataset.box) placeBox(byId("face"), JSON.parse(shown.dataset.box));
}

function step(by) {
  const cells = listCells();
  const next = cells[cells.indexOf(shown) + by];
  if (!next) return;
  show(next);
  // A button that has just been disabled would lose the focus to nothing.
  if (document.activeElement === document.body || document.activeElement?.disabled)
    byId("close").focus();
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => viewer.close());
byId("show-face").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", currentTarget.getAttribute("aria-pressed") !== "true");
  showFace();
});
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
viewer.addEventListener("click", (event) => {
  if (event.target === viewer || event.target.className === "stage") viewer.close();
});
// Back to the photo that was looked at last, not to the one that was opened first.
viewer.addEventListener("close", () => shown.focus());

let touchX = null;
viewer.addEventListener("touchstart", (event) => {
  touchX = event.touches.length === 1 ? event.touches[0].clientX : null;
}, { passive: true });
viewer.addEventListener("touchend", (event) => {
  const moved = touchX === null ? 0 : event.changedTouches[0].clientX - touchX;
  if (Math.abs(moved) > 50) step(moved > 0 ? -1 : 1);
});
