/** Who a file shows, by its name: Market-1501's names, else the folder that it lies in. */

const MARKET = /^(-1|\d{4,})_(c\d+)(s\d+_\d+_\d+)(\.\w+)+$/;
const PICTURE = /\.(jpe?g|png|webp|bmp)$/i;

/** Whether a file is worth sending, by its name; what it is the service judges by its content. */
export const looksLikePicture = path => PICTURE.test(path);

/** Return `{identity, camera}`, or `{junk: true}`; identity is null where the name says nothing. */
export function fromName(path) {
  const steps = path.split("/");
  const match = MARKET.exec(steps.at(-1));
  if (!match) return { identity: steps.at(-2)?.normalize("NFC") ?? null, camera: null };
  const [, identity, camera, rest] = match;
  if (identity === "-1") return { junk: true }; // what a detector got wrong
  // each distractor is somebody else, so it gets a name of its own, the one that `reid ingest` gives
  return { identity: identity === "0000" ? `distractor-${camera}${rest}` : identity, camera };
}
