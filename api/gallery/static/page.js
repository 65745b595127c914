// What all modules share: the page's data, its words, elements, and the addresses of photos.

export const page = document.body.dataset;
export const gallery = `${page.base}/gallery/${encodeURIComponent(page.token)}`;
export const language = document.documentElement.lang;
export const texts = JSON.parse(byId("texts").textContent);
const plurals = new Intl.PluralRules(language);

export function byId(id) {
  return document.getElementById(id);
}

export function tell(key, values = {}) {
  const text = texts[key];
  const words = typeof text === "string" ? text : text[plurals.select(values.n)];
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export class Refusal extends Error {
  constructor(code, { faces = [], file = null } = {}) {
    super(tell(texts[`error_${code}`] ? `error_${code}` : "error_unknown"));
    this.code = code;
    this.faces = faces;
    this.file = file;
  }
}

export function explain(error) {
  return error instanceof Refusal ? error.message : tell("error_unknown");
}

// kind: "thumb", "view", "view.jpg", "original" or "preview". A photo is as the server tells it:
// {id, version, pass, width, height, colour, name, has_original, original_bytes, view_bytes, taken_at}
export function linkPhoto(photo, kind) {
  const query = new URLSearchParams({ v: photo.version });
  if (photo.pass) query.set("pass", photo.pass);
  return `${gallery}/photos/${photo.id}/${kind}?${query}`;
}

export function placeBox(element, [x1, y1, x2, y2]) {
  element.style.left = `${x1 * 100}%`;
  element.style.top = `${y1 * 100}%`;
  element.style.width = `${(x2 - x1) * 100}%`;
  element.style.height = `${(y2 - y1) * 100}%`;
}

const UNITS = ["kilobyte", "megabyte", "gigabyte"];

export function formatBytes(bytes) {
  let [value, unit] = [bytes / 1000, 0];
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1000;
  const digits = value < 10 ? 1 : 0;
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit: UNITS[unit],
    maximumFractionDigits: digits,
  }).format(value);
}

// --- what this tab keeps: until it is closed, for this gallery alone ---

const STORE = `facepass-${page.token}`;
let kept = null;

export function recall() {
  if (!kept) {
    try {
      kept = JSON.parse(sessionStorage.getItem(STORE)) ?? {};
    } catch {
      kept = {};
    }
  }
  return kept;
}

export function keep(values) {
  Object.assign(recall(), values);
  try {
    sessionStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    // Full, or forbidden: then it lives as long as the page.
  }
}

// --- what happens meanwhile: one line for each topic, at the foot of the screen ---

export function announce(topic, words, ...buttons) {
  const news = byId("news");
  let line = news.querySelector(`[data-topic="${topic}"]`);
  if (!words) return line?.remove();
  if (line?.firstChild.textContent === words) return;
  line ??= news.appendChild(make("div"));
  line.dataset.topic = topic;
  line.replaceChildren(make("span", { textContent: words }), ...buttons);
}

// --- photos that do not load ---

const RENEW_AFTER_MS = 30_000;
const SLOW_AFTER_MS = 10_000;
const LOOK_MS = 2_000;
const PICTURES = ".cell img"; // the viewer tells of its own

function renew(image) {
  const holder = image.closest("[data-id]");
  if (!holder) return;
  // Once in a while only: a picture that is really gone must not be asked for again and again.
  if (Date.now() - Number(image.dataset.renewed ?? 0) < RENEW_AFTER_MS) {
    if (!image.alt.includes(texts.photo_broken)) image.alt = `${texts.photo_broken}. ${image.alt}`;
    return;
  }
  image.dataset.renewed = Date.now();
  const query = new URLSearchParams({ at: Date.now() });
  if (holder.dataset.pass) query.set("pass", holder.dataset.pass);
  image.removeAttribute("srcset");
  image.src = `${gallery}/photos/${holder.dataset.id}/preview?${query}`;
}

document.addEventListener(
  "error",
  (event) => event.target instanceof HTMLImageElement && renew(event.target),
  true,
);
for (const image of document.querySelectorAll(".cell img"))
  if (image.complete && image.currentSrc && !image.naturalWidth) renew(image);

const waitingSince = new WeakMap();

function isWaiting(image) {
  if (image.complete || !image.getAttribute("src")) return false;
  const { top, bottom, width } = image.getBoundingClientRect();
  return width > 0 && bottom > 0 && top < innerHeight;
}

// A storage that does not answer makes no error: somebody who looks at grey squares is told.
function markSlowPictures() {
  if (document.hidden) return;
  let slow = 0;
  for (const image of document.querySelectorAll(PICTURES)) {
    if (!isWaiting(image)) waitingSince.delete(image);
    else if (!waitingSince.has(image)) waitingSince.set(image, Date.now());
    const isSlow = Date.now() - (waitingSince.get(image) ?? Infinity) > SLOW_AFTER_MS;
    if (isSlow) image.parentElement.dataset.slow = tell("picture_slow");
    else delete image.parentElement.dataset.slow;
    slow += isSlow;
  }
  announce("slow", slow ? tell("pictures_slow") : "");
}

setInterval(markSlowPictures, LOOK_MS);
