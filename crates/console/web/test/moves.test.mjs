// An app on real devices, from its file to another home: installed on the page, run, drawn on through a page that is a display,
// dragged to another device, and drawn on further.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { accessible, browser, open, picture, root, Stage, until } from "./harness.mjs";

let stage, chromium, kitchen, studio, page, screen, id;

before(async () => {
  stage = new Stage();
  [kitchen, studio, chromium] = await Promise.all([stage.start("kitchen"), stage.start("studio"), browser()]);
  await stage.pair(kitchen, studio);
  [page, screen] = [await open(chromium, await kitchen.link()), await open(chromium, await kitchen.link())];
  await screen.getByRole("link", { name: "Screen" }).click();
  await screen.getByRole("button", { name: "Be a display" }).click();
  await screen.getByRole("application").waitFor();
  await page.getByRole("link", { name: "Apps" }).click();
});

after(async () => {
  await chromium?.close();
  stage?.end();
});

const home = (name) => page.locator(`[data-home="${name}"]`);
const one = () => page.locator(`[data-instance="${id}"]`);
const instances = () => kitchen.ask("GET", "/v1/instances");

/** What the sketch says of itself: how many lines, how many points. */
async function asked() {
  const seen = (await kitchen.ask("GET", `/v1/instances/${id}/log`)).at(-1)?.number ?? 0;
  await kitchen.ask("POST", `/v1/instances/${id}/tell`, { text: "lines" });
  const line = await until("the answer", async () =>
    (await kitchen.ask("GET", `/v1/instances/${id}/log`)).find((line) => line.number > seen && / points$/.test(line.text)));
  const [lines, points] = line.text.match(/\d+/g).map(Number);
  return { lines, points };
}

/** Draws a line over the picture on the page that is a display, from one place to another in parts of it. */
async function draw(from, to, { lift = true } = {}) {
  const box = await screen.locator(".surface :is(img, pre)").boundingBox();
  const width = Math.min(box.width, (box.height * 4) / 3);
  const height = (width * 3) / 4;
  const at = ([x, y]) => [box.x + (box.width - width) / 2 + x * width, box.y + (box.height - height) / 2 + y * height];
  await screen.mouse.move(...at(from));
  await screen.waitForTimeout(150);
  await screen.mouse.down();
  await screen.waitForTimeout(150);
  for (let step = 1; step <= 8; step += 1) {
    await screen.mouse.move(...at([from[0] + ((to[0] - from[0]) * step) / 8, from[1] + ((to[1] - from[1]) * step) / 8]));
    await screen.waitForTimeout(80);
  }
  if (lift) await screen.mouse.up();
  await screen.waitForTimeout(150);
}

/** Whether the picture on the display is dark about a place: where a line was drawn. */
const inked = ([x, y]) => screen.locator(".surface img").evaluate((image, [x, y]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const paint = canvas.getContext("2d");
  paint.drawImage(image, 0, 0);
  const around = paint.getImageData(Math.round(x * canvas.width) - 3, Math.round(y * canvas.height) - 3, 7, 7).data;
  return around.some((value, at) => at % 4 < 3 && value < 128);
}, [x, y]);

test("an app is installed from its file, on the page", async () => {
  const file = join(stage.folder, "sketch.tutti");
  const apps = join(root, "../../../apps");
  await kitchen.tutti("app", "build", "--component", join(apps, "built/sketch.wasm"), "--key", join(stage.folder, "author.key"), "-o", file, join(apps, "sketch"));
  await page.getByLabel("Install an app").setInputFiles(file);
  await page.getByRole("button", { name: "Install", exact: true }).click();
  await page.getByText("sketch is installed.").waitFor();
  await page.locator('[data-app="sketch"]').waitFor();
});

test("it is run from the page, and shows itself on the page that is a display", async () => {
  await page.getByLabel("Where sketch is to run").selectOption({ label: "kitchen" });
  await page.getByRole("button", { name: "Run: sketch" }).click();
  await home("kitchen").getByText("runs", { exact: true }).waitFor();
  [{ id }] = await instances();
  await until("it has the display", async () => (await instances())[0].bound.some((it) => it.resource === "kitchen/browser"));
  await screen.getByText("Draw with the pointer.").waitFor();
  await accessible(page, "an app that runs");
});

test("what is drawn on the display reaches it, and is seen there", async () => {
  await draw([0.1, 0.2], [0.9, 0.2]);
  await until("the line", async () => (await asked()).lines === 1);
  await screen.locator(".surface img").waitFor();
  await until("ink", () => inked([0.5, 0.2]));
  assert.equal(await inked([0.5, 0.6]), false);
});

test("dragged to another device it goes on there, with what was drawn", async () => {
  const before = await asked();
  await one().dragTo(home("studio"));
  await home("studio").locator(`[data-instance="${id}"]`).getByText("runs", { exact: true }).waitFor({ timeout: 20_000 });
  await picture(page, "apps-moved");
  const { epoch, device_name } = (await instances())[0];
  assert.deepEqual([epoch, device_name], [2, "studio"]);
  assert.deepEqual((await studio.ask("GET", "/v1/instances"))[0].device_name, "studio");
  assert.deepEqual(await asked(), before, "not a point more or less");
  await draw([0.1, 0.7], [0.9, 0.7]);
  await until("the second line", async () => (await asked()).lines === before.lines + 1);
  await until("ink of both", async () => (await inked([0.5, 0.7])) && (await inked([0.5, 0.2])));
  await picture(screen, "sketch");
  await screen.keyboard.press("z");
  await until("one line again", async () => (await asked()).lines === before.lines);
  await screen.keyboard.press("z");
  await screen.getByText("Draw with the pointer.").waitFor();
  assert.equal(await screen.locator(".surface img").count(), 0, "an empty sheet is no picture");
  await draw([0.3, 0.3], [0.6, 0.6]);
  await until("a line", async () => (await asked()).lines === 1);
});

test("its log is read from where it is; it is stopped, goes on, and ends", async () => {
  await page.getByRole("button", { name: /^Log: sketch/ }).click();
  await asked();
  await one().getByText("1 lines").first().waitFor();
  await page.getByRole("button", { name: /^Stop: sketch/ }).click();
  await one().getByText("stopped", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Go on: sketch/ }).click();
  await one().getByText("runs", { exact: true }).waitFor();
  assert.equal((await asked()).lines, 1);
  await page.getByRole("button", { name: /^Move to: sketch/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "kitchen" }).click();
  await home("kitchen").locator(`[data-instance="${id}"]`).getByText("runs", { exact: true }).waitFor({ timeout: 20_000 });
  await page.getByRole("button", { name: /^End: sketch/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
  await until("nothing runs", async () => (await instances()).length === 0);
  await one().waitFor({ state: "detached" });
});

test("nothing went wrong on the pages meanwhile", () => assert.deepEqual([page.troubles, screen.troubles], [[], []]));
