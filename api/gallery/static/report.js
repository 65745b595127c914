// For the photographer: through the photographers' own calls, with their key.

import { byId, explain, gallery, language, make, page, Refusal, tell } from "./page.js";

const PAGE = 500;
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
    message.textContent = explain(error);
    message.classList.add("error");
  }
});

async function ask(path, method = "GET") {
  let answer;
  const headers = { "X-API-Key": encodeKey(byId("key").value) };
  try {
    answer = await fetch(`${page.base}${path}`, { method, headers });
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
  const parts = await buildRequests(event.event_uuid);
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
    const path = `/api/v1/events/${eventUuid}/photos?${filter}&limit=${PAGE}&cursor=${cursor}`;
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
    return makeRow(photo, tell(`reason_${reason}`), kind !== "failed");
  });
  return make("ul", { className: "report-list" }, ...items);
}

// A photo by its folder and name: two cards of a camera have an IMG_0001 each.
function makeRow({ photo_id: id, s3_key: key }, words, hasPicture, ...more) {
  const row = make("li");
  if (hasPicture) {
    const picture = make("img", { alt: "", loading: "lazy", src: `${gallery}/photos/${id}/thumb` });
    const link = make("a", { href: `${gallery}/photos/${id}`, target: "_blank" }, picture);
    link.setAttribute("aria-label", tell("report_open", { name: nameInFolder(key) }));
    picture.addEventListener("error", () => link.remove(), { once: true });
    row.append(link);
  }
  row.append(make("span", { textContent: `${nameInFolder(key)} — ${words}` }), ...more);
  return row;
}

// What is below the event's own folder.
function nameInFolder(key) {
  return key.replace(/^events\/\d+\/\w+\//, "");
}

// --- what guests ask for ---

async function buildRequests(eventUuid) {
  const path = `/api/v1/events/${eventUuid}/requests`;
  const open = [];
  for (let part; !part || part.length === PAGE; open.push(...part))
    part = await ask(`${path}?limit=${PAGE}&after=${open.at(-1)?.request_id ?? 0}`);
  const title = make("h3", { textContent: `${tell("report_requests")}: ${open.length}` });
  const items = open.map((request) => {
    const time = new Date(request.created_at).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
    const settle = make("button", { type: "button", className: "small", textContent: tell("report_settle") });
    settle.setAttribute("aria-label", `${settle.textContent}: ${nameInFolder(request.s3_key)}`);
    const row = makeRow(request, `${tell(`report_${request.kind}`)}, ${time}`, true, settle);
    settle.addEventListener("click", () => settleRequest(`${path}/${request.request_id}/settle`, row, settle));
    return row;
  });
  const list = items.length ? make("ul", { className: "report-list" }, ...items) : make("p", { textContent: tell("report_nothing") });
  const lead = make("p", { textContent: tell("report_requests_lead") });
  return [make("div", {}, title, ...(items.length ? [lead] : []), list)];
}

async function settleRequest(path, row, button) {
  button.disabled = true;
  try {
    await ask(path, "POST");
    row.replaceChildren(make("span", { textContent: `${row.querySelector("span").textContent} — ${tell("report_settled")}` }));
  } catch (error) {
    button.disabled = false;
    byId("report-message").textContent = explain(error);
    byId("report-message").classList.add("error");
  }
}
