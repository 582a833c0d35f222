// Turns a chosen file into a body for /score: unchanged if the service takes it, else cropped and scaled to the input's
// size.

const TAKEN = ["image/png", "image/jpeg", "image/webp"];

// The { width, height } in pixels of an image bundle's input.
export function imageSize({ shape, image }) {
  const [height, width] = image.layout === "HWC" ? shape : shape.slice(1);
  return { width, height };
}

// Returns { body, type, canvas, note }; throws an Error with a message for the user.
export async function prepareImage(file, input) {
  const { width, height } = imageSize(input);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || "The file"} is not an image that this browser can read.`);
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  // A JPEG has no alpha, so scaling must not add any. The service rejects transparent images, here as elsewhere.
  const ctx = canvas.getContext("2d", { alpha: file.type !== "image/jpeg" });
  const fits = bitmap.width === width && bitmap.height === height;
  // The largest centred part with the proportions of the input.
  const scale = Math.min(bitmap.width / width, bitmap.height / height);
  const [cutWidth, cutHeight] = [width * scale, height * scale];
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(bitmap, (bitmap.width - cutWidth) / 2, (bitmap.height - cutHeight) / 2, cutWidth, cutHeight, 0, 0, width, height);
  const isTaken = fits || input.image.resize || input.image.crop;
  if (isTaken && TAKEN.includes(file.type)) return { body: file, type: file.type, canvas, note: "" };
  const body = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const note = fits
    ? "Sent as PNG."
    : `Scaled from ${bitmap.width} × ${bitmap.height} to ${width} × ${height} pixels, which changes the score a little.`;
  return { body, type: "image/png", canvas, note };
}

// The text as a request document: the text is instances, a single instance, or the whole document.
export function prepareJson(text, input, parameters) {
  let given;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`Not valid JSON: ${error.message}.`);
  }
  if (given !== null && typeof given === "object" && !Array.isArray(given)) return given;
  let depth = 0;
  for (let value = given; Array.isArray(value); value = value[0]) depth += 1;
  return { instances: depth === input.shape.length ? [given] : given, parameters };
}

// An example instance of the right shape; empty if it would fill the screen.
export function exampleJson({ shape, minimum }) {
  if (shape.reduce((product, length) => product * length, 1) > 64) return "";
  const fill = ([length, ...rest]) => Array.from({ length }, () => (rest.length ? fill(rest) : (minimum ?? 0)));
  return JSON.stringify([fill(shape)]);
}
