// The viewer: one photo over the whole screen.

import { allPhotos } from "./grid.js";
import { byId, linkPhoto, placeBox, tell } from "./page.js";

const viewer = byId("viewer");
let [list, at, shown] = [null, 0, null];

export function openViewer(photos, index) {
  list = photos;
  show(index);
  viewer.showModal();
  byId("close").focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#grid a[data-id]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openViewer(allPhotos, allPhotos.photos.findIndex(({ id }) => id === Number(link.dataset.id)));
});

function show(index) {
  at = index;
  shown = list.get(index);
  const picture = byId("picture");
  picture.dataset.id = shown.id;
  picture.dataset.pass = shown.pass ?? "";
  delete picture.dataset.renewed;
  picture.alt = shown.name;
  picture.src = linkPhoto(shown, "view");
  byId("position").textContent = tell("position", { n: index + 1, total: list.total });
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === list.total - 1;
  byId("download").hidden = !shown.has_original;
  byId("download").href = linkPhoto(shown, "original");
  byId("show-face").hidden = !shown.box;
  showFace();
  document.dispatchEvent(new CustomEvent("facepass:viewer", { detail: { photo: shown } }));
}

function showFace() {
  const wanted = byId("show-face").getAttribute("aria-pressed") === "true";
  byId("face").hidden = !wanted || !shown.box;
  if (shown.box) placeBox(byId("face"), shown.box);
}

function step(by) {
  if (!list.get(at + by)) return;
  show(at + by);
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
viewer.addEventListener("close", () => list.element(at)?.querySelector("a")?.focus());
