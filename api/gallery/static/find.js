// "Find me": consent, and the selfies that are searched with.

import { offerAnew } from "./notices.js";
import { byId, explain, gallery, keep, language, page, recall, Refusal, tell } from "./page.js";
import { isShowingResults, leaveResults, search, showFound } from "./results.js";
import { chooseFace, hasCamera, shrink, takeSelfie } from "./selfie.js";

const MOST_SELFIES = 3;

// What was searched with last, each with the face that was chosen: in this page's memory alone.
let selfies = [];

document.documentElement.classList.toggle("no-camera", !hasCamera);
for (const button of document.querySelectorAll("[data-input]"))
  button.addEventListener("click", () => askForSelfie(button.dataset.input));
for (const input of document.querySelectorAll("#camera, #file"))
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = "";
    if (file) await findMe(() => shrink(file));
  });
byId("camera-file").addEventListener("click", () => {
  byId("viewfinder").close();
  byId("file").click();
});
byId("try-again").addEventListener("click", () => {
  leaveResults();
  byId("finder")?.classList.add("open");
  byId("consent").focus();
});

async function askForSelfie(input) {
  if (!byId("consent").checked) {
    say(tell("need_consent"), true);
    byId("consent").focus();
  } else if (input === "camera" && hasCamera) {
    await findMe(takeSelfie);
  } else {
    byId(input).click();
  }
}

function say(words, isError = false) {
  const message = byId(isShowingResults() ? "add-message" : "message");
  if (isShowingResults()) byId("add").open = true;
  message.textContent = words;
  message.classList.toggle("error", isError);
}

// With results on the page another selfie is added to those they came from; where it cannot be
// used, they stay as they are.
async function findMe(takePicture) {
  const kept = isShowingResults() ? selfies : [];
  setBusy(true);
  try {
    const picture = await takePicture();
    if (!picture) return;
    say(tell("searching"));
    const wanted = [...kept, { picture, face: null }];
    const consent = await giveConsent();
    const answer = await searchWith(wanted, consent);
    selfies = wanted;
    showFound(answer, wanted.length);
    if (wanted.length === 1) offerAnew();
    for (const id of ["message", "add-message"]) byId(id).textContent = "";
    byId("add").hidden = wanted.length >= MOST_SELFIES;
    byId("add").open = !answer.matches.length;
  } catch (error) {
    if (error.code === "consent_needed") withdrawConsent();
    const words = explain(error);
    say(kept.length ? `${words} ${tell("not_added")}` : words, true);
  } finally {
    setBusy(false);
  }
}

function setBusy(busy) {
  for (const id of ["find", "add"]) byId(id).setAttribute("aria-busy", busy);
  for (const button of document.querySelectorAll("[data-input]")) button.disabled = busy;
}

async function searchWith(wanted, consent) {
  // The server ends the connection where a file is too large, and the browser sees no answer.
  const bytes = wanted.reduce((sum, { picture }) => sum + picture.size, 0);
  if (bytes > Number(page.uploadLimit)) throw new Refusal("too_many_bytes");
  for (;;) {
    try {
      return await search((form) => {
        form.set("consent", consent);
        for (const { picture, face } of wanted) {
          form.append("face", face ?? "");
          form.append("file", picture, "selfie.jpg");
        }
      });
    } catch (error) {
      const selfie = wanted[(error.file ?? 1) - 1];
      if (error.code !== "several_faces" || !error.faces.length || selfie.face !== null) throw error;
      selfie.face = await chooseFace(selfie.picture, error.faces);
      if (selfie.face === null) throw error;
    }
  }
}

// --- consent: told to the server when the box is ticked, known by its answer in this tab alone ---

const version = byId("find").dataset.consentVersion;
let given = null;

byId("consent").checked = recall().consent?.version === version;
byId("consent").addEventListener("change", ({ target }) => {
  say("");
  if (target.checked) giveConsent().catch((error) => say(explain(error), true));
  else withdrawConsent();
});

// The consent that a search needs. Throws a Refusal, after which it is asked for again.
async function giveConsent() {
  if (recall().consent?.version === version) return recall().consent.consent;
  given ??= sendConsent();
  try {
    const consent = await given;
    if (byId("consent").checked) keep({ consent: { version, consent } });
    return consent;
  } finally {
    given = null;
  }
}

const CONSENT_CODES = {
  403: "pin",
  404: "lost",
  410: "closed",
  422: "consent_changed",
  429: "too_often",
  503: "busy",
};

async function sendConsent() {
  let answer;
  try {
    answer = await fetch(`${gallery}/consents`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ version, language }),
    });
  } catch {
    throw new Refusal("offline");
  }
  if (!answer.ok) throw new Refusal(CONSENT_CODES[answer.status]);
  return (await answer.json()).consent;
}

function withdrawConsent() {
  keep({ consent: null });
  byId("consent").checked = false;
}
