// The door for browsers of other machines: TLS, a code, and what does not come in.
import assert from "node:assert/strict";
import https from "node:https";
import { after, before, test } from "node:test";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { browser, open, picture, request, Stage } from "./harness.mjs";

const OWN = "tutti-test0";

let stage, chromium, kitchen, origin, made;

const invite = async () => JSON.parse(await kitchen.tutti("console", "--network", "--json"));
const wrongFor = (code) => (code === "000000" ? "000001" : "000000");

before(async () => {
  stage = new Stage();
  [kitchen, chromium] = await Promise.all([stage.start("kitchen", "lamp"), browser()]);
  const first = await invite().catch((error) => {
    if (!/in no network/.test(error.stderr ?? "")) throw error;
    // A machine without one: an interface that leads nowhere is one to whoever asks from here.
    for (const command of [`link add ${OWN} type bridge`, `addr add 198.51.100.1/24 dev ${OWN}`, `link set ${OWN} up`])
      execFileSync("ip", command.split(" "));
    made = true;
    return invite();
  });
  origin = new URL(first.url).origin;
});

after(async () => {
  if (made) execFileSync("ip", ["link", "del", OWN]);
  await chromium?.close();
  stage?.end();
});

/** Asks as any program would, believing whatever certificate there is. */
function ask(method, path, headers = {}, body) {
  const { hostname, port } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, "");
  return request({ host, port, method, path, headers, rejectUnauthorized: false, via: https }, body);
}

const elsewhere = (url) => open(chromium, url, { ignoreHTTPSErrors: true });

test("the certificate is the one whose fingerprint is shown, and stays", async () => {
  const { hostname, port } = new URL(origin);
  const raw = await new Promise((resolve, reject) => {
    const sent = https.get({ host: hostname.replace(/^\[|\]$/g, ""), port, rejectUnauthorized: false, agent: false }, (answer) => {
      resolve(answer.socket.getPeerCertificate().raw);
      answer.resume();
    });
    sent.on("error", reject);
  });
  const shown = (await invite()).network.fingerprint;
  assert.equal(new X509Certificate(raw).fingerprint256, shown);
  await kitchen.tutti("console", "--network", "--shut");
  const again = await invite();
  assert.equal(again.network.fingerprint, shown, "the same certificate after the door was shut");
  origin = new URL(again.url).origin;
});

test("a browser that nobody told of the certificate refuses it", async () => {
  const page = await chromium.newPage();
  await assert.rejects(page.goto(origin), /ERR_CERT_AUTHORITY_INVALID/);
  await page.close();
});

test("a link lets one browser in", async () => {
  const { url } = await invite();
  const page = await elsewhere(url);
  await page.locator(".card").first().waitFor();
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.name, cookie.secure, cookie.httpOnly, cookie.sameSite], ["__Host-tutti-console", true, true, "Strict"]);
  await page.getByRole("switch", { name: "kitchen/lamp" }).waitFor();
  await page.context().close();
});

test("a code lets one browser in, and a wrong one gets a message", async () => {
  const { network } = await invite();
  const page = await elsewhere(origin);
  const field = page.getByLabel("Or type the code, or paste the link here");
  await field.fill("12345");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("neither a code of six digits nor a link").waitFor();
  await field.fill(wrongFor(network.code));
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("the code is wrong").waitFor();
  await picture(page, "network-login");
  await field.fill(`${network.code.slice(0, 3)} ${network.code.slice(3)}`);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator(".card").first().waitFor();
  await page.context().close();
});

test("three wrong codes, also at once, and no code counts any more; the link does", async () => {
  const { url, network } = await invite();
  const login = (word) => ask("POST", "/login", { "x-tutti-console": "login" }, JSON.stringify(word));
  const wrong = Array.from({ length: 20 }, () => login({ code: wrongFor(network.code) }));
  for (const answer of await Promise.all(wrong)) assert.equal(answer.status, 401);
  assert.equal((await login({ code: network.code })).status, 401);
  assert.equal((await login({ token: /login=(\w+)/.exec(url)[1] })).status, 200);
});

test("names that point here, other origins and plain HTTP do not come in", async () => {
  const code = async (answer) => JSON.parse((await answer).text).error.code;
  for (const path of ["/", "/app.js", "/v1/device"])
    assert.equal(await code(ask("GET", path, { host: "evil.example" })), "forbidden-host");
  assert.equal(await code(ask("GET", "/", { origin: "https://evil.example" })), "cross-origin");
  assert.equal(await code(ask("GET", "/", { origin: origin.replace("https", "http") })), "cross-origin");
  assert.equal((await ask("GET", "/v1/device")).status, 401);
  const { hostname, port } = new URL(origin);
  await assert.rejects(request({ host: hostname.replace(/^\[|\]$/g, ""), port, method: "GET", path: "/" }));
});

test("shutting the door ends what is open, and a session of loopback is none there", async () => {
  const page = await elsewhere((await invite()).url);
  await page.locator(".card").first().waitFor();
  await kitchen.tutti("console", "--network", "--shut");
  await assert.rejects(ask("GET", "/"), /ECONNREFUSED/);
  await page.getByText("No connection to the device").waitFor();
  await page.context().close();
  const local = await open(chromium, await kitchen.link());
  await local.locator(".card").first().waitFor();
});
