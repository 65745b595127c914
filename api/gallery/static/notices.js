// "Tell me of new photos": an address and a consent of its own, for the face that was found.

import { byId, explain, gallery, language, Refusal, tell, texts } from "./page.js";
import { readFaceToken } from "./results.js";

const CODES = {
  403: "pin",
  404: "notice_off",
  409: "notice_changed",
  410: "closed",
  422: "notice_address",
  429: "notice_often",
  503: "notice_failed",
};

let guest = 0; // by the number of first selfies on this page

// Not there where the event offers no notices.
byId("notify-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("notify-send");
  const turn = guest; // an answer to the one before is not the next one's
  button.disabled = true;
  say(tell("notice_sending"));
  try {
    const channel = await ask();
    if (turn !== guest) return;
    event.target.hidden = true;
    say(channel === "email" ? tell("notice_sent_email") : tell("notice_sent_webhook"));
  } catch (error) {
    if (turn !== guest) return;
    say(explain(error), true);
    if (error.code === "notice_consent") byId("notify-consent").focus();
    if (error.code === "notice_address") byId("notify-address").focus();
  } finally {
    button.disabled = false;
  }
});

// Another guest's selfie on the same phone: a form without what the first one gave.
export function offerAnew() {
  const form = byId("notify-form");
  if (!form) return;
  guest++;
  form.reset();
  form.hidden = false;
  byId("notify").open = false;
  say("");
}

function say(words, isError = false) {
  const message = byId("notify-message");
  message.textContent = words;
  message.classList.toggle("error", isError);
  byId("notify-address").setAttribute("aria-invalid", isError);
}

async function ask() {
  const address = byId("notify-address");
  if (!byId("notify-consent").checked) throw new Refusal("notice_consent");
  if (!address.value.trim() || !address.checkValidity()) throw new Refusal("notice_address");
  if (!readFaceToken()) throw new Refusal("selfie_needed");
  const wish = {
    version: byId("notify").dataset.version,
    language,
    address: address.value,
    face_token: readFaceToken(),
  };
  let answer;
  try {
    answer = await fetch(`${gallery}/notices`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(wish),
    });
  } catch {
    throw new Refusal("offline");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body.channel;
  // The face token may be worth nothing any more; all else that is wrong is the address.
  const isTold = answer.status === 422 && texts[`error_${body.code}`];
  throw new Refusal(isTold ? body.code : CODES[answer.status]);
}
