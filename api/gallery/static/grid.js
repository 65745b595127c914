// All photos: the list that the viewer walks through, and its grid, which grows as it is scrolled.

import { byId, gallery, language, linkPhoto, make, page, tell } from "./page.js";
import { openViewer } from "./viewer.js";

const DRAWN = 60; // cells that a step of scrolling adds
const LISTED = 120;
const MOST_LISTED = 500;
const WAIT_MS = 5_000; // after a part of the list that did not come

const grid = byId("grid");
const more = byId("more");

// --- the list ---

// The beginning of the event's list as far as it is known; photos reached by their address lie ahead.
const photos = [];
const ahead = new Map();
const listeners = new Set();
let cursor = more?.dataset.after || null; // null: all are here
let loading = null;

export const allPhotos = {
  name: "all",
  total: Number(page.photos),
  photos,
  get: (index) => photos[index] ?? ahead.get(index) ?? load(index),
  element(index) {
    if (index >= photos.length) return null;
    draw(index + DRAWN); // its row whole, and what is below it
    return grid.children[index] ?? null;
  },
  get isWhole() {
    return cursor === null;
  },
  indexOf: (id) => photos.findIndex((photo) => photo.id === id),
  // The list's beginning as the server has it now: new photos come in, erased ones go, and what is
  // looked at stays. isWhole: it goes to the event's end.
  merge(listed, total, isWhole) {
    const known = new Map(photos.map((photo) => [photo.id, photo]));
    const cells = new Map([...grid.children].map((cell, index) => [photos[index].id, cell]));
    const current = listed.map((photo) => update(known.get(photo.id), photo, cells));
    if (isWhole) cursor = null;
    keepPlace(() => {
      photos.splice(0, photos.length, ...current);
      place(cells);
      setTotal(total);
      number();
      if (cursor === null) draw(Math.min(photos.length, DRAWN));
    });
    watchEnd();
    document.dispatchEvent(new Event("facepass:list"));
  },
  onChange(listener) {
    listeners.add(listener);
  },
};

async function load(index) {
  while (index >= photos.length && cursor !== null) {
    const missing = index + 1 - photos.length;
    await loadPart(missing > LISTED ? MOST_LISTED : LISTED);
  }
  return photos[index] ?? null;
}

function loadPart(limit) {
  loading ??= fetchPart(limit).finally(() => (loading = null));
  return loading;
}

async function fetchPart(limit) {
  const query = new URLSearchParams({ after: cursor, limit });
  const answer = await fetch(`${gallery}/photos?${query}`);
  if (!answer.ok) throw new Error(answer.status);
  const part = await answer.json();
  const known = new Set(photos.map((photo) => photo.id));
  photos.push(...part.photos.filter((photo) => !known.has(photo.id)));
  cursor = part.next_cursor;
  setTotal(cursor === null ? photos.length : part.total);
}

function setTotal(total) {
  if (total === allPhotos.total) return;
  allPhotos.total = total;
  page.photos = total;
  byId("count").textContent = tell("photos_number", { n: total });
  byId("empty")?.remove();
  number();
  for (const listener of listeners) listener();
}

// A photo that is known keeps its object, for the viewer; one whose pictures are new gets a new cell.
function update(old, photo, cells) {
  if (!old) return photo;
  if (old.version !== photo.version) {
    cells.get(photo.id)?.remove();
    cells.delete(photo.id);
  }
  return Object.assign(old, photo);
}

// Cells in the photos' order, as far down as there are some; nothing that stays is moved.
function place(cells) {
  const ids = new Set(photos.map(({ id }) => id));
  for (const [id, cell] of cells) if (!ids.has(id)) cell.remove();
  const end = photos.findLastIndex(({ id }) => cells.has(id)) + 1;
  photos.slice(0, end).forEach((photo, index) => {
    const cell = cells.get(photo.id) ?? watch(makeCell(photo));
    if (grid.children[index] !== cell) grid.insertBefore(cell, grid.children[index] ?? null);
  });
}

// --- cells ---

export function makeCell(photo) {
  const image = make("img", {
    alt: photo.name,
    width: photo.width ?? 400,
    height: photo.height ?? 400,
    loading: "lazy",
    decoding: "async",
  });
  const query = new URLSearchParams({ lang: language });
  if (photo.pass) query.set("pass", photo.pass);
  const link = make("a", { href: `${gallery}/photos/${photo.id}?${query}` }, image);
  link.dataset.id = photo.id;
  if (photo.pass) link.dataset.pass = photo.pass;
  showImage(image, photo);
  const cell = make("li", { className: `cell r${sortByShape(photo)}` }, link);
  colour(cell, photo);
  return cell;
}

// The class of a photo's shape, as rendering.py counts it.
function sortByShape({ width, height }) {
  if (!width || !height) return 10;
  return Math.min(24, Math.max(0, Math.round(10 * Math.log2(width / height)) + 10));
}

function showImage(image, photo) {
  // The larger one is for dense and large screens alone: a phone gets thumbs, whatever its pixels.
  if ("smallPreviews" in page && photo.width) {
    image.sizes = "(min-width: 48rem) 320px, 130px";
    image.srcset = `${linkPhoto(photo, "thumb")} 400w, ${linkPhoto(photo, "preview")} 640w`;
  }
  image.src = linkPhoto(photo, "thumb");
}

function colour(cell, photo) {
  if (photo.colour) cell.style.backgroundColor = `#${photo.colour}`;
}

function draw(end) {
  const from = grid.children.length;
  const cells = photos.slice(from, end).map((photo) => watch(makeCell(photo)));
  grid.append(...cells);
  number(from);
}

function number(from = 0) {
  for (let index = from; index < grid.children.length; index++)
    grid.children[index].querySelector("img").alt = tell("photo_number", {
      n: index + 1,
      total: allPhotos.total,
    });
}

// Pictures far from the screen are let go of: an evening has thousands.
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const image = target.querySelector("img");
      if (isIntersecting === image.hasAttribute("src")) continue;
      const index = [...grid.children].indexOf(target);
      if (isIntersecting) showImage(image, photos[index]);
      else for (const name of ["srcset", "src"]) image.removeAttribute(name);
    }
  },
  { rootMargin: "2000px 0px" },
);

function watch(cell) {
  near.observe(cell);
  return cell;
}

// --- growing ---

const end = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && grow(), {
  rootMargin: "3000px 0px",
});

async function grow() {
  end.unobserve(more);
  try {
    await load(grid.children.length + DRAWN - 1);
    draw(grid.children.length + DRAWN);
    watchEnd();
    // The next step's photos while this one's are looked at.
    await load(grid.children.length + LISTED);
  } catch {
    setTimeout(watchEnd, WAIT_MS); // the link is there meanwhile
  }
}

// Who begins to scroll may throw the page: the next part is here before its end is near.
addEventListener("scroll", () => grid && load(grid.children.length + LISTED).catch(() => {}), { once: true });

function watchEnd() {
  if (!more) return;
  more.parentElement.hidden = cursor === null && grid.children.length >= photos.length;
  // Anew: an observer tells of what enters, not of what is still there.
  end.unobserve(more);
  if (!more.parentElement.hidden) end.observe(more);
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = event.target.closest("#grid a[data-id], #more");
  if (!link) return;
  event.preventDefault();
  if (link === more) return grow();
  openViewer(allPhotos, [...grid.children].indexOf(link.closest(".cell")));
});

// --- the place ---

// Where a guest was comes back with a reload and with the other language: in this tab alone.
const PLACE = `facepass:place:${page.token}`;
history.scrollRestoration = "manual";

function findTop() {
  for (const cell of grid.children) {
    const { top, bottom } = cell.getBoundingClientRect();
    if (bottom > 0) return { cell, top };
  }
  return null;
}

function keepPlace(change) {
  const before = scrollY > 0 ? findTop() : null;
  change();
  if (before) scrollBy(0, before.cell.getBoundingClientRect().top - before.top);
}

addEventListener("pagehide", () => {
  if (!grid) return;
  const seen = scrollY > 0 && !byId("photos").hidden ? findTop() : null;
  const place = seen && { id: seen.cell.querySelector("a").dataset.id, top: seen.top };
  store(PLACE, JSON.stringify(place && { ...place, scroll: scrollY }));
});

// Where a browser forbids to keep anything, the place is lost and all else works.
function store(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {}
}

byId("photos")?.ownerDocument.querySelector(".language").addEventListener("click", () => {
  store(`${PLACE}:kept`, "1");
});

async function returnTo({ id, top, scroll }) {
  let index = -1;
  const find = () => (index = photos.findIndex((photo) => String(photo.id) === id));
  while (find() < 0 && cursor !== null) await loadPart(MOST_LISTED);
  if (index < 0) return;
  await load(index + DRAWN);
  const cell = allPhotos.element(index);
  if (index < DRAWN) scrollTo(0, scroll);
  else scrollBy(0, cell.getBoundingClientRect().top - top);
  watchEnd();
}

function readPlace() {
  try {
    const [{ type }] = performance.getEntriesByType("navigation");
    const isKept = sessionStorage.getItem(`${PLACE}:kept`) !== null;
    sessionStorage.removeItem(`${PLACE}:kept`);
    if (!isKept && type === "navigate") return null;
    return JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

// --- the beginning ---

function begin() {
  const listed = JSON.parse(byId("listed").textContent);
  let place = readPlace();
  if (Number(page.first) > 1) {
    // A later part, reached by a link: the list is whole here, and begins at that photo.
    place ??= { id: String(listed[0]?.id), top: 0, scroll: 0 };
    grid.replaceChildren();
    cursor = "";
  } else {
    photos.push(...listed);
    [...grid.children].forEach((cell, index) => colour(watch(cell), photos[index]));
  }
  const opened = byId("opened") && JSON.parse(byId("opened").textContent);
  if (opened) {
    ahead.set(opened.number - 1, opened.photo);
    openViewer(allPhotos, opened.number - 1);
  }
  if (place) returnTo(place).catch(() => {});
  else if (!photos.length && cursor !== null) grow();
  watchEnd();
}

if (grid) begin();
else if (byId("opened")) {
  const { photo } = JSON.parse(byId("opened").textContent);
  openViewer({ name: "opened", total: 1, get: () => photo, element: () => null }, 0);
}

// --- "find my photos" ---

const openFinder = () => byId("finder").classList.add("open");
byId("try-again").addEventListener("click", openFinder, { capture: true });
byId("find-me").addEventListener("click", () => {
  openFinder();
  if (byId("find").hidden) byId("try-again").click();
  byId("find").scrollIntoView({ block: "start" });
  byId("consent").focus({ preventScroll: true });
});

// Of no use where it leads to what is on the screen.
new IntersectionObserver(
  ([{ isIntersecting }]) => (byId("find-me").parentElement.hidden = isIntersecting),
).observe(byId("find"));
