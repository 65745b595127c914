// What is new while the page is open: photos of the event, and of the guest.

import { allPhotos } from "./grid.js";
import { announce, byId, gallery, language, make, page, Refusal, tell } from "./page.js";
import { hasResult, lookForNew } from "./results.js";

const SYNCING_MS = 4_000;
const QUIET_MS = 10_000;
// While photos arrive one after the other, a look now and then falls between two syncs.
const STILL_LIVE_MS = 60_000;
const SEARCH_EVERY_MS = 15_000; // while photos arrive one after the other
const LIST_PHOTOS = 500;
const ENDS = { 403: "pin", 404: "lost", 410: "closed" };

let timer = null;
let isAsking = false;
let stamp = null; // what the last answer was about
let liveUntil = 0;
let lastSearch = 0;
let mustGrow = false;
let mustSearch = hasResult(); // of before a reload: photos may have come meanwhile

// Not all pages of a party at the same moment.
function wait(ms) {
  clearTimeout(timer);
  timer = setTimeout(poll, ms * (0.8 + 0.4 * Math.random()));
}

async function poll() {
  if (document.hidden || isAsking) return; // it goes on when the page is shown again
  isAsking = true;
  let pause = QUIET_MS;
  try {
    // The browser asks with the ETag it has; where nothing is new no body comes.
    const answer = await fetch(`${gallery}/status?lang=${language}`, { headers: { Accept: "application/json" } });
    if (ENDS[answer.status]) return end(new Refusal(ENDS[answer.status]));
    if (answer.ok) pause = await follow(await answer.json());
  } catch {
    // Offline: the next look may be luckier.
  } finally {
    isAsking = false;
  }
  wait(pause);
}

function end({ message }) {
  const reload = make("a", { className: "small", href: location.href, textContent: tell("live_reload") });
  announce("live", message, reload);
}

// How long it is until the next look.
async function follow(status) {
  const isShared = Number.isFinite(status.photos); // else guests see, and count, only their own
  const isNew = stamp ? stamp !== readStamp(status) : isShared && status.photos !== Number(page.photos);
  stamp = readStamp(status);
  mustGrow ||= isNew && isShared;
  mustSearch ||= isNew && hasResult();
  // A list that does not come is asked for again at the next look.
  if (mustGrow) mustGrow = !(await growGallery(status.photos).then(() => true, () => false));
  if (!mustGrow) showCount(status);
  if (mustSearch && Date.now() - lastSearch > SEARCH_EVERY_MS) {
    lastSearch = Date.now();
    // Where it fails, the next new photo is the next chance.
    await lookForNew().catch(() => {});
    mustSearch = false;
  }
  if (isNew || status.syncing) liveUntil = Date.now() + STILL_LIVE_MS;
  return mustGrow || mustSearch || Date.now() < liveUntil ? SYNCING_MS : QUIET_MS;
}

function readStamp({ syncing, photos_text, ...rest }) {
  return JSON.stringify(rest);
}

// The count is told only after its photos are there: they never contradict each other.
function showCount({ photos, photos_text: words, syncing }) {
  if (byId("syncing")) byId("syncing").hidden = !syncing;
  if (!Number.isFinite(photos)) return;
  if (byId("count").textContent !== words) byId("count").textContent = words;
  page.photos = photos;
}

// As far as the list is loaded: up to its last photo, or to the end where that is gone or the last.
async function growGallery(total) {
  const last = allPhotos.isWhole ? undefined : allPhotos.photos.at(-1)?.id;
  const photos = [];
  let after = "";
  do {
    const query = new URLSearchParams({ after, limit: LIST_PHOTOS });
    const answer = await fetch(`${gallery}/photos?${query}`);
    if (!answer.ok) throw new Error(answer.status);
    const body = await answer.json();
    photos.push(...body.photos);
    after = body.next_cursor;
    const place = photos.findIndex(({ id }) => id === last);
    if (place >= 0) return allPhotos.merge(photos.slice(0, place + 1), total, false);
  } while (after);
  allPhotos.merge(photos, total, true);
}

document.addEventListener("visibilitychange", () => !document.hidden && poll());
wait(page.syncing === "true" ? SYNCING_MS : QUIET_MS);
