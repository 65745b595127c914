// For the photographer: through the photographers' own calls, with their key.

import { byId, make, page, Refusal, tell } from "./page.js";

const KEY_NAME = "facepass-api-key";
byId("key").value = sessionStorage.getItem(KEY_NAME) ?? "";
byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = byId("report-message");
  message.textContent = tell("report_loading");
  message.classList.remove("error");
  byId("report").replaceChildren();
  try {
    sessionStorage.setItem(KEY_NAME, byId("key").value);
    byId("report").replaceChildren(...(await buildReport()));
    message.textContent = "";
  } catch (error) {
    message.textContent = error instanceof Refusal ? error.message : tell("error_unknown");
    message.classList.add("error");
  }
});

async function ask(path) {
  let answer;
  try {
    answer = await fetch(`${page.base}${path}`, { headers: { "X-API-Key": encodeKey(byId("key").value) } });
  } catch {
    throw new Refusal("offline");
  }
  if (answer.status === 401) throw new Refusal("key");
  if (!answer.ok) throw new Refusal("unknown");
  return answer.json();
}

// HTTP's headers carry bytes: those of the key's UTF-8, one character each.
function encodeKey(key) {
  return String.fromCharCode(...new TextEncoder().encode(key));
}

async function buildReport() {
  // The page does not know the event's UUID: it is for photographers, and they are told it.
  const events = await ask("/api/v1/events");
  const event = events.find((one) => one.gallery_url.endsWith(`/gallery/${page.token}`));
  if (!event) throw new Refusal("key");
  const kinds = [
    ["failed", "status=failed"],
    ["no_face", "status=no_face"],
    ["original_missing", "original_missing=true"],
  ];
  const parts = [];
  for (const [kind, filter] of kinds) {
    const photos = await listPhotos(event.event_uuid, filter);
    const title = make("h3", { textContent: `${tell(`report_${kind}`)}: ${photos.length}` });
    parts.push(make("div", {}, title, makeList(photos, kind)));
  }
  // The lists above stand without it.
  return [...parts, ...(await buildIgnored(event.event_uuid).catch(() => []))];
}

// What the newest sync found beside the photos; nothing before it has ended.
async function buildIgnored(eventUuid) {
  const { last_sync: sync } = await ask(`/api/v1/events/${eventUuid}`);
  const status = sync && (await ask(`/api/v1/faces/sync-s3/${sync.task_id}`));
  if (!status?.result?.ignored) return [];
  const kinds = Object.entries(status.result.ignored);
  const total = kinds.reduce((sum, [, n]) => sum + n, 0);
  const items = kinds.map(([kind, n]) => make("li", { textContent: tell(`report_kind_${kind}`, { n }) }));
  const list = total ? make("ul", {}, ...items) : make("p", { textContent: tell("report_nothing") });
  return [make("div", {}, make("h3", { textContent: `${tell("report_ignored")}: ${total}` }), list)];
}

async function listPhotos(eventUuid, filter) {
  const photos = [];
  let cursor = 0;
  while (cursor !== null) {
    const path = `/api/v1/events/${eventUuid}/photos?${filter}&limit=500&cursor=${cursor}`;
    const answer = await ask(path);
    photos.push(...answer.photos);
    cursor = answer.next_cursor;
  }
  return photos;
}

function makeList(photos, kind) {
  if (!photos.length) return make("p", { textContent: tell("report_nothing") });
  const items = photos.map((photo) => {
    const reason = kind === "original_missing" ? kind : (photo.reason ?? "no_face_detected");
    return make("li", { textContent: `${photo.s3_key.split("/").pop()} — ${tell(`reason_${reason}`)}` });
  });
  return make("ul", {}, ...items);
}
