// The grid of all photos, which grows as it is scrolled.

import { byId } from "./page.js";

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
