// The memory map of a chip, on the page: from the example trees, from none, and from one that is broken.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { accessible, browser, open, picture, root, Stage } from "./harness.mjs";

const tree = (name) => join(root, "../../../examples/devicetree", name);

let stage, chromium, board, plain, page;

before(async () => {
  stage = new Stage();
  [board, plain, chromium] = await Promise.all([
    stage.startWith("board", ["--device-tree", tree("zynqmp-like.dts")]),
    stage.start("plain"),
    browser(),
  ]);
  page = await open(chromium, await board.link());
  await page.getByRole("link", { name: "Cores" }).click();
});

after(async () => {
  await chromium?.close();
  stage?.end();
});

test("the chip's memory is drawn: a column for each domain, a box for each stretch", async () => {
  await page.getByRole("heading", { name: "Memory of Zynq-MPSoC-like" }).waitFor();
  const map = await board.ask("GET", "/v1/memory-map");
  assert.deepEqual(map.domains.map((domain) => domain.name), ["linux", "rpu0", "rpu1"]);
  assert.equal(await page.locator(".memory .column").count(), map.domains.length + 1);
  assert.equal(await page.locator(".memory [data-block]").count(), map.blocks.length);
  assert.equal(await page.locator(".memory rect.shared").count(), map.blocks.filter((block) => block.shared).length);
  // Boxes of one column lie in the order of their addresses, and none is outside of the drawing.
  const drawn = await page.locator(".memory").evaluate((svg) =>
    [...svg.querySelectorAll("[data-block] rect:first-of-type")].map(({ x, y, width, height }) => [x, y, width, height].map((one) => one.baseVal.value)));
  const { width, height } = await page.locator(".memory").evaluate((svg) => ({ width: svg.width.baseVal.value, height: svg.height.baseVal.value }));
  assert.ok(drawn.every(([x, y, w, h]) => h > 3 && w > 3 && x >= 0 && y >= 0 && x + w <= width && y + h <= height), JSON.stringify(drawn));
});

test("a table says the same, and everything is there for everybody", async () => {
  await page.locator("[data-map]").getByText("As a table").click();
  const { blocks } = await board.ask("GET", "/v1/memory-map");
  const rows = page.locator("[data-map] tbody tr");
  assert.equal(await rows.count(), blocks.length);
  const carveout = blocks.find((block) => block.carveout && block.domain === 1);
  const [, what, from, , kind] = await rows.filter({ hasText: carveout.name }).filter({ hasText: "rpu0" }).first().locator("td").allInnerTexts();
  assert.equal(what, carveout.name);
  assert.equal(BigInt(from), BigInt(carveout.start));
  assert.match(kind, /carveout/);
  await accessible(page, "the memory map");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1440, 800, 390]) {
      await page.setViewportSize({ width, height: 900 });
      await picture(page, `look-map-${width}-${colorScheme}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${width}: ${over} pixels too wide`);
      await accessible(page, `the memory map ${width} ${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
});

test("a device without a tree shows none; one that is put into its state folder is shown, and a broken one explained", async () => {
  const other = await open(chromium, await plain.link());
  const look = async () => {
    await other.goto(`${new URL(other.url()).origin}/#/`);
    await other.getByRole("link", { name: "Cores" }).click();
    await other.getByText("This device leads no other cores.").waitFor();
  };
  await look();
  assert.equal(await other.locator("[data-map]").count(), 0);
  const own = join(plain.state, "system.dts");
  writeFileSync(own, '/dts-v1/;\n/ {\n  model = "broken;\n};\n');
  await look();
  const trouble = other.locator("[data-map] .trouble");
  await trouble.waitFor();
  assert.match(await trouble.innerText(), /system\.dts cannot be read: .*line 3.*tutti dt check/s);
  await accessible(other, "a tree that cannot be read");
  writeFileSync(own, `/include/ "${tree("mps2-an521.dts")}"\n`);
  await look();
  await other.locator(".memory").waitFor();
  assert.deepEqual(other.troubles.filter((one) => !/memory-map/.test(one)), []);
});

test("nothing went wrong on the page meanwhile", () => assert.deepEqual(page.troubles, []));
