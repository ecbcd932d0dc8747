// The attacks that the console's door names, against a real device, with and without a real browser.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { browser, open, request, Stage, until } from "./harness.mjs";

let stage, chromium, kitchen, page, port, pass;

before(async () => {
  stage = new Stage();
  [kitchen, chromium] = await Promise.all([stage.start("kitchen", "lamp"), browser()]);
  const link = await kitchen.link();
  port = Number(new URL(link).port);
  // One session for plain requests, one for the browser.
  const token = /login=(\w+)/.exec(link)[1];
  const entered = await ask("POST", "/login", { "x-tutti-console": "login" }, JSON.stringify({ token }));
  const cookie = entered.headers["set-cookie"][0];
  assert.match(cookie, /; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
  pass = { cookie: cookie.split(";")[0], "x-tutti-console": JSON.parse(entered.text).key };
  page = await open(chromium, await kitchen.link());
  await page.locator(".card").first().waitFor();
});

after(async () => {
  await chromium?.close();
  stage?.end();
});

const ask = (method, path, headers = {}, body) => request({ host: "127.0.0.1", port, method, path, headers }, body);
const code = async (answer) => JSON.parse((await answer).text).error.code;
const lamp = async () => (await kitchen.ask("GET", "/v1/resources/kitchen/lamp")).value;

test("with both halves of a pass, requests are answered", async () => {
  assert.equal((await ask("GET", "/v1/device", pass)).status, 200);
});

test("without them, or with one of them, they are not", async () => {
  for (const headers of [{}, { cookie: pass.cookie }, { "x-tutti-console": pass["x-tutti-console"] }]) {
    for (const path of ["/v1/device", "/v1/events", "/metrics", "/v1/openapi.json", "/nothing"])
      assert.equal((await ask("GET", path, headers)).status, 401, path);
    assert.equal(await code(ask("POST", "/v1/shutdown", headers)), "unauthorized");
  }
});

test("DNS rebinding: another Host is refused, for the page as well", async () => {
  for (const path of ["/", "/app.js", "/v1/device"])
    assert.equal(await code(ask("GET", path, { ...pass, host: `evil.example:${port}` })), "forbidden-host");
  const rebound = await browser(["--host-resolver-rules=MAP evil.example 127.0.0.1"]);
  try {
    const answer = await (await rebound.newPage()).goto(`http://evil.example:${port}/`);
    assert.equal(answer.status(), 403);
  } finally {
    await rebound.close();
  }
});

test("CSRF: other origins are refused, other ports of this machine among them", async () => {
  for (const origin of ["http://evil.example", `http://127.0.0.1:${port + 1}`, "null", `https://127.0.0.1:${port}`])
    assert.equal(await code(ask("PUT", "/v1/resources/kitchen/lamp", { ...pass, origin }, '{"value":1}')), "cross-origin");
  for (const site of ["cross-site", "same-site"])
    assert.equal(await code(ask("POST", "/v1/shutdown", { ...pass, "sec-fetch-site": site })), "cross-origin");
  assert.equal(await code(ask("POST", "/login", {}, '{"token":"00"}')), "cross-origin", "a form sends no header of ours");
});

test("no CORS: a preflight is granted nothing", async () => {
  const preflight = await ask("OPTIONS", "/v1/device", {
    origin: "http://evil.example", "access-control-request-method": "PUT", "access-control-request-headers": "x-tutti-console",
  });
  assert.equal(preflight.status, 403);
  const granted = Object.keys(preflight.headers).filter((name) => name.startsWith("access-control"));
  assert.deepEqual(granted, []);
});

test("clickjacking, CSRF and inclusion by a page on another port, in a browser that is logged in", async () => {
  const before = await lamp();
  const target = `http://127.0.0.1:${port}`;
  const evil = http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<!doctype html><title>evil</title><iframe id="frame" src="${target}/"></iframe>
      <script>var included = "no";</script><script src="${target}/app.js" onload="included='yes'" onerror="included='refused'"></script>
      <form id="form" method="post" action="${target}/v1/shutdown" enctype="text/plain" target="sink"><input name="a"></form><iframe name="sink"></iframe>`);
  });
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  try {
    const visitor = await page.context().newPage();
    await visitor.goto(`http://127.0.0.1:${evil.address().port}/`);
    await until("the script", () => visitor.evaluate(() => globalThis.included !== "no"));
    assert.equal(await visitor.evaluate(() => globalThis.included), "refused");
    const framed = visitor.frames().find((frame) => frame.url().startsWith(target));
    assert.equal(framed ? await framed.locator(".card").count() : 0, 0, "nothing to click in the frame");
    await visitor.evaluate(() => document.getElementById("form").submit());
    const sent = await visitor.evaluate(async (target) => {
      const tries = [
        fetch(`${target}/v1/resources/kitchen/lamp`, { method: "PUT", credentials: "include", headers: { "x-tutti-console": "1" }, body: '{"value":77}' }),
        fetch(`${target}/v1/device`, { credentials: "include" }),
        fetch(`${target}/v1/shutdown`, { method: "POST", mode: "no-cors", credentials: "include" }),
      ];
      return Promise.all(tries.map((one) => one.then((answer) => answer.type, () => "refused")));
    }, target);
    assert.deepEqual(sent.slice(0, 2), ["refused", "refused"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await lamp(), before);
    await visitor.close();
  } finally {
    evil.closeAllConnections();
    evil.close();
  }
});

test("every answer carries a strict policy", async () => {
  for (const [path, headers] of [["/", {}], ["/app.js", {}], ["/v1/device", pass], ["/v1/device", {}], ["/nothing", pass]]) {
    const { headers: got } = await ask("GET", path, headers);
    const policy = got["content-security-policy"];
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"])
      assert.ok(policy.includes(part), `${path}: ${part}`);
    assert.ok(!/unsafe/.test(policy));
    assert.equal(got["x-frame-options"], "DENY");
    assert.equal(got["x-content-type-options"], "nosniff");
    assert.equal(got["cross-origin-resource-policy"], "same-origin");
    assert.equal(got["referrer-policy"], "no-referrer");
  }
});

test("XSS: what others call their things stays text, and injected script does not run", async () => {
  await kitchen.ask("PUT", "/v1/offers/note", { kind: "sensor", value: `<img src=x onerror="globalThis.hacked = 1">`, unit: `"><b>x</b>` });
  await page.locator('li[data-resource="kitchen/note"]').waitFor();
  await page.locator('li[data-resource="kitchen/note"] a.name').click();
  await page.getByRole("heading", { name: "note" }).waitFor();
  const refused = await page.evaluate(() => {
    const script = document.createElement("script");
    try {
      script.textContent = "globalThis.hacked = 1";
      document.body.append(script);
    } catch {
      return "by trusted types";
    }
    return globalThis.hacked ?? "by the policy";
  });
  assert.match(String(refused), /^by/);
  assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
  await kitchen.ask("DELETE", "/v1/offers/note");
});

test("the cookie is out of a script's reach", async () => {
  assert.equal(await page.evaluate(() => document.cookie), "");
});

test("a console makes no links, and a link that is not whole is refused", async () => {
  assert.equal(await code(ask("POST", "/v1/console", pass, "{}")), "not-allowed");
  for (const body of ["", "{}", '{"token":"xyz"}', "[".repeat(500)])
    assert.equal(await code(ask("POST", "/login", { "x-tutti-console": "login" }, body)), "bad-request", body.slice(0, 20));
  const wrong = JSON.stringify({ token: "0".repeat(64) });
  assert.equal(await code(ask("POST", "/login", { "x-tutti-console": "login" }, wrong)), "unauthorized");
  assert.equal((await ask("POST", "/login", { "x-tutti-console": "login" }, "x".repeat(5000))).status, 413);
});

test("logging out ends streams that are open", async () => {
  const events = await new Promise((resolve, reject) => {
    http.get({ host: "127.0.0.1", port, path: "/v1/events", headers: pass, agent: false }, resolve).on("error", reject);
  });
  await new Promise((resolve) => events.once("data", resolve));
  const ended = new Promise((resolve) => events.once("close", resolve));
  events.resume();
  assert.equal((await ask("POST", "/logout", pass)).status, 204);
  await Promise.race([ended, new Promise((_, reject) => setTimeout(() => reject(new Error("it goes on")), 3000).unref())]);
  assert.equal((await ask("GET", "/v1/device", pass)).status, 401);
});
