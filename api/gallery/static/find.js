// "Find me": consent, the selfie, the faces in it, and what was found.

import { makeCell } from "./grid.js";
import { openViewer } from "./viewer.js";
import { byId, gallery, language, make, page, Refusal, tell, texts } from "./page.js";

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
    fillGrid(section.querySelector(".grid"), own.map(describeMatch));
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

function describeMatch(match) {
  const name = match.s3_key.split("/").pop();
  return { ...match, id: match.photo_id, name, has_original: Boolean(match.original_url) };
}

function fillGrid(grid, photos) {
  const cells = photos.map((photo) => {
    const cell = makeCell(photo);
    cell.querySelector("img").alt = tell("photo_alt_found", { name: photo.name });
    return cell;
  });
  grid.replaceChildren(...cells);
  const list = {
    name: grid.parentElement.id,
    total: photos.length,
    get: (index) => photos[index] ?? null,
    element: (index) => cells[index] ?? null,
  };
  grid.onclick = (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openViewer(list, cells.indexOf(cell));
  };
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
