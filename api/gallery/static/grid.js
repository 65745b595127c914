// The grid of all photos, which grows as it is scrolled.

import { byId, gallery, linkPhoto, make, tell } from "./page.js";

export function makeCell(photo) {
  const image = make("img", {
    alt: tell("photo_alt_one", { name: photo.name }),
    loading: "lazy",
    decoding: "async",
    src: linkPhoto(photo, "thumb"),
  });
  const link = make("a", { href: `${gallery}/photos/${photo.id}` }, image);
  link.dataset.id = photo.id;
  if (photo.pass) link.dataset.pass = photo.pass;
  return make("li", { className: "cell" }, link);
}

function readCell(link) {
  const name = link.querySelector("img").alt.split(" ").pop();
  return { id: Number(link.dataset.id), name, version: "", has_original: link.dataset.original !== "missing" };
}

export const allPhotos = {
  name: "",
  photos: [...document.querySelectorAll("#grid a[data-id]")].map(readCell),
  get total() {
    return this.photos.length;
  },
  get(index) {
    return this.photos[index] ?? null;
  },
  element(index) {
    return byId("grid").children[index] ?? null;
  },
  merge(photos) {
    const known = new Set(this.photos.map(({ id }) => id));
    const fresh = photos.filter(({ id }) => !known.has(id));
    this.photos.push(...fresh);
    if (!byId("grid")) {
      document.querySelector("#photos .notice")?.remove();
      byId("photos").append(make("ul", { id: "grid", className: "grid" }));
    }
    byId("grid").append(...fresh.map(makeCell));
  },
};
