// What is said aloud to those who do not look: few words, those that come at once together.

import { counted } from "./words.js";

const SAY_AFTER = 800;
const MOST = 3;

const saying = [];
let soon = 0;

export function say(words) {
  saying.push(words);
  clearTimeout(soon);
  soon = setTimeout(() => {
    const all = saying.splice(0);
    const said = all.length > MOST ? `${counted(all.length, "change")}. ${all.at(-1)}` : all.join(" ");
    document.getElementById("said").textContent = said;
  }, SAY_AFTER);
}
