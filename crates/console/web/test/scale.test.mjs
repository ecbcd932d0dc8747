// 200 devices with 2,000 changing values: the page stays quick and small.
//
// A task's length is the processor time that the page's main thread spent in it, from Chromium's own trace: time on
// the clock also counts the waiting for other programs of a busy machine. It is printed too.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEVICES, serve } from "./crowd.mjs";
import { browser, open, picture } from "./harness.mjs";

const LONGEST_TASK = 50;
const MOST_HEAP = 150e6;
const SECONDS = 8;

let crowd, chromium;
before(async () => ([crowd, chromium] = await Promise.all([serve(), browser()])));
after(async () => {
  await chromium?.close();
  crowd?.end();
});

/** What the page's main thread did meanwhile: its longest task, frames per second, the heap after a collection. */
async function measure(page, name, during) {
  await chromium.startTracing(page, { categories: ["toplevel"] });
  const started = Date.now();
  await during();
  const frames = page.evaluate((ms) => new Promise((resolve) => {
    const end = performance.now() + ms;
    let frames = 0;
    const frame = () => (performance.now() < end ? ((frames += 1), requestAnimationFrame(frame)) : resolve((frames * 1000) / ms));
    requestAnimationFrame(frame);
  }), 1000);
  const fps = Math.round(await frames);
  const seconds = (Date.now() - started) / 1000;
  const { traceEvents } = JSON.parse(await chromium.stopTracing());
  const mains = traceEvents.filter((event) => event.name === "thread_name" && event.args.name === "CrRendererMain");
  const isMain = (event) => mains.some((main) => main.tid === event.tid && main.pid === event.pid);
  const tasks = traceEvents.filter((event) => event.name === "ThreadControllerImpl::RunTask" && event.ph === "X" && isMain(event));
  assert.ok(tasks.length > 50, "the trace has the page's tasks");
  const longest = Math.max(...tasks.map((task) => (task.tdur ?? task.dur) / 1000));
  const wall = Math.max(...tasks.map((task) => task.dur / 1000));
  const busy = tasks.reduce((sum, task) => sum + (task.tdur ?? task.dur), 0) / 1e6 / seconds;
  const debug = await page.context().newCDPSession(page);
  await debug.send("HeapProfiler.collectGarbage");
  const heap = (await debug.send("Runtime.getHeapUsage")).usedSize;
  console.log(`${name}: longest task ${longest.toFixed(0)} ms (${wall.toFixed(0)} ms on the clock), main thread ${(100 * busy).toFixed(0)} % busy, ${fps} frames/s, heap ${(heap / 1e6).toFixed(1)} MB`);
  return { longest, heap };
}

test("the crowd: tasks, heap, frames", async () => {
  const page = await open(chromium, "about:blank");
  const all = () => page.locator(".card").nth(DEVICES - 1).waitFor({ state: "attached" });
  const seen = [
    await measure(page, "start", async () => (await page.goto(crowd.url), await all())),
    await measure(page, "still", () => page.waitForTimeout(SECONDS * 1000)),
    await measure(page, "scrolling", async () => {
      for (let step = 0; step < 40; step += 1) {
        await page.mouse.wheel(0, 500);
        await page.waitForTimeout(150);
      }
    }),
  ];
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForTimeout(1000);
  await picture(page, "crowd");
  for (const { longest, heap } of seen) {
    assert.ok(longest <= LONGEST_TASK, `a task took ${longest} ms`);
    assert.ok(heap < MOST_HEAP, `${heap} bytes`);
  }
  assert.deepEqual(page.troubles, []);
});

test("searching among them finds at once", async () => {
  const page = await open(chromium, crowd.url);
  await page.locator(".card").nth(DEVICES - 1).waitFor({ state: "attached" });
  await page.getByRole("searchbox").fill("device-17");
  await page.waitForFunction(() => document.querySelectorAll(".card").length === 10, null, { timeout: 2000 });
  await picture(page, "crowd-search");
});
