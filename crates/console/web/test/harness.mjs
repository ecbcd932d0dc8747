// What the tests stand on: devices started by the real command, requests to them, a browser.
import { spawn, execFile } from "node:child_process";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const tutti = process.env.TUTTI_BIN ?? join(root, "../../../target/debug/tutti");
export const out = process.env.TUTTI_BROWSER_OUT ?? join(root, "test/out");
mkdirSync(out, { recursive: true });

const run = promisify(execFile);

export async function until(what, look, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Devices of one machine, apart from all others on it. */
export class Stage {
  folder = mkdtempSync(join(tmpdir(), "tutti-browser-"));
  running = [];

  async start(name, ...simulate) {
    return this.startWith(name, [], ...simulate);
  }

  /** The same with further arguments for `tutti up`. */
  async startWith(name, further, ...simulate) {
    const device = new Device(this.folder, name, simulate, further);
    this.running.push(device);
    await device.ready();
    return device;
  }

  async pair(host, guest) {
    const { ticket } = await host.ask("POST", "/v1/pairing", {});
    await guest.ask("POST", "/v1/join", { ticket });
    await until(`${host.name} sees ${guest.name}`, async () =>
      (await host.ask("GET", "/v1/devices")).some((one) => one.name === guest.name && one.presence === "online"));
  }

  end() {
    for (const device of this.running) device.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

class Device {
  constructor(folder, name, simulate, further) {
    this.name = name;
    this.state = join(folder, name);
    const args = ["up", "--foreground", "--exit-with-stdin", "--state", this.state, "--runtime-dir", join(folder, "run"),
      "--name", name, "--no-mdns", "--no-hardware", "--simulate", simulate.join(",") || "knob", ...further];
    this.child = spawn(tutti, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.said = "";
    this.child.stderr.on("data", (data) => (this.said = (this.said + data).slice(-20_000)));
    this.up = new Promise((resolve, reject) => {
      this.child.stdout.once("data", resolve);
      this.child.once("exit", (code) => reject(new Error(`${name} ended with ${code}: ${this.said}`)));
    });
    this.up.catch(() => undefined);
  }

  async ready() {
    await this.up;
    this.info = JSON.parse(await this.tutti("status", "--json"));
  }

  /** What the command says about this device. */
  async tutti(...args) {
    return (await run(tutti, ["--state", this.state, ...args])).stdout;
  }

  /** Asks its control API by the socket. */
  async ask(method, path, body) {
    const { status, text } = await request({ socketPath: this.info.api.socket, method, path }, body && JSON.stringify(body));
    if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  async link() {
    return JSON.parse(await this.tutti("console", "--json")).url;
  }

  kill() {
    this.child.kill("SIGKILL");
  }
}

export function request(options, body) {
  return new Promise((resolve, reject) => {
    const headers = { ...(body ? { "content-type": "application/json", "content-length": Buffer.byteLength(body) } : {}), ...options.headers };
    const { via = http, ...asked } = options;
    const sent = via.request({ agent: false, timeout: 20_000, ...asked, headers }, (answer) => {
      let text = "";
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end(body);
  });
}

export async function browser(further = []) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // As root there is no sandbox to be had; what is opened here is our own page.
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...further] });
}

/** A page that fails the test if anything on it goes wrong. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.troubles.push(`${message.text()} ${message.location().url}`));
  await page.goto(url);
  return page;
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Checks what a page shows now. */
export async function accessible(page, name) {
  // The page's policy forbids scripts that are not its own; the debugger may add one.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.target)}`);
  assert.deepEqual(told, [], `${name} is accessible`);
}

export const picture = (page, name, options) => page.screenshot({ path: join(out, `${name}.png`), ...options });
