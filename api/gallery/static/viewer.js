// The viewer: one photo over the whole screen, with an address of its own.
//
// A list is {total, get(index) -> photo or a promise of it, element(index) -> its cell or null}.

import { byId, gallery, linkPhoto, tell } from "./page.js";

const MOST_ZOOM = 3;
const IDLE_MS = 3_500;
const LOADING_MS = 700;
const SLOW_MS = 15_000;
const TAP_PX = 10;
const DOUBLE_MS = 300;
const SWIPE_PX = 50;
const CLOSE_PX = 110;

const viewer = byId("viewer");
const stage = byId("stage");
const sheet = byId("sheet");
const picture = byId("picture");

let list = null;
let index = 0;
let photo = null;
let neighbours = [];

export function openViewer(newList, newIndex) {
  [list, index] = [newList, newIndex];
  photo = null;
  if (!viewer.open) {
    viewer.showModal();
    byId("close").focus();
    wake();
  }
  return show(newIndex);
}

async function show(number) {
  index = number;
  byId("position").textContent = tell("position", { n: number + 1, total: list.total });
  byId("previous").disabled = number === 0;
  byId("next").disabled = number >= list.total - 1;
  // A button that has just been disabled would lose the focus to nothing.
  if (document.activeElement === document.body || document.activeElement?.disabled)
    byId("close").focus();
  wait();
  const asked = list;
  const next = await Promise.resolve(list.get(number)).catch(() => null);
  if (asked !== list || index !== number || !viewer.open) return;
  if (!next) return lose();
  photo = next;
  byId("viewer-actions").hidden = false;
  remember();
  noteOpening(photo);
  draw();
  document.dispatchEvent(new CustomEvent("facepass:viewer", { detail: { photo } }));
}

// For the photographer's report: how often a photo was looked at, and nothing of who did.
function noteOpening({ id, pass }) {
  const query = pass ? `?${new URLSearchParams({ pass })}` : "";
  navigator.sendBeacon?.(`${gallery}/photos/${id}/opened${query}`);
}

function draw() {
  setZoom(1);
  placeSheet(photo.width ? photo.width / photo.height : 1.5);
  sheet.style.backgroundColor = photo.colour ? `#${photo.colour}` : "";
  sheet.style.backgroundImage = `url("${linkPhoto(photo, "thumb")}")`;
  picture.alt = tell("photo_number", { n: index + 1, total: list.total });
  byId("download").hidden = !photo.has_original;
  byId("download").href = linkPhoto(photo, "original");
  byId("show-face").hidden = !photo.box;
  showFace();
  loadPicture("view");
}

function placeSheet(ratio) {
  sheet.style.setProperty("--ratio", ratio);
}

// --- loading ---

let timers = [];

function loadPicture(kind) {
  wait();
  picture.classList.remove("there");
  picture.dataset.kind = kind;
  picture.src = linkPhoto(photo, kind);
}

function wait() {
  say("");
  timers = [
    setTimeout(() => say(tell("photo_loading"), "waiting"), LOADING_MS),
    setTimeout(() => say(tell("photo_slow"), "waiting"), SLOW_MS),
  ];
}

function say(words, state = "") {
  if (state !== "waiting") for (const timer of timers) clearTimeout(timer);
  byId("viewer-message").textContent = words;
  viewer.classList.toggle("waiting", state === "waiting");
  byId("retry").hidden = state !== "failed";
}

// The list could not be read on: nothing of the photo before stands under this one's number.
function lose() {
  photo = null;
  picture.removeAttribute("src");
  sheet.style.backgroundImage = "";
  byId("download").hidden = byId("show-face").hidden = byId("face").hidden = true;
  byId("viewer-actions").hidden = true;
  fail();
}

function fail() {
  say(tell("photo_failed"), "failed");
}

picture.addEventListener("load", () => {
  if (!photo) return;
  say("");
  picture.classList.add("there");
  if (!photo.width) placeSheet(picture.naturalWidth / picture.naturalHeight);
  loadNeighbours();
});
picture.addEventListener("error", () => {
  if (!viewer.open || !photo) return;
  if (picture.dataset.kind === "view") loadPicture("view.jpg");
  else fail();
});
byId("retry").addEventListener("click", () => {
  byId("close").focus();
  if (photo) loadPicture("view");
  else show(index);
});

async function loadNeighbours() {
  if (navigator.connection?.saveData) return;
  const [asked, from] = [list, index];
  for (const step of [1, -1]) {
    if (from + step < 0 || from + step >= list.total) continue;
    const next = await Promise.resolve(asked.get(from + step)).catch(() => null);
    if (asked !== list || index !== from || !next) return;
    const image = new Image();
    image.src = linkPhoto(next, "view");
    neighbours = [image, ...neighbours].slice(0, 2);
  }
}

// Photos that come or go while one is looked at: its number, and what is before and behind it.
document.addEventListener("facepass:list", () => {
  const now = viewer.open && photo && list.indexOf ? list.indexOf(photo.id) : -1;
  if (now < 0) return;
  index = now;
  byId("position").textContent = tell("position", { n: now + 1, total: list.total });
  byId("previous").disabled = now === 0;
  byId("next").disabled = now >= list.total - 1;
});

// --- history: the photo's address while it is looked at, and Back to close it ---

function addressOf(shown) {
  const query = new URLSearchParams();
  const language = new URLSearchParams(location.search).get("lang");
  if (language) query.set("lang", language);
  if (shown?.pass) query.set("pass", shown.pass);
  const path = shown ? `${gallery}/photos/${shown.id}` : gallery;
  return query.size ? `${path}?${query}` : path;
}

function remember() {
  const state = { ...history.state, viewer: photo.id };
  if (history.state?.viewer) return history.replaceState(state, "", addressOf(photo));
  // Reached by its address: Back leads to the gallery first.
  if (location.pathname !== gallery) history.replaceState(history.state, "", addressOf(null));
  history.pushState(state, "", addressOf(photo));
}

addEventListener("popstate", ({ state }) => {
  if (viewer.open && !state?.viewer) viewer.close();
  else if (!viewer.open && state?.viewer && list) openViewer(list, index);
});

viewer.addEventListener("close", () => {
  say("");
  picture.removeAttribute("src");
  sheet.style.backgroundImage = "";
  neighbours = [];
  // Back to the photo that was looked at last, not to the one that was opened first.
  const cell = list.element(index);
  (cell?.querySelector("a") ?? cell)?.focus();
  if (history.state?.viewer) history.back();
});

// --- buttons and keys ---

function step(by) {
  const next = index + by;
  if (next >= 0 && next < list.total && next !== index) show(next);
}

function showFace() {
  if (!photo) return;
  const wanted = byId("show-face").getAttribute("aria-pressed") === "true";
  byId("face").hidden = !wanted || !photo.box;
  if (!photo.box) return;
  const [x1, y1, x2, y2] = photo.box.map((share) => share * 100);
  Object.assign(byId("face").style, {
    left: `${x1}%`, top: `${y1}%`, width: `${x2 - x1}%`, height: `${y2 - y1}%`,
  });
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => viewer.close());
byId("show-face").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", currentTarget.getAttribute("aria-pressed") !== "true");
  showFace();
});

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Home: () => step(-index),
  End: () => step(list.total - 1 - index),
  "+": () => setZoom(zoom.scale * 1.5),
  "=": () => setZoom(zoom.scale * 1.5),
  "-": () => setZoom(zoom.scale / 1.5),
};
viewer.addEventListener("keydown", (event) => {
  wake();
  if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  KEYS[event.key]();
});

// --- controls that fade ---

let idle = null;

function wake() {
  clearTimeout(idle);
  viewer.classList.remove("idle");
  idle = setTimeout(() => viewer.classList.add("idle"), IDLE_MS);
}

viewer.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && wake());
viewer.addEventListener("focusin", wake);
// A finger on a control that cannot be seen brings it back, and does nothing yet.
let wasIdle = false;
viewer.addEventListener(
  "pointerdown",
  (event) => {
    const bar = event.target.closest("button, a, input")?.closest(".bar, .turn");
    const isFaded = Boolean(bar) && Number(getComputedStyle(bar).opacity) < 0.5;
    wasIdle = event.pointerType === "touch" && isFaded;
    if (event.target.closest("button, a, input")) wake();
  },
  true,
);
viewer.addEventListener(
  "click",
  (event) => {
    if (!wasIdle || !event.target.closest("button, a, input")) return;
    wasIdle = false;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

// --- fingers: a tap, two, a swipe, a pinch, and moving what is zoomed ---

const zoom = { scale: 1, x: 0, y: 0 };
const fingers = new Map();
let gesture = null;
let tapped = null;

// x and y: the point that stays where it is, from the middle of the screen.
function setZoom(scale, x = 0, y = 0) {
  const wanted = Math.min(MOST_ZOOM, Math.max(1, scale));
  const change = wanted / zoom.scale;
  moveTo(x - (x - zoom.x) * change, y - (y - zoom.y) * change, wanted);
}

function moveTo(x, y, scale = zoom.scale) {
  const limit = (side, screen) => Math.max(0, (side * scale - screen) / 2);
  const [most, highest] = [
    limit(sheet.offsetWidth, stage.clientWidth),
    limit(sheet.offsetHeight, stage.clientHeight),
  ];
  zoom.scale = scale;
  zoom.x = Math.min(most, Math.max(-most, x));
  zoom.y = Math.min(highest, Math.max(-highest, y));
  sheet.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${scale})`;
  viewer.classList.toggle("zoomed", scale > 1);
}

function measure() {
  const points = [...fingers.values()];
  const [x, y] = ["x", "y"].map(
    (axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length,
  );
  const spread = points.length > 1 ? Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y) : 0;
  return { x: x - stage.clientWidth / 2, y: y - stage.clientHeight / 2, spread };
}

// Each change of the fingers begins from what is on the screen.
function restart(event) {
  gesture = {
    ...measure(),
    zoom: { ...zoom },
    isTap: event.type === "pointerdown" && fingers.size === 1,
    hadTwo: fingers.size > 1 || Boolean(gesture?.hadTwo),
  };
}

stage.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  if (!fingers.size) gesture = null;
  stage.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  restart(event);
});

stage.addEventListener("pointermove", (event) => {
  if (!fingers.has(event.pointerId)) return;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const now = measure();
  const [x, y] = [now.x - gesture.x, now.y - gesture.y];
  if (Math.hypot(x, y) > TAP_PX) gesture.isTap = false;
  if (fingers.size > 1) {
    Object.assign(zoom, gesture.zoom);
    setZoom(gesture.zoom.scale * (now.spread / gesture.spread), gesture.x, gesture.y);
    moveTo(zoom.x + x, zoom.y + y);
  } else if (zoom.scale > 1) {
    moveTo(gesture.zoom.x + x, gesture.zoom.y + y);
  } else if (!gesture.hadTwo && !gesture.isTap) {
    sheet.style.transform = Math.abs(x) > Math.abs(y) ? `translateX(${x}px)` : `translateY(${Math.max(0, y)}px)`;
  }
});

function release(event) {
  if (!fingers.has(event.pointerId)) return;
  const now = measure();
  fingers.delete(event.pointerId);
  if (fingers.size) return restart(event);
  const [x, y] = [now.x - gesture.x, now.y - gesture.y];
  moveTo(zoom.x, zoom.y);
  if (event.type === "pointercancel" || gesture.hadTwo) return;
  if (gesture.isTap) tap(event, now);
  else if (zoom.scale === 1 && Math.abs(x) > SWIPE_PX && Math.abs(x) > Math.abs(y)) step(x > 0 ? -1 : 1);
  else if (zoom.scale === 1 && y > CLOSE_PX && y > 2 * Math.abs(x)) viewer.close();
}
stage.addEventListener("pointerup", release);
stage.addEventListener("pointercancel", release);

function tap(event, { x, y }) {
  const isSecond =
    tapped && event.timeStamp - tapped.at < DOUBLE_MS && Math.hypot(x - tapped.x, y - tapped.y) < 40;
  tapped = isSecond ? null : { x, y, at: event.timeStamp };
  if (isSecond) return setZoom(zoom.scale > 1 ? 1 : MOST_ZOOM, x, y);
  const { left, right, top, bottom } = sheet.getBoundingClientRect();
  const isBeside =
    event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
  if (event.pointerType === "mouse") return isBeside ? viewer.close() : wake();
  if (viewer.classList.contains("idle")) wake();
  else viewer.classList.add("idle");
}

// A trackpad's pinch comes as a wheel with Ctrl.
stage.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const { clientWidth, clientHeight } = stage;
    setZoom(zoom.scale * Math.exp(-event.deltaY / 100), event.clientX - clientWidth / 2, event.clientY - clientHeight / 2);
  },
  { passive: false },
);
addEventListener("resize", () => viewer.open && moveTo(zoom.x, zoom.y));
