// The page of apps in every state that there is, with moves as slow as a test wants. Moves between real devices are in
// moves.test.mjs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, browser, open, picture, until } from "./harness.mjs";
import { serve } from "./stagehand.mjs";

let stage, chromium, page;
const done = [];

before(async () => {
  const answer = (what, body) => {
    done.push([what, body]);
    if (what.endsWith("/move") && body?.to === stage.hex(3)) return { error: { code: "does-not-fit", message: "attic has no display", hint: "choose another device" } };
    return { name: "sketch", ...stage.state.instances[0] };
  };
  [stage, chromium] = await Promise.all([serve(answer), browser()]);
  page = await open(chromium, stage.url);
  await page.getByRole("link", { name: "Apps" }).click();
  await page.locator("[data-instance]").first().waitFor();
});

after(async () => {
  await chromium?.close();
  stage?.end();
});

const home = (name) => page.locator(`[data-home="${name}"]`);
const one = (n) => page.locator(`[data-instance="${String(n).repeat(32)}"]`);
const last = () => done.at(-1);

test("each instance stands with its device, its state and its reason", async () => {
  assert.deepEqual(await page.locator("[data-home]").evaluateAll((all) => all.map((one) => one.dataset.home)), ["kitchen", "studio", "attic", "shed"]);
  await home("kitchen").locator("[data-instance]").getByText("runs", { exact: true }).waitFor();
  assert.match(await one(2).innerText(), /Waits for attic/);
  assert.match(await one(2).innerText(), /tutti app recover 222222 --accept-loss/);
  assert.match(await one(4).innerText(), /took too long over one event/);
  assert.equal(await one(1).getAttribute("draggable"), "true");
  assert.equal(await one(3).getAttribute("draggable"), "false", "what cannot be moved is not offered to be dragged");
  assert.match(await page.locator('[data-app="daily"]').innerText(), /cannot be moved while it runs/);
  await accessible(page, "the apps");
});

test("an instance is dragged to another device, and its way there is shown", async () => {
  await one(1).dragTo(home("studio"));
  await until("the move", () => last()?.[0].endsWith("/move"));
  assert.deepEqual(last(), [`POST /v1/instances/${"1".repeat(32)}/move`, { to: stage.hex(2) }]);
  const going = (phase, sent) => stage.change("1".repeat(32), { state: "moving", moving: { to: stage.hex(2), to_name: "studio", phase, sent, total: 1_048_576 } });
  going("copying", 524_288);
  await one(1).getByText("To studio: copying while it runs").waitFor();
  const bar = one(1).getByRole("progressbar");
  assert.equal(await bar.evaluate((bar) => bar.position), 0.5);
  assert.match(await one(1).innerText(), /512 KiB of 1.0 MiB/);
  await accessible(page, "a move");
  await picture(page, "apps-moving");
  await one(1).getByRole("button", { name: "Stay here" }).click();
  await until("the word to stay", () => last()[0] === `DELETE /v1/instances/${"1".repeat(32)}/move`);
  going("committing", 1_048_576);
  await one(1).getByText("settling it").waitFor();
  assert.equal(await one(1).getByRole("button", { name: "Stay here" }).count(), 0, "what is decided cannot be taken back");
  stage.change("1".repeat(32), { state: "running", moving: undefined, device: stage.hex(2), device_name: "studio", epoch: 2 });
  await home("studio").locator(`[data-instance="${"1".repeat(32)}"]`).waitFor();
  await page.getByRole("status").getByText("sketch is on studio now.").waitFor({ state: "attached" });
});

test("by keyboard: a menu has the devices that are there; a refusal is said", async () => {
  const before = done.length;
  await one(1).getByRole("button", { name: "Move to: sketch 111111" }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.deepEqual(await dialog.locator(".targets button").allInnerTexts(), ["kitchen", "attic"], "not where it is, not what is away");
  await accessible(page, "the choice of a device");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(done.length, before, "whoever leaves it has moved nothing");
  await one(1).getByRole("button", { name: "Move to: sketch 111111" }).click();
  await dialog.waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await until("the move", () => done.length > before);
  assert.equal(last()[1].to, stage.hex(3));
  assert.match(await page.getByRole("alert").first().innerText(), /attic has no display; choose another device/);
});

test("what is dropped where it is, or where nothing can be, goes nowhere; nor does anything else that is dropped", async () => {
  const before = done.length;
  await one(1).dragTo(home("studio"));
  await one(1).dragTo(home("shed"));
  await home("kitchen").evaluate((home) => {
    const data = new DataTransfer();
    data.setData("text/plain", "1".repeat(32));
    for (const name of ["dragenter", "dragover", "drop"]) home.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: data }));
  });
  await page.waitForTimeout(300);
  assert.equal(done.length, before);
});

test("stop, go on, end, run, remove and install say what they say", async () => {
  const press = async (name, expected) => {
    await page.getByRole("button", { name, exact: true }).click();
    await until(expected, () => last()[0] === expected);
  };
  await press("Stop: sketch 111111", `POST /v1/instances/${"1".repeat(32)}/stop`);
  stage.change("1".repeat(32), { state: "stopped" });
  await press("Go on: sketch 111111", `POST /v1/instances/${"1".repeat(32)}/start`);
  await page.getByRole("button", { name: "End: sketch 111111" }).click();
  assert.match(await page.getByRole("dialog").innerText(), /with all that it knows/);
  await accessible(page, "the question before an end");
  await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
  await until("the end", () => last()[0] === `DELETE /v1/instances/${"1".repeat(32)}`);
  await press("Run: counter", "POST /v1/apps/counter/run");
  assert.deepEqual(last()[1], {});
  await page.getByLabel("Where counter is to run").selectOption({ label: "studio" });
  await press("Run: counter", "POST /v1/apps/counter/run");
  await until("the device", () => last()[1].on === stage.hex(2));
  await page.getByRole("button", { name: "Install", exact: true }).click();
  assert.match(await page.locator(".field-error").innerText(), /Choose a file/);
  await page.getByLabel("Install an app").setInputFiles({ name: "a.tutti", mimeType: "application/octet-stream", buffer: Buffer.from("package") });
  await press("Install", "POST /v1/apps");
  assert.equal(last()[1], "package");
  await page.getByText("sketch is installed.").waitFor();
});

test("its log is read live, and what is wrong stands out", async () => {
  await one(1).getByRole("button", { name: "Log: sketch 111111" }).click();
  await one(1).getByText("the sheet is full").waitFor();
  assert.equal(await one(1).locator(".log li.warn").count(), 1);
  await accessible(page, "an app's log");
});

test("every width, light and dark", async () => {
  stage.change("1".repeat(32), { state: "moving", moving: { to: stage.hex(1), to_name: "kitchen", phase: "copying", sent: 700_000, total: 1_048_576 } });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1440, 800, 390]) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
      await page.waitForTimeout(200);
      await picture(page, `look-apps-${width}-${colorScheme}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${width}: ${over} pixels too wide`);
      await accessible(page, `the apps ${width} ${colorScheme}`);
    }
  }
});

test("nothing went wrong on the page meanwhile", () => assert.deepEqual(page.troubles.filter((one) => !/409/.test(one)), []));
