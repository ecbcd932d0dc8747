// One picture of all pages at every width, for docs/: `npm run sheet FOLDER light OUT.png`, from the pictures that the tests left in FOLDER.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { browser } from "../test/harness.mjs";

const PAGES = ["pool", "sensor", "device", "pair", "health", "apps", "map"];
const WIDTHS = [1440, 800, 390];
const HEIGHT = 330;

const [folder, scheme, out] = process.argv.slice(2);
if (!out) throw new Error("usage: npm run sheet FOLDER light|dark OUT.png");
const shot = (page, width) => readFileSync(join(folder, `look-${page}-${width}-${scheme}.png`)).toString("base64");
const rows = PAGES.map((page) => {
  const pictures = WIDTHS.map((width) => `<img height="${HEIGHT}" alt="${page} at ${width}" src="data:image/png;base64,${shot(page, width)}">`);
  return `<div>${pictures.join("")}</div>`;
});
const style = "body{margin:8px;background:#888;width:max-content}div{display:flex;gap:8px;margin-bottom:8px}";
const chromium = await browser();
const page = await chromium.newPage();
await page.setContent(`<style>${style}</style>${rows.join("")}`);
await page.locator("body").screenshot({ path: out });
await chromium.close();
