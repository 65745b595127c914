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

// kind: "thumb", "view", "view.jpg", "original" or "preview". A photo is as the server tells it:
// {id, version, pass, width, height, colour, name, has_original, original_bytes, view_bytes, taken_at}
export function linkPhoto(photo, kind) {
  const query = new URLSearchParams({ v: photo.version });
  if (photo.pass) query.set("pass", photo.pass);
  return `${gallery}/photos/${photo.id}/${kind}?${query}`;
}

// --- photos that do not load ---

const RENEW_AFTER_MS = 30_000;

function renew(image) {
  const id = image.dataset.id ?? image.closest("[data-id]")?.dataset.id;
  if (!id) return;
  // Once in a while only: a picture that is really gone must not be asked for again and again.
  if (Date.now() - Number(image.dataset.renewed ?? 0) < RENEW_AFTER_MS) {
    if (!image.alt.includes(texts.photo_broken)) image.alt = `${texts.photo_broken}. ${image.alt}`;
    return;
  }
  image.dataset.renewed = Date.now();
  image.src = `${gallery}/photos/${id}/preview?at=${Date.now()}`;
}

document.addEventListener(
  "error",
  (event) => event.target instanceof HTMLImageElement && renew(event.target),
  true,
);
for (const image of document.querySelectorAll(".cell img"))
  if (image.complete && image.currentSrc && !image.naturalWidth) renew(image);
