// The pages as people see them: three widths, light and dark. Each leaves a picture, has room for all it shows, and
// enough contrast.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, browser, open, picture, Stage, until } from "./harness.mjs";

const WIDTHS = [1440, 800, 390];

let stage, chromium, kitchen, page;

before(async () => {
  stage = new Stage();
  let studio, attic, shed;
  [kitchen, studio, attic, shed, chromium] = await Promise.all([
    stage.start("kitchen", "room-temperature", "light-level"),
    stage.start("studio", "lamp", "knob"),
    stage.start("attic", "room-temperature", "lamp"),
    stage.start("shed", "light-level", "knob"),
    browser(),
  ]);
  for (const guest of [studio, attic, shed]) await stage.pair(kitchen, guest);
  await attic.ask("PUT", "/v1/resources/attic/lamp", { value: 60 });
  page = await open(chromium, await kitchen.link());
  await until("four cards", async () => (await page.locator(".card").count()) === 4);
  shed.kill();
  await page.locator('.card.offline[data-device="shed"]').waitFor({ timeout: 10_000 });
  await page.goto(`${new URL(page.url()).origin}/#/pair`);
  await page.getByRole("button", { name: "Show a code" }).click();
  await page.locator(".code").waitFor();
});

after(async () => {
  await chromium?.close();
  stage?.end();
});

const PAGES = {
  pool: ["#/", '.spark path[d^="M"]'],
  sensor: [() => `#/resource/${kitchen.info.id}/room-temperature`, ".chart .line"],
  device: [() => `#/device/${kitchen.info.id}`, ".facts"],
  pair: ["#/pair", ".code"],
  health: ["#/health", ".checks li"],
};

for (const [name, [hash, ready]] of Object.entries(PAGES)) {
  test(`${name}: every width, light and dark`, async () => {
    await page.goto(new URL(page.url()).origin + "/" + (typeof hash === "string" ? hash : hash()));
    if (name === "pair") {
      await page.getByRole("button", { name: /code/ }).first().click();
      await page.locator(".code").waitFor();
    }
    await page.locator(ready).first().waitFor({ state: "attached" });
    await page.waitForTimeout(name === "sensor" || name === "pool" ? 6000 : 300);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
        await page.waitForTimeout(250);
        await picture(page, `look-${name}-${width}-${colorScheme}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${name} at ${width}: ${over} pixels too wide`);
        await accessible(page, `${name} ${width} ${colorScheme}`);
      }
    }
  });
}
