// The other cores of a device, on the page: a process that stands in for one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { accessible, browser, open, picture, Stage, tutti, until } from "./harness.mjs";

let stage, chromium, kitchen, attic, page;

before(async () => {
  stage = new Stage();
  [kitchen, attic, chromium] = await Promise.all([stage.start("kitchen"), stage.start("attic"), browser()]);
  await stage.pair(kitchen, attic);
  page = await open(chromium, await kitchen.link());
  await page.locator(".card").first().waitFor();
});

after(async () => {
  await kitchen?.tutti("amp", "stop", "brain").catch(() => undefined);
  await chromium?.close();
  stage?.end();
});

const panel = () => page.locator('.core[data-core="brain"]');
const brain = () => kitchen.ask("GET", "/v1/cores/brain");
const button = (name) => panel().getByRole("button", { name, exact: true });

test("without cores the page says how to start one", async () => {
  await page.getByRole("link", { name: "Cores" }).click();
  await page.getByText("This device leads no other cores.").waitFor();
});

test("a core that is started appears by itself, and hangs from its host on the map", async () => {
  await kitchen.tutti("amp", "start", "brain", tutti, "--", "demo-core", "brain-core");
  await panel().getByText("runs", { exact: true }).waitFor();
  await panel().getByText("brain-core", { exact: true }).waitFor();
  await accessible(page, "the cores");
  await page.getByRole("link", { name: "Pool" }).click();
  await page.locator('.card[data-device="brain-core"]').waitFor();
  await picture(page, "cores-pool");
});

test("its lamp is driven from the page of another device", async () => {
  const other = await open(chromium, await attic.link());
  const lamp = other.getByRole("switch", { name: "brain-core/lamp" });
  await lamp.waitFor();
  await lamp.click();
  await until("the lamp", async () => (await kitchen.ask("GET", "/v1/resources/brain-core/lamp")).value === true);
  await other.context().close();
});

test("its log is read live", async () => {
  await page.getByRole("link", { name: "Cores" }).click();
  await button("Show its log").click();
  await panel().getByText("the lamp is on").waitFor();
  await kitchen.tutti("set", "brain-core/lamp", "off");
  await panel().getByText("the lamp is off").waitFor();
  await picture(page, "cores");
});

test("it is restarted from the page", async () => {
  const before = (await brain()).generation;
  await button("Restart").click();
  await until("another life", async () => (await brain()).generation === before + 1);
  await panel().locator("dd", { hasText: String(before + 1) }).first().waitFor();
  await panel().getByText("life 2 begins").waitFor();
});

test("a crash is seen, with what became of it, and the memory is there to be had", async () => {
  // One that comes and goes is shown again after a while.
  const there = async () => (await kitchen.ask("GET", "/v1/devices")).some((one) => one.name === "brain-core");
  await until("it is in the pool again", there, 30_000);
  await kitchen.tutti("set", "brain-core/fault", "on").catch(() => undefined);
  await until("it runs again", async () => (({ recoveries, state }) => recoveries === 1 && state === "running")(await brain()));
  await panel().getByText("runs", { exact: true }).waitFor();
  await panel().getByText("it crashed: fault 6").first().waitFor();
  const crashes = panel().getByRole("list", { name: "Crashes" }).getByRole("listitem");
  assert.match(await crashes.first().innerText(), /life 2: it crashed: fault 6/);
  assert.equal(await crashes.count(), 1);
  await accessible(page, "a core that crashed");
  await picture(page, "cores-crash");
  const [file] = await Promise.all([page.waitForEvent("download"), button("Download its memory").click()]);
  assert.equal(file.suggestedFilename(), "brain.core");
  assert.equal(readFileSync(await file.path()).subarray(0, 4).toString("latin1"), "\x7fELF");
});

test("it is stopped and started from the page; what cannot be is said", async () => {
  await button("Stop").click();
  await panel().getByText("off", { exact: true }).waitFor();
  await until("gone from the pool", async () => !(await attic.ask("GET", "/v1/devices")).some((one) => one.name === "brain-core"));
  await button("Start").click();
  await panel().getByText("runs", { exact: true }).waitFor();
});

test("the page starts no programs of its own choosing", async () => {
  const said = await page.evaluate(async () => {
    const headers = { "x-tutti-console": localStorage.getItem("tutti-console-key"), "content-type": "application/json" };
    const answer = await fetch("/v1/cores/evil/do/start", { method: "POST", headers, body: JSON.stringify({ firmware: "/bin/sh" }) });
    return answer.status;
  });
  assert.equal(said, 403);
});

test("nothing went wrong on the page meanwhile", () => {
  assert.deepEqual(page.troubles.filter((one) => !/403/.test(one)), []);
});
