// The selfie: a file or the camera's picture, made small, and the face in it that is the guest's.

import { byId, make, placeBox, Refusal, tell } from "./page.js";

const SELFIE_SIDE_PX = 1600;
const TEST_SIDE_PX = 32;
const TEST_COLOURS = ["#e02020", "#20c020", "#2040e0", "#f0f0f0"];
const MOST_DIFFERENCE = 40; // JPEG's share, and what browsers add that only blur a fingerprint

// Upright and small before it leaves the phone: no place, no camera, a tenth of the bytes. The file
// itself where the browser cannot draw it, or gives back something else than what was drawn.
export async function shrink(file) {
  try {
    return ((await isCanvasHonest()) && (await drawFile(file))) || file;
  } catch {
    return file; // the server says what it is
  }
}

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

async function drawFile(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const blob = await draw(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  return blob;
}

function draw(source, width, height) {
  const scale = Math.min(1, SELFIE_SIDE_PX / Math.max(width, height));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return encodeCanvas(canvas);
}

// --- the camera ---

export const hasCamera = isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);
const CAMERA_FAILURES = {
  NotAllowedError: "camera_refused",
  SecurityError: "camera_refused",
  NotFoundError: "camera_none",
  OverconstrainedError: "camera_none",
  NotReadableError: "camera_taken",
};

// The picture that the guest takes of themselves; null where they leave it. Throws a Refusal.
export async function takeSelfie() {
  const dialog = byId("viewfinder");
  const video = byId("video");
  const shutter = byId("shutter");
  shutter.disabled = true;
  dialog.showModal();
  const closed = new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  let stream = null;
  const release = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  };
  // At once: a phone may stop a hidden page's script before the dialog's own event comes.
  const hide = () => {
    if (!document.hidden) return;
    release();
    dialog.close();
  };
  document.addEventListener("visibilitychange", hide);
  try {
    stream = await openCamera();
    if (!dialog.open) return null;
    video.srcObject = stream;
    await video.play();
    shutter.disabled = false;
    shutter.focus();
    const pressed = new Promise((done) => (shutter.onclick = () => done("pressed")));
    if ((await Promise.race([pressed, closed])) !== "pressed") return null;
    return await capture(video, stream);
  } catch (error) {
    if (!dialog.open) return null; // closed while the camera was being opened
    throw error instanceof Refusal ? error : new Refusal("camera_failed");
  } finally {
    document.removeEventListener("visibilitychange", hide);
    release();
    dialog.close();
  }
}

byId("leave-camera").addEventListener("click", () => byId("viewfinder").close());

async function openCamera() {
  const video = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Refusal(CAMERA_FAILURES[error.name] ?? "camera_failed");
  }
}

// From the preview's own frame; where canvases are spoilt the camera itself takes a picture, if the
// browser knows how.
async function capture(video, stream) {
  const isHonest = await isCanvasHonest().catch(() => false);
  const blob = isHonest && (await draw(video, video.videoWidth, video.videoHeight));
  if (blob) return blob;
  try {
    return await new ImageCapture(stream.getVideoTracks()[0]).takePhoto();
  } catch {
    throw new Refusal("camera_spoilt");
  }
}

// --- which face ---

const CROP_MARGIN = 1.7; // sides of a crop, in faces

// The index of the face that is the guest's; null where none of them is.
export async function chooseFace(selfie, faces) {
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
  let chosen = null;
  const frames = faces.map(({ box }) => {
    const frame = make("span", { className: "face" });
    placeBox(frame, box);
    return frame;
  });
  const buttons = faces.map(({ box }, index) => {
    const crop = make("img", { src: url, alt: "" });
    placeCrop(crop, picture, box);
    const button = make("button", { type: "button", className: "crop" }, crop);
    button.setAttribute("aria-label", tell("face_number", { n: index + 1, total: faces.length }));
    for (const [event, isOn] of [["focus", true], ["mouseenter", true], ["blur", false], ["mouseleave", false]])
      button.addEventListener(event, () => frames[index].classList.toggle("on", isOn));
    return button;
  });
  [...buttons, ...frames].forEach((element, index) =>
    element.addEventListener("click", () => {
      chosen = index % faces.length;
      dialog.close();
    }),
  );
  byId("crops").replaceChildren(...buttons.map((button) => make("li", {}, button)));
  picture.parentElement.append(...frames);
  byId("cancel").onclick = () => dialog.close();
  dialog.showModal();
  buttons[0].focus();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  for (const element of [...frames, ...byId("crops").children]) element.remove();
  picture.removeAttribute("src");
  URL.revokeObjectURL(url);
  return chosen;
}

// The image lies in a round window as wide as the face and its margin, no wider than the picture.
function placeCrop(image, { naturalWidth: width, naturalHeight: height }, [x1, y1, x2, y2]) {
  const face = Math.max((x2 - x1) * width, (y2 - y1) * height, 1);
  const side = Math.min(face * CROP_MARGIN, width, height);
  const start = (from, to, size) =>
    Math.min(Math.max(((from + to) / 2) * size - side / 2, 0), size - side);
  image.style.width = `${(width / side) * 100}%`;
  image.style.height = `${(height / side) * 100}%`;
  image.style.left = `${(-start(x1, x2, width) / side) * 100}%`;
  image.style.top = `${(-start(y1, y2, height) / side) * 100}%`;
}
