// What is new while the page is open.

import { byId, gallery, language, page } from "./page.js";

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
