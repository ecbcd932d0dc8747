// A server that has the shape of a device's control API and shows 200 devices with 2,000 changing values.
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { root } from "./harness.mjs";

const TYPES = { "/": "text/html", "/app.js": "text/javascript", "/app.css": "text/css", "/icon.svg": "image/svg+xml" };
const KINDS = ["laptop", "server", "board", "container"];
const hex = (n) => n.toString(16).padStart(64, "0");

export const DEVICES = 200;
const EACH = 10;

const device = (n) => ({
  id: hex(n + 1), name: n === 0 ? "console" : `device-${String(n).padStart(3, "0")}`, kind: KINDS[n % 4], architecture: n % 3 ? "x86_64" : "aarch64",
  os: "Debian GNU/Linux 13", profile: "standard", software: "0.1.0", role: n % 20 === 0 ? "owner" : "member",
  presence: n === 0 ? "self" : n % 23 === 0 ? "offline" : "online", resources: EACH,
  ...(n > 0 && n % 23 ? { rtt_ms: Math.round(500 + Math.random() * 3000) / 1000, address: `192.0.2.${n}:4433` } : {}), last_seen_ms_ago: 100,
});

const resource = (n, m) => ({
  id: `device-${n}/sensor-${m}`, device: hex(n + 1), device_name: `device-${n}`, name: `sensor-${m}`, kind: m === 0 ? "actuator" : "sensor",
  unit: m % 2 ? "°C" : "%", properties: { min: 0, max: 100 }, access: { read: "guests", control: "members" }, readable: true, writable: m === 0,
  sharing: "shared", simulated: true, online: true,
});

/** Every value changes once a second; what changes is told five times a second, as a device does. */
export async function serve() {
  const walk = Array.from({ length: DEVICES * EACH }, () => 20 + Math.random() * 60);
  const timers = new Set();
  const server = http.createServer((asked, answer) => {
    const path = asked.url.split("?")[0];
    if (TYPES[path]) {
      answer.setHeader("content-type", TYPES[path]);
      return answer.end(readFileSync(join(root, "dist", path === "/" ? "index.html" : path)));
    }
    const json = (body) => answer.setHeader("content-type", "application/json").end(JSON.stringify(body));
    if (path === "/login") return json({ key: "0", expires_in_ms: 1e6 });
    if (path === "/v1/device") return json({ id: hex(1), name: "console", version: "0.1.0", uptime_ms: 1, addresses: [], api: {} });
    if (path !== "/v1/events") return answer.writeHead(404).end("{}");
    answer.setHeader("content-type", "text/event-stream");
    const tell = (event, body) => answer.write(`event: ${event}\ndata: ${JSON.stringify(body)}\n\n`);
    const devices = () => tell("devices", Array.from({ length: DEVICES }, (_, n) => device(n)));
    const values = (part, parts) => {
      const news = [];
      for (let at = part; at < walk.length; at += parts) {
        walk[at] = Math.max(0, Math.min(100, walk[at] + (Math.random() - 0.5) * 4));
        news.push({ device: hex(Math.floor(at / EACH) + 1), name: `sensor-${at % EACH}`, value: Number(walk[at].toFixed(2)), at: Date.now() });
      }
      tell("values", news);
    };
    tell("group", { id: hex(9), role: "owner", members: DEVICES, alone: false });
    devices();
    tell("resources", Array.from({ length: DEVICES * EACH }, (_, at) => resource(Math.floor(at / EACH), at % EACH)));
    values(0, 1);
    let turn = 0;
    const timer = setInterval(() => {
      values(turn % 5, 5);
      if (turn % 5 === 0) devices();
      turn += 1;
    }, 200);
    timers.add(timer);
    asked.on("close", () => clearInterval(timer));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const end = () => {
    timers.forEach(clearInterval);
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/#login=${"0".repeat(64)}`, end };
}
