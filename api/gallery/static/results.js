// What was found: its bands, the guest's own verdicts, and what of it this tab keeps.
//
// Photos, bands and the server's encrypted token are kept until the tab is closed; the selfie is not.

import { makeCell } from "./grid.js";
import { announce, byId, explain, keep, linkPhoto, make, page, recall, Refusal, tell } from "./page.js";
import { offer, unchoose } from "./take.js";
import { openViewer } from "./viewer.js";

const PAGE_MATCHES = 500;
const MOST_STARTS = 4;
const MOST_VERDICTS = 500; // that one search takes
const BANDS = ["surely", "maybe"];

// {photos, token, me: [id], notMe: [id]}
let result = recall().result ?? null;
let searches = 0;
let foundList = null; // for the viewer: both bands, as they are shown

export function hasResult() {
  return Boolean(result?.token);
}

// The server's encrypted word for the guest's face; null where a new selfie is needed.
export function readFaceToken() {
  return result?.token ?? null;
}

export function isShowingResults() {
  return !byId("results").hidden;
}

// --- searching ---

const CODES = {
  403: "pin",
  404: "lost",
  408: "offline",
  409: "needs_sync",
  410: "closed",
  413: "too_many_bytes",
  429: "too_often",
  503: "busy",
};

// All pages of one search; `fill` adds to each page's form what is searched with.
export async function search(fill) {
  let [matches, cursor, starts] = [[], null, 1];
  for (;;) {
    try {
      const answer = await askPage(fill, cursor);
      matches.push(...answer.matches);
      cursor = answer.next_cursor;
      if (!cursor) return { matches, token: answer.face_token ?? null };
    } catch (error) {
      // A photo that the first page began with is no more: a new first page begins with others.
      if (error.code !== "pages_changed" || starts++ >= MOST_STARTS) throw error;
      [matches, cursor] = [[], null];
    }
  }
}

async function askPage(fill, cursor) {
  const form = new FormData();
  form.set("gallery_token", page.token);
  form.set("limit", PAGE_MATCHES);
  if (cursor) form.set("cursor", cursor);
  fill(form);
  let answer;
  try {
    answer = await fetch(`${page.base}/api/v1/faces/search`, { method: "POST", body: form });
  } catch {
    throw new Refusal("offline");
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 422) throw new Refusal(body.code, body); // what is wrong with a selfie
  const code = cursor && answer.status === 400 ? "pages_changed" : CODES[answer.status];
  throw new Refusal(code, body);
}

// Once more by the token of the selfie, with the guest's own verdicts: the photos as they are now.
async function searchAgain() {
  const number = ++searches;
  const asked = result;
  const answer = await search((form) => {
    form.set("consent", recall().consent?.consent ?? "");
    form.set("face_token", asked.token);
    if (asked.me.length) form.set("me", asked.me.slice(-MOST_VERDICTS).join(","));
    if (asked.notMe.length) form.set("not_me", asked.notMe.slice(-MOST_VERDICTS).join(","));
  });
  // Overtaken by a newer search, or by another selfie.
  return number === searches && asked === result ? answer : null;
}

function readMatch(match) {
  return {
    id: match.photo_id,
    key: match.s3_key,
    name: match.s3_key.split("/").pop(),
    version: match.version ?? "",
    pass: match.pass ?? null,
    width: match.width ?? null,
    height: match.height ?? null,
    colour: match.colour ?? null,
    has_original: match.has_original ?? match.original_url !== null,
    original_bytes: match.original_bytes ?? null,
    view_bytes: match.view_bytes ?? null,
    taken_at: match.taken_at ?? null,
    box: match.box,
    band: match.band,
  };
}

// The photos of an answer, as the guest has judged them; what they confirmed stays.
function judge(matches) {
  const photos = matches.map(readMatch).filter(({ id }) => !result.notMe.includes(id));
  for (const photo of photos) if (result.me.includes(photo.id)) photo.band = "surely";
  const ids = new Set(photos.map(({ id }) => id));
  return [...photos, ...result.photos.filter(({ id }) => result.me.includes(id) && !ids.has(id))];
}

function replacePhotos({ matches, token }) {
  announce("found", ""); // what it offered is older than this answer
  const before = new Set(result.photos.map(({ id }) => id));
  result.photos = judge(matches);
  result.token = token ?? result.token; // with its own two hours
  return result.photos.filter(({ id }) => !before.has(id));
}

// --- showing ---

// The answer to `selfies` of them.
export function showFound({ matches, token }, selfies) {
  const before = new Set(result?.photos.map(({ id }) => id));
  searches++;
  // With one more selfie the guest's verdicts stand.
  const old = selfies > 1 && result ? result : { photos: [], me: [], notMe: [], hidden: [] };
  result = { ...old, token };
  result.photos = judge(matches);
  announce("found", "");
  render();
  describeGain(selfies, result.photos.filter(({ id }) => !before.has(id)).length);
  byId("add-gone").hidden = true;
  if (!isShowingResults()) history.pushState({ found: true }, "");
  showSection(true);
  byId("results-title").focus();
}

function describeGain(selfies, gained) {
  let words = result.photos.length ? "" : tell("found_none_lead");
  if (!words && selfies > 1)
    words = gained ? tell("found_more", { n: gained, total: selfies }) : tell("found_no_more", { total: selfies });
  byId("results-lead").textContent = words;
  byId("results-lead").hidden = !words;
}

function render() {
  const photos = [...result.photos].sort(compareTaking);
  const bands = BANDS.map((band) => photos.filter((photo) => photo.band === band));
  const cells = new Map();
  const shown = bands.flat();
  foundList = {
    name: tell("found_list"),
    total: shown.length,
    get: (index) => shown[index] ?? null,
    // As they are now: an open viewer keeps the list, and each verdict makes the cells anew.
    element: (index) =>
      byId("results").querySelector(`a[data-id="${shown[index]?.id}"]`)?.closest("li") ?? null,
    indexOf: (id) => shown.findIndex((photo) => photo.id === id),
  };
  BANDS.forEach((band, index) => {
    for (const photo of bands[index]) cells.set(photo, makeFoundCell(photo, foundList));
    const section = byId(band);
    section.hidden = !bands[index].length;
    section.querySelector(".found").replaceChildren(...bands[index].map((photo) => cells.get(photo)));
    offer(band, section.querySelector(".take-bar"), bands[index]);
  });
  byId("results-title").textContent = describeBands(...bands.map((band) => band.length));
  byId("hidden-count").textContent = tell("hidden_photos", { n: result.notMe.length });
  byId("hidden").hidden = !result.notMe.length;
  byId("show-found").textContent = tell("show_found", { n: shown.length });
  byId("show-found").hidden = !shown.length;
  keep({ result });
}

// Nobody is told to be in photos that only may show them.
function describeBands(surely, maybe) {
  if (surely && maybe) return tell("found", { n: surely }) + tell("found_and_maybe", { n: maybe });
  if (surely) return tell("found", { n: surely });
  return maybe ? tell("found_only_maybe", { n: maybe }) : tell("found_none");
}

// As the gallery is ordered: by the moment of taking, photos without one last, then as people count.
const names = new Intl.Collator("en", { numeric: true });

function compareTaking(one, other) {
  const [first, second] = [one, other].map((photo) => photo.taken_at ?? "none");
  if (first !== second) return first < second ? -1 : 1;
  return names.compare(one.key, other.key) || one.id - other.id;
}

function makeFoundCell(photo, list) {
  const cell = makeCell(photo);
  const link = cell.querySelector("a");
  [link.style.backgroundColor, cell.style.backgroundColor] = [cell.style.backgroundColor, ""];
  const image = cell.querySelector("img");
  const { name, band } = photo;
  image.alt = band === "surely" ? tell("photo_alt_found", { name }) : tell("photo_alt_maybe", { name });
  image.addEventListener("load", () => showFaceIn(image, photo.box));
  link.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openViewer(list, list.indexOf(photo.id));
  });
  if (photo.band === "maybe") cell.append(makeVerdicts(photo));
  else if (result.me.includes(photo.id)) cell.append(makeVerdicts(photo, [[tell("is_not_me"), denyPhoto]]));
  return cell;
}

// The part of the photo that the cell shows is the one with the face.
function showFaceIn(image, [x1, y1, x2, y2]) {
  const photo = image.naturalWidth / image.naturalHeight;
  const cell = image.clientWidth / image.clientHeight;
  if (!photo || !cell) return;
  const place = (centre, share) =>
    share >= 1 ? 50 : (Math.min(Math.max(centre - share / 2, 0), 1 - share) / (1 - share)) * 100;
  const [across, down] = [place((x1 + x2) / 2, cell / photo), place((y1 + y2) / 2, photo / cell)];
  image.style.objectPosition = `${across}% ${down}%`;
}

// --- the guest's own verdicts ---

function makeVerdicts(photo, verdicts = [[tell("is_me"), confirmPhoto], [tell("is_not_me"), denyPhoto]]) {
  const row = make("div", { className: "verdicts" });
  for (const [words, decide] of verdicts) {
    const button = make("button", { type: "button", className: "small", textContent: words });
    button.setAttribute("aria-label", `${words}: ${photo.name}`);
    button.addEventListener("click", () => decide(photo));
    row.append(button);
  }
  return row;
}

// Large, one knows oneself better than in a cell.
document.addEventListener("facepass:viewer", ({ detail: { photo } }) => {
  const now = result?.photos.find(({ id }) => id === photo.id);
  if (now?.band !== "maybe") return;
  const row = makeVerdicts(now);
  row.addEventListener("click", () => {
    row.remove();
    byId("close").focus();
  });
  byId("viewer-actions").prepend(row);
});

async function confirmPhoto(photo) {
  result.me.push(photo.id);
  photo.band = "surely";
  renderAround(photo);
  if (!result.token) return;
  sayVerdict(tell("looking_further"));
  try {
    const answer = await searchAgain();
    if (!answer) return sayVerdict("");
    const gained = replacePhotos(answer).length;
    render();
    sayVerdict(gained ? tell("further_photos", { n: gained }) : tell("no_further_photos"));
  } catch (error) {
    sayVerdict(`${tell("not_further")} ${explain(error)}`);
  }
}

// Also of a photo that was confirmed by mistake: what it led to goes with it.
async function denyPhoto(photo) {
  const wasConfirmed = result.me.includes(photo.id);
  result.me = result.me.filter((id) => id !== photo.id);
  if (wasConfirmed) photo.band = "maybe";
  result.notMe.push(photo.id);
  unchoose(photo.id);
  result.photos = result.photos.filter((one) => one !== photo);
  result.hidden = [...(result.hidden ?? []), photo];
  renderAround(photo);
  sayVerdict(tell("photo_hidden"));
  if (!wasConfirmed || !result.token) return;
  try {
    const answer = await searchAgain();
    if (!answer) return;
    replacePhotos(answer);
    render();
  } catch (error) {
    sayVerdict(`${tell("not_further")} ${explain(error)}`);
  }
}

byId("unhide").addEventListener("click", () => {
  searches++; // one under way leaves them out
  announce("found", "");
  result.photos.push(...(result.hidden ?? []));
  Object.assign(result, { notMe: [], hidden: [] });
  render();
  sayVerdict("");
  byId("results-title").focus();
});

// The focus goes on to the next photo that waits for a verdict.
function renderAround(photo) {
  const buttons = [...byId("maybe").querySelectorAll(".verdicts button:first-child")];
  const place = buttons.findIndex((button) => button.closest("li").contains(document.activeElement));
  render();
  const left = byId("maybe").querySelectorAll(".verdicts button:first-child");
  (left[Math.min(Math.max(place, 0), left.length - 1)] ?? byId("results-title")).focus();
}

// In the open viewer too, until the next photo: what lies behind it is silent.
function sayVerdict(words) {
  byId("verdict-message").textContent = words;
  if (words && byId("viewer").open) byId("position").textContent = words;
}

// --- new photos, while the page is open ---

// Looks for new photos of the guest, and offers them. Throws a Refusal.
export async function lookForNew() {
  const answer = hasResult() && (await searchAgain().catch(forgetToken));
  if (!answer) return;
  const known = new Set(result.photos.map(({ id }) => id));
  const fresh = judge(answer.matches).filter(({ id }) => !known.has(id));
  if (!fresh.length) return announce("found", "");
  const surely = fresh.filter(({ band }) => band === "surely").length;
  const words = surely ? tell("new_of_you", { n: surely }) : tell("new_maybe", { n: fresh.length });
  const button = make("button", { type: "button", className: "small", textContent: tell("show_new") });
  button.addEventListener("click", () => showNew(answer));
  announce("found", words, button);
}

// What has expired is not asked again: a new selfie brings a new token.
function forgetToken(error) {
  if (["selfie_needed", "consent_needed"].includes(error.code)) {
    result.token = null;
    keep({ result });
    announce("found", explain(error));
  }
  throw error;
}

function showNew(answer) {
  announce("found", "");
  const gained = replacePhotos(answer);
  render();
  openResults();
  const first = byId("results").querySelector(gained.map(({ id }) => `[data-id="${id}"]`).join(",") || "h2");
  first.focus();
  first.scrollIntoView({ block: "center" });
}

// --- the result and all photos, in the browser's history ---

function showSection(isFound) {
  byId("find").hidden = isFound;
  byId("results").hidden = !isFound;
  if (byId("photos")) byId("photos").hidden = isFound;
  byId("show-all").hidden = !byId("photos"); // guests who see only their own photos
  keep({ shown: isFound });
  scrollTo({ top: 0 });
}

function openResults() {
  if (isShowingResults()) return;
  history.pushState({ found: true }, "");
  showSection(true);
}

export function leaveResults() {
  if (!isShowingResults()) return;
  history.pushState({ found: false }, "");
  showSection(false);
}

byId("show-all").addEventListener("click", () => {
  leaveResults();
  byId("photos").focus();
});
byId("show-found").addEventListener("click", () => {
  openResults();
  byId("results-title").focus();
});
addEventListener("popstate", ({ state }) => {
  const isFound = Boolean(state?.found && result);
  // A viewer that opens or closes changes nothing below it.
  if (isFound !== isShowingResults()) showSection(isFound);
});
// The other language takes this page's place in the history, and its result.
document.querySelector(".language")?.addEventListener("click", (event) => {
  if (!isShowingResults()) return;
  event.preventDefault();
  location.replace(event.currentTarget.href);
});

// The first photo of the result that is on the screen, and how far its top is from the screen's.
function findPlace() {
  if (!isShowingResults() || !scrollY) return null;
  for (const link of byId("results").querySelectorAll("a[data-id]")) {
    const { top, bottom } = link.getBoundingClientRect();
    if (bottom > 0) return { id: link.dataset.id, top };
  }
  return null;
}

function returnTo({ id, top }) {
  const link = byId("results").querySelector(`a[data-id="${id}"]`);
  if (link) scrollBy(0, link.getBoundingClientRect().top - top);
}

addEventListener("pagehide", () => keep({ place: findPlace() }));

// After a reload, in the other language, and for who comes back by the link in the same tab.
function restore() {
  if (!result) return;
  byId("finder").classList.add("open"); // the way back to the result lies in it
  render();
  const { state } = history;
  const [{ type }] = performance.getEntriesByType("navigation");
  const isNew = !state && type === "navigate";
  if (!(isNew ? recall().shown : state?.found)) return;
  if (isNew) history.replaceState({ found: true }, "");
  showSection(true);
  byId("add").hidden = true;
  byId("add-gone").hidden = false;
  const { place } = recall();
  if (place) returnTo(place);
  const viewed = foundList.indexOf(state?.viewer);
  if (viewed >= 0) openViewer(foundList, viewed);
}

restore();
