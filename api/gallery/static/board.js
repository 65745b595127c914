// The photographer's report: its buttons, and names to copy. The link in the address is the key.

const message = document.getElementById("board-message");

for (const button of document.querySelectorAll("[data-post]"))
  button.addEventListener("click", () => press(button));

async function press(button) {
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
  button.disabled = true;
  message.classList.remove("error");
  try {
    const answer = await fetch(button.dataset.post, { method: "POST" });
    if (!answer.ok) throw new Error(answer.status);
    const words = (await answer.json()).message;
    message.textContent = words;
    button.replaceWith(words);
  } catch {
    button.disabled = false;
    message.textContent = message.dataset.failed;
    message.classList.add("error");
  }
}

for (const button of document.querySelectorAll("[data-copy]"))
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.value = field.value.split(/, |\n/).filter(Boolean).join(button.dataset.between);
    field.select();
    await navigator.clipboard?.writeText(field.value).catch(() => {});
  });

for (const picture of document.querySelectorAll("img"))
  picture.addEventListener("error", () => picture.remove(), { once: true });
