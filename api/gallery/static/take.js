// Taking photos home: choosing some, sharing files, zips in parts, and wishes about one photo.

import { allPhotos } from "./grid.js";
import { byId, explain, formatBytes, gallery, language, linkPhoto, make, page, Refusal, tell } from "./page.js";

// What phones' share sheets take without fail.
const SHARE_FILES = 20;
const SHARE_BYTES = 100e6;
const LIST_PHOTOS = 500; // ids that one call lists
const SIZES = { phone: ["view.jpg", "view_bytes"], original: ["original", "original_bytes"] };

const canShare = (() => {
  const sample = new File([""], "photo.jpg", { type: "image/jpeg" });
  return Boolean(navigator.share && navigator.canShare?.({ files: [sample] }));
})();

// --- how much it is ---

// "about" where some photos' bytes are not known: as many as the others have.
function describeSize(photos, size) {
  const known = photos.map((photo) => photo[SIZES[size][1]]).filter(Number.isFinite);
  if (!known.length) return "";
  const sum = known.reduce((total, bytes) => total + bytes, 0);
  if (known.length === photos.length) return formatBytes(sum);
  return tell("about", { size: formatBytes((sum / known.length) * photos.length) });
}

function describePhotos(photos, size) {
  const words = describeSize(photos, size);
  return tell("n_photos", { n: photos.length }) + (words && `, ${words}`);
}

// --- what is on offer: each band's photos, and chosen ones ---

const offered = new Map(); // a band's name → its photos
const chosen = new Map(); // a photo's id → the photo
let isChoosing = false;

// A row of buttons for these photos. Nothing is taken that is not named by its own button.
export function offer(name, row, photos) {
  offered.set(name, photos);
  for (const id of chosen.keys()) if (!findPhoto(id)) chosen.delete(id);
  // Of photos that only may show the guest none is taken that was not ticked.
  const take = makeButton("primary", tell("take_photos", { n: photos.length }), () => openTake(photos));
  const all = makeButton("secondary choose-all", tell("choose_all"), () => choose(photos));
  row.replaceChildren(...(name === "maybe" ? [] : [take]), makeChooseButton(), all);
  updateTicks();
}

export function unchoose(id) {
  if (chosen.delete(id)) updateTicks();
}

function makeButton(className, textContent, act) {
  const button = make("button", { type: "button", className, textContent });
  button.addEventListener("click", act);
  return button;
}

function makeChooseButton() {
  const button = makeButton("secondary choose", tell("choose"), () => setChoosing(!isChoosing));
  button.setAttribute("aria-pressed", isChoosing);
  return button;
}

function findPhoto(id) {
  for (const photos of offered.values()) {
    const photo = photos.find((one) => one.id === id);
    if (photo) return photo;
  }
  return [...allPhotos.photos].find((photo) => photo?.id === id);
}

// --- choosing ---

function setChoosing(choosing) {
  isChoosing = choosing;
  if (!choosing) chosen.clear();
  document.body.classList.toggle("choosing", choosing);
  for (const button of document.querySelectorAll(".choose")) button.setAttribute("aria-pressed", choosing);
  if (choosing) watched.observe(document.querySelector("main"), { childList: true, subtree: true });
  else watched.disconnect();
  updateTicks();
}

// A grid that grows gets its ticks too.
const UNTICKED = "main li > a[data-id]:not(:has(~ .tick))";
const watched = new MutationObserver(() => document.querySelector(UNTICKED) && updateTicks());

function updateTicks() {
  if (isChoosing) for (const link of document.querySelectorAll(UNTICKED)) addTick(link);
  for (const tick of document.querySelectorAll(".tick")) {
    if (!isChoosing) tick.remove();
    else tick.checked = chosen.has(Number(tick.value));
  }
  const photos = [...chosen.values()];
  byId("selection").hidden = !isChoosing;
  byId("selection-count").textContent = tell("chosen", { n: photos.length });
  byId("selection-size").textContent = describeSize(photos, "original").replace(/^(?=.)/, "· ");
  byId("selection-take").disabled = !photos.length;
}

function addTick(link) {
  const tick = make("input", { type: "checkbox", className: "tick", value: link.dataset.id });
  tick.setAttribute("aria-label", tell("choose_photo", { name: link.querySelector("img").alt }));
  tick.addEventListener("change", () => toggle(Number(tick.value), tick.checked));
  link.parentElement.append(tick);
}

function toggle(id, isChosen) {
  const photo = findPhoto(id);
  if (isChosen && photo) chosen.set(id, photo);
  else chosen.delete(id);
  updateTicks();
}

function choose(photos) {
  if (!isChoosing) setChoosing(true);
  for (const photo of photos) chosen.set(photo.id, photo);
  updateTicks();
}

// While photos are chosen a tap on one chooses it, before any viewer hears of the tap.
document.addEventListener(
  "click",
  (event) => {
    const link = isChoosing && event.target.closest?.("main li a[data-id]");
    if (!link) return;
    event.preventDefault();
    event.stopPropagation();
    toggle(Number(link.dataset.id), !chosen.has(Number(link.dataset.id)));
  },
  true,
);
byId("selection-take").addEventListener("click", () => openTake([...chosen.values()]));
byId("selection-end").addEventListener("click", () => {
  setChoosing(false);
  [...document.querySelectorAll(".choose")].find((button) => button.checkVisibility())?.focus();
});

// --- the dialog: the size, the share sheet, the zips ---

let taken = [];
let shared = 0; // photos that the share sheet has had
let ready = null; // files that wait for a tap: browsers open the share sheet for nothing else

function openTake(photos) {
  [taken, shared, ready] = [photos, 0, null];
  byId("take-title").textContent = tell("n_photos", { n: photos.length });
  for (const size of Object.keys(SIZES)) byId(`size-${size}`).textContent = describeSize(photos, size);
  byId(canShare ? "take-phone" : "take-original").checked = true;
  updateTake();
  byId("take").showModal();
}

function readSize() {
  return byId("take-phone").checked ? "phone" : "original";
}

function updateTake() {
  const limit = Number(page.zipLimit);
  const parts = [];
  for (let from = 0; from < taken.length; from += limit) parts.push(taken.slice(from, from + limit));
  byId("take-zips").replaceChildren(...parts.map((part, index) => makeZipForm(part, index, parts.length)));
  const missing = readSize() === "original" ? taken.filter((photo) => !photo.has_original).length : 0;
  byId("take-missing").textContent = missing ? tell("originals_missing", { n: missing }) : "";
  byId("take-parts").textContent = parts.length > 1 ? tell("zip_parts", { n: parts.length }) : "";
  byId("take-share").hidden = !canShare;
  updateShare();
  sayTake("");
}

for (const radio of document.querySelectorAll("#take input[type=radio]"))
  radio.addEventListener("change", () => {
    [shared, ready] = [0, null];
    updateTake();
  });
byId("take-close").addEventListener("click", () => byId("take").close());

function sayTake(words) {
  byId("take-message").textContent = words;
}

// A form, not a fetch: the browser writes the zip to disk as it comes, and shows how far it is.
function makeZipForm(photos, index, parts) {
  const form = make("form", { method: "post", action: `${gallery}/zip?lang=${language}` });
  const add = (name, value) => form.append(make("input", { type: "hidden", name, value }));
  // One field each: a form has at most a thousand.
  add("photo_ids", photos.map(({ id }) => id).join(","));
  if (photos[0]?.pass) add("pass", photos.map(({ pass }) => pass).join(","));
  add("size", readSize());
  if (parts > 1) {
    add("part", index + 1);
    add("parts", parts);
  }
  const words = describePhotos(photos, readSize());
  const text = parts > 1 ? tell("zip_piece", { part: index + 1, parts, words }) : tell("zip", { words });
  form.append(make("button", { className: canShare ? "secondary" : "primary", textContent: text }));
  form.addEventListener("submit", () => sayTake(tell("zip_begun")));
  return form;
}

// --- the share sheet ---

function nextLot() {
  const size = readSize();
  let bytes = 0;
  const rest = taken.slice(shared);
  const end = rest.findIndex((photo, index) => {
    bytes += photo[SIZES[size][1]] ?? 0;
    return index && (index >= SHARE_FILES || bytes > SHARE_BYTES);
  });
  return end < 0 ? rest : rest.slice(0, end);
}

function updateShare() {
  const lot = nextLot();
  const button = byId("take-share");
  button.disabled = !lot.length;
  if (ready) button.textContent = tell("share_ready", { n: ready.files.length });
  else if (lot.length === taken.length) button.textContent = tell("share", { n: lot.length });
  else button.textContent = tell("share_part", { from: shared + 1, to: shared + lot.length, total: taken.length });
}

byId("take-share").addEventListener("click", async () => {
  const button = byId("take-share");
  button.disabled = true;
  try {
    ready ??= await loadFiles(nextLot(), readSize(), sayTake);
    await navigator.share({ files: ready.files });
    shared += ready.photos;
    ready = null;
    sayTake(shared < taken.length ? tell("share_more", { n: taken.length - shared }) : tell("share_done"));
  } catch (error) {
    // A tap is forgotten after seconds of loading: the files wait for another one.
    if (error.name === "NotAllowedError") sayTake(tell("share_tap"));
    else if (error.name === "AbortError") sayTake("");
    else sayTake(error instanceof Refusal ? error.message : tell("share_failed"));
  } finally {
    updateShare();
  }
});

// Throws a Refusal where a photo cannot be had, or its kind cannot be shared.
async function loadFiles(photos, size, say) {
  const files = [];
  for (const photo of photos) {
    say(tell("loading_files", { n: files.length + 1, total: photos.length }));
    let answer;
    try {
      const kind = photo.has_original ? SIZES[size][0] : "view.jpg";
      // Not by a redirect to S3, another origin, whose bytes a page may not read.
      answer = await fetch(`${linkPhoto(photo, kind)}&through=api`);
    } catch {
      throw new Refusal(navigator.onLine ? "not_loaded" : "offline");
    }
    if (!answer.ok) throw new Refusal("not_loaded");
    const blob = await answer.blob();
    const type = size === "phone" ? "image/jpeg" : blob.type;
    files.push(new File([blob], size === "phone" ? nameForPhone(photo) : photo.name, { type }));
  }
  if (!navigator.canShare({ files })) throw new Refusal("not_shareable");
  return { files, photos: photos.length };
}

function nameForPhone(photo) {
  return `${photo.name.replace(/\.\w{1,5}$/, "")}.jpg`;
}

// --- all photos of the event ---

const row = make("div", { className: "take-bar", id: "take-all" });
row.append(makeChooseButton());
if (page.downloadAll === "true") row.prepend(makeButton("secondary", tell("download_all"), takeEverything));
byId("photos-title")?.after(row);

async function takeEverything({ currentTarget: button }) {
  button.disabled = true;
  button.textContent = tell("download_all");
  try {
    openTake(await listAll());
  } catch (error) {
    button.textContent = explain(error);
  } finally {
    button.disabled = false;
  }
}

async function listAll() {
  const photos = [];
  let after = "";
  do {
    const answer = await fetch(`${gallery}/photos?${new URLSearchParams({ after, limit: LIST_PHOTOS })}`);
    if (!answer.ok) throw new Refusal("unknown");
    const body = await answer.json();
    photos.push(...body.photos);
    after = body.next_cursor;
  } while (after);
  return photos;
}

// --- one photo, in the viewer ---

let viewed = null;

document.addEventListener("facepass:viewer", ({ detail: { photo } }) => {
  viewed = photo;
  const place = byId("viewer-actions");
  const size = photo.view_bytes ? ` (${formatBytes(photo.view_bytes)})` : "";
  const small = make("a", {
    className: "secondary small",
    href: linkPhoto(photo, "view.jpg"),
    download: nameForPhone(photo),
    textContent: tell("for_phone") + size,
  });
  const share = makeButton("secondary small", tell("share_one"), shareViewed);
  const wish = makeButton("secondary small", tell("ask_removal"), () => openWish(photo));
  // A share sheet saves too; the bar has little room on a phone.
  place.replaceChildren(canShare ? share : small, wish);
});

// What cannot be handed over at once goes the longer way, by the dialog.
async function shareViewed({ currentTarget: button }) {
  const photo = viewed;
  const words = button.textContent;
  button.disabled = true;
  try {
    const { files } = await loadFiles([photo], "phone", (text) => (button.textContent = text));
    await navigator.share({ files });
  } catch (error) {
    if (error.name !== "AbortError") openTake([photo]);
    if (error instanceof Refusal) sayTake(error.message);
  } finally {
    button.disabled = false;
    button.textContent = words;
  }
}

// --- "hide me", "remove this photo" ---

let wished = null;

function openWish(photo) {
  wished = photo;
  byId("wish-form").hidden = false;
  byId("wish-send").disabled = false;
  sayWish("");
  byId("wish-name").textContent = photo.name;
  byId("wish").showModal();
}

function sayWish(words, isError = false) {
  byId("wish-message").textContent = words;
  byId("wish-message").classList.toggle("error", isError);
}

byId("wish-close").addEventListener("click", () => byId("wish").close());
byId("wish-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { value: kind } = byId("wish-form").elements.kind;
  byId("wish-send").disabled = true;
  try {
    await sendWish({ photo_id: wished.id, kind, pass: wished.pass ?? null });
    byId("wish-form").hidden = true;
    sayWish(kind === "hide_me" ? tell("wish_hide_sent") : tell("wish_remove_sent"));
    byId("wish-close").focus();
  } catch (error) {
    byId("wish-send").disabled = false;
    sayWish(explain(error), true);
  }
});

const WISH_CODES = { 403: "pin", 404: "lost", 410: "closed", 429: "too_often", 503: "busy" };

async function sendWish(wish) {
  let answer;
  try {
    answer = await fetch(`${gallery}/requests`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(wish),
    });
  } catch {
    throw new Refusal("offline");
  }
  if (!answer.ok) throw new Refusal(WISH_CODES[answer.status]);
}
