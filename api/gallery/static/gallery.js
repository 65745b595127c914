// The gallery's one script: the live count, "find me", the viewer, the photographer's report.
// Without it the page shows all photos, page by page.

const page = document.body.dataset;
const gallery = `${page.base}/gallery/${encodeURIComponent(page.token)}`;
const language = document.documentElement.lang;
const texts = JSON.parse(byId("texts").textContent);
const plurals = new Intl.PluralRules(language);

function byId(id) {
  return document.getElementById(id);
}

function tell(key, values = {}) {
  const text = texts[key];
  const words = typeof text === "string" ? text : text[plurals.select(values.n)];
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// --- photos that do not load: their link may have expired while the page was open ---

const RENEW_AFTER_MS = 30_000;

function renew(image) {
  const id = image.dataset.id ?? image.closest(".cell")?.dataset.id;
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

// --- the live count ---

const POLL_MS = 4_000;

async function poll() {
  if (!document.hidden) {
    try {
      const answer = await fetch(`${gallery}/status?lang=${language}`, { cache: "no-store" });
      if (answer.status === 404) return;
      if (answer.ok) showStatus(await answer.json());
      if (byId("syncing").hidden && Number(page.photos) > 0) return;
    } catch {
      // Offline: the next look may be luckier.
    }
  }
  setTimeout(poll, POLL_MS);
}

function showStatus(status) {
  if (byId("count").textContent !== status.photos_text)
    byId("count").textContent = status.photos_text;
  byId("syncing").hidden = !status.syncing;
  byId("reload").hidden = status.photos === Number(page.photos);
  if (!byId("reload").hidden && !status.syncing) page.photos = status.photos;
}

if (byId("live")) setTimeout(poll, POLL_MS);

// --- more photos ---

document.addEventListener("click", async (event) => {
  const link = event.target.closest("#more");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const cells = [...next.querySelectorAll("#grid > li")];
    byId("grid").append(...cells);
    const further = next.getElementById("more");
    if (further) link.href = further.getAttribute("href");
    else link.parentElement.remove();
    cells[0]?.querySelector("a").focus();
  } catch {
    location.assign(link.href);
  }
});

// --- find me ---

const SELFIE_SIDE_PX = 1600;
const PAGE_MATCHES = 500;
const MOST_SELFIES = 3;
const MOST_STARTS = 4;

// What was searched with last, each with the face that was chosen: in this tab's memory alone.
let selfies = [];
let found = [];

for (const button of document.querySelectorAll("[data-input]")) {
  const input = byId(button.dataset.input);
  button.addEventListener("click", () => {
    if (byId("consent").checked) return input.click();
    say(tell("need_consent"), true);
    byId("consent").focus();
  });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (file) await findMe(file);
  });
}
byId("consent").addEventListener("change", () => say(""));

function isShowingResults() {
  return !byId("results").hidden;
}

function say(words, isError = false) {
  const message = byId(isShowingResults() ? "add-message" : "message");
  if (isShowingResults()) byId("add").open = true;
  message.textContent = words;
  message.classList.toggle("error", isError);
}

// With results on the page another selfie is added to those they came from; where it cannot be
// used, they stay as they are.
async function findMe(file) {
  const kept = isShowingResults() ? selfies : [];
  setBusy(true);
  say(tell("searching"));
  try {
    const wanted = [...kept, { picture: await shrink(file), face: null }];
    const matches = await searchAll(wanted);
    showMatches(matches, wanted.length);
    selfies = wanted;
  } catch (error) {
    const words = error instanceof Refusal ? error.message : tell("error_unknown");
    say(kept.length ? `${words} ${tell("not_added")}` : words, true);
  } finally {
    setBusy(false);
  }
}

function setBusy(busy) {
  for (const id of ["find", "add"]) byId(id).setAttribute("aria-busy", busy);
  for (const button of document.querySelectorAll("[data-input]")) button.disabled = busy;
}

// Upright and small before it leaves the phone: no place, no camera, a tenth of the bytes. The file
// itself where the browser cannot draw it, or gives back something else than what was drawn.
async function shrink(file) {
  try {
    return ((await isCanvasHonest()) && (await draw(file))) || file;
  } catch {
    return file; // the server says what it is
  }
}

const TEST_SIDE_PX = 32;
const TEST_COLOURS = ["#e02020", "#20c020", "#2040e0", "#f0f0f0"];
const MOST_DIFFERENCE = 40; // JPEG's share, and what browsers add that only blur a fingerprint

// Browsers that hide who one is (Tor, LibreWolf, Firefox's resistFingerprinting) give back noise.
async function isCanvasHonest() {
  const canvas = make("canvas", { width: TEST_COLOURS.length * TEST_SIDE_PX, height: TEST_SIDE_PX });
  const context = canvas.getContext("2d");
  TEST_COLOURS.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(index * TEST_SIDE_PX, 0, TEST_SIDE_PX, TEST_SIDE_PX);
  });
  const bitmap = await createImageBitmap(await encodeCanvas(canvas));
  if (bitmap.width !== canvas.width || bitmap.height !== canvas.height) return false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  return TEST_COLOURS.every((colour, index) => {
    const [x, y] = [(index + 0.5) * TEST_SIDE_PX, TEST_SIDE_PX / 2];
    const seen = context.getImageData(x, y, 1, 1).data;
    return [1, 3, 5].every(
      (place, channel) =>
        Math.abs(parseInt(colour.slice(place, place + 2), 16) - seen[channel]) < MOST_DIFFERENCE,
    );
  });
}

function encodeCanvas(canvas) {
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
}

async function draw(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, SELFIE_SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(bitmap.width * scale)),
    height: Math.max(1, Math.round(bitmap.height * scale)),
  });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return encodeCanvas(canvas);
}

class Refusal extends Error {
  constructor(code, { faces = [], file = null } = {}) {
    super(tell(texts[`error_${code}`] ? `error_${code}` : "error_unknown"));
    this.code = code;
    this.faces = faces;
    this.file = file;
  }
}

async function searchAll(wanted) {
  let matches = [];
  let cursor = null;
  let starts = 1;
  do {
    let answer;
    try {
      answer = await search(wanted, cursor);
    } catch (error) {
      // A photo that the first page began with is no more: a new first page begins with others.
      if (error.code === "pages_changed" && starts++ < MOST_STARTS) {
        matches = [];
        cursor = null;
        continue;
      }
      const selfie = wanted[(error.file ?? 1) - 1];
      if (error.code !== "several_faces" || !error.faces.length || selfie.face !== null) throw error;
      selfie.face = await chooseFace(selfie.picture, error.faces);
      if (selfie.face === null) throw error;
      continue;
    }
    matches.push(...answer.matches);
    cursor = answer.next_cursor;
    if (!cursor) return matches;
  } while (true);
}

const CODES = {
  404: "lost",
  408: "offline",
  409: "needs_sync",
  413: "too_many_bytes",
  429: "too_often",
  503: "busy",
};

async function search(wanted, cursor) {
  // The server ends the connection where a file is too large, and the browser sees no answer.
  const bytes = wanted.reduce((sum, { picture }) => sum + picture.size, 0);
  if (bytes > Number(page.uploadLimit)) throw new Refusal("too_many_bytes");
  const form = new FormData();
  form.set("gallery_token", page.token);
  form.set("limit", PAGE_MATCHES);
  if (cursor) form.set("cursor", cursor);
  for (const { picture, face } of wanted) {
    form.append("face", face ?? "");
    form.append("file", picture, "selfie.jpg");
  }
  let answer;
  try {
    answer = await fetch(`${page.base}/api/v1/faces/search`, { method: "POST", body: form });
  } catch {
    throw new Refusal("offline");
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  const code = cursor && answer.status === 400 ? "pages_changed" : CODES[answer.status];
  throw new Refusal(body.code ?? code, body);
}

function showMatches(matches, number) {
  const title = byId("results-title");
  title.textContent = matches.length ? tell("found", { n: matches.length }) : tell("found_none");
  const lead = byId("results-lead");
  lead.textContent = matches.length ? describeGain(matches, number) : tell("found_none_lead");
  lead.hidden = !lead.textContent;
  found = matches;
  for (const band of ["surely", "maybe"]) {
    const own = matches.filter((match) => match.band === band).sort(compareTaking);
    const section = byId(band);
    section.hidden = !own.length;
    section.querySelector(".grid").replaceChildren(...own.map(makeCell));
    section.querySelector(".downloads").replaceChildren(...makeDownloads(own));
  }
  for (const id of ["message", "add-message"]) byId(id).textContent = "";
  byId("add").hidden = number >= MOST_SELFIES;
  byId("add").open = !matches.length;
  showSection("results");
  title.focus();
}

// As the gallery is ordered: by the moment of taking, photos without one last, then as people count.
const names = new Intl.Collator("en", { numeric: true });

function compareTaking(one, other) {
  const [first, second] = [one, other].map((match) => match.taken_at ?? "none");
  if (first !== second) return first < second ? -1 : 1;
  return names.compare(one.s3_key, other.s3_key) || one.photo_id - other.photo_id;
}

function describeGain(matches, number) {
  if (number === 1) return "";
  const before = new Set(found.map((match) => match.photo_id));
  const gained = matches.filter((match) => !before.has(match.photo_id)).length;
  if (!gained) return tell("found_no_more", { total: number });
  return tell("found_more", { n: gained, total: number });
}

function showSection(id) {
  byId("find").hidden = id === "results";
  byId("results").hidden = id !== "results";
  byId("photos").hidden = id === "results";
  scrollTo({ top: 0 });
}

byId("show-all").addEventListener("click", () => {
  showSection("photos");
  byId("photos").focus();
});
byId("try-again").addEventListener("click", () => {
  showSection("photos");
  byId("consent").focus();
});

function makeCell(match) {
  const name = match.s3_key.split("/").pop();
  const image = make("img", {
    alt: tell("photo_alt_found", { name }),
    width: 320,
    height: 320,
    loading: "lazy",
    decoding: "async",
    src: match.preview_url,
  });
  const cell = make("a", { className: "cell", href: `${gallery}/photos/${match.photo_id}/preview` }, image);
  cell.dataset.id = match.photo_id;
  cell.dataset.box = JSON.stringify(match.box);
  if (!match.original_url) cell.dataset.original = "missing";
  return make("li", {}, cell);
}

// A form, not a fetch: the browser writes the zip to disk as it comes.
function makeDownloads(matches) {
  const limit = Number(page.zipLimit);
  const forms = [];
  for (let from = 0; from < matches.length; from += limit) {
    const part = matches.slice(from, from + limit);
    const form = make("form", { method: "post", action: `${gallery}/zip?lang=${language}` });
    for (const match of part)
      form.append(make("input", { type: "hidden", name: "photo_ids", value: match.photo_id }));
    form.append(
      make("button", { className: "primary", textContent: tell("download_all", { n: part.length }) }),
    );
    forms.push(form);
  }
  return forms;
}

// --- which face ---

function placeBox(element, [x1, y1, x2, y2]) {
  element.style.left = `${x1 * 100}%`;
  element.style.top = `${y1 * 100}%`;
  element.style.width = `${(x2 - x1) * 100}%`;
  element.style.height = `${(y2 - y1) * 100}%`;
}

async function chooseFace(selfie, faces) {
  const dialog = byId("chooser");
  const picture = byId("selfie");
  const url = URL.createObjectURL(selfie);
  picture.src = url;
  try {
    await picture.decode();
  } catch {
    // The server could read it, the browser cannot show it: a HEIC, for example.
    picture.removeAttribute("src");
    URL.revokeObjectURL(url);
    throw new Refusal("cannot_show");
  }
  byId("chooser-count").textContent = `${tell("faces_in_picture", { n: faces.length })}.`;
  return new Promise((choose) => {
    let chosen = null;
    const buttons = faces.map(({ box }, index) => {
      const button = make("button", { type: "button", className: "face" });
      button.append(make("span", { textContent: index + 1 }));
      button.setAttribute("aria-label", tell("face_number", { n: index + 1, total: faces.length }));
      placeBox(button, box);
      button.addEventListener("click", () => {
        chosen = index;
        dialog.close();
      });
      return button;
    });
    picture.parentElement.append(...buttons);
    byId("cancel").onclick = () => dialog.close();
    dialog.addEventListener(
      "close",
      () => {
        for (const button of buttons) button.remove();
        picture.removeAttribute("src");
        URL.revokeObjectURL(url);
        choose(chosen);
      },
      { once: true },
    );
    dialog.showModal();
    buttons[0].focus();
  });
}

// --- the viewer ---

const viewer = byId("viewer");
let shown = null;

document.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(cell);
  viewer.showModal();
  byId("close").focus();
});

function listCells() {
  return [...shown.closest("section").querySelectorAll(".cell")];
}

function show(cell) {
  shown = cell;
  const cells = listCells();
  const index = cells.indexOf(cell);
  const image = cell.querySelector("img");
  const picture = byId("picture");
  picture.dataset.id = cell.dataset.id;
  delete picture.dataset.renewed;
  picture.alt = image.alt;
  picture.src = image.src;
  byId("position").textContent = tell("position", { n: index + 1, total: cells.length });
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === cells.length - 1;
  byId("download").hidden = cell.dataset.original === "missing";
  byId("download").href = `${gallery}/photos/${cell.dataset.id}/original`;
  byId("show-face").hidden = !cell.dataset.box;
  showFace();
  const after = cells[index + 1]?.querySelector("img");
  if (after) new Image().src = after.src;
}

function showFace() {
  const wanted = byId("show-face").getAttribute("aria-pressed") === "true";
  byId("face").hidden = !wanted || !shown.dataset.box;
  if (shown.dataset.box) placeBox(byId("face"), JSON.parse(shown.dataset.box));
}

function step(by) {
  const cells = listCells();
  const next = cells[cells.indexOf(shown) + by];
  if (!next) return;
  show(next);
  // A button that has just been disabled would lose the focus to nothing.
  if (document.activeElement === document.body || document.activeElement?.disabled)
    byId("close").focus();
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => viewer.close());
byId("show-face").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", currentTarget.getAttribute("aria-pressed") !== "true");
  showFace();
});
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
viewer.addEventListener("click", (event) => {
  if (event.target === viewer || event.target.className === "stage") viewer.close();
});
// Back to the photo that was looked at last, not to the one that was opened first.
viewer.addEventListener("close", () => shown.focus());

let touchX = null;
viewer.addEventListener("touchstart", (event) => {
  touchX = event.touches.length === 1 ? event.touches[0].clientX : null;
}, { passive: true });
viewer.addEventListener("touchend", (event) => {
  const moved = touchX === null ? 0 : event.changedTouches[0].clientX - touchX;
  if (Math.abs(moved) > 50) step(moved > 0 ? -1 : 1);
});

// --- for the photographer: through the photographers' own calls, with their key ---

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
