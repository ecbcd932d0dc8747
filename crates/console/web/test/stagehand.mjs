// A server that has the shape of a device's control API, for what real devices do not show on demand: an app in each of its
// states, and moves that take as long as a test wants.
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { root } from "./harness.mjs";

const TYPES = { "/": "text/html", "/app.js": "text/javascript", "/app.css": "text/css", "/icon.svg": "image/svg+xml" };
const hex = (n) => n.toString(16).padStart(64, "0");
const NAMES = ["kitchen", "studio", "attic", "shed"];

const device = (name, n) => ({
  id: hex(n + 1), name, kind: "board", architecture: "aarch64", os: "Debian", profile: "standard", software: "0.1.0", role: "owner",
  presence: n === 0 ? "self" : name === "shed" ? "offline" : "online", resources: 0, last_seen_ms_ago: 100,
});

const app = (name, more = {}) => ({
  name, version: "0.1.0", about: `What ${name} is for`, author: hex(77), digest: hex(78), size: 45_000, here: true, icon: false,
  wants: [{ name: "screen", kind: "display", required: true, granted: true }], memory_kib: 1024, cpu: 20, floor: "0.1.0", granted_by: hex(1),
  granted_at: Date.now(), instances: 1, ...more,
});

export const instance = (n, app, at, state, more = {}) => ({
  id: n.toString(16).repeat(32).slice(0, 32), app, version: "0.1.0", device: hex(at + 1), device_name: NAMES[at], state, branch: 0, epoch: 1, events: 7,
  restarts: 0, memory: 131_072, bound: [{ want: "screen", resource: "kitchen/screen" }], ...more,
});

/** `asked` is called with what the page does: "POST /v1/instances/…/move", and the body. It may give an answer. */
export async function serve(asked) {
  const state = {
    apps: [app("sketch"), app("counter"), app("daily", { size: 18e6, obstacle: "it cannot be moved while it runs: its memory is not its own" })],
    instances: [
      instance(1, "sketch", 0, "running"),
      instance(2, "counter", 1, "waiting", { waiting_for: "attic" }),
      instance(3, "daily", 1, "running"),
      instance(4, "counter", 2, "failed", { reason: "the app was ended: it took too long over one event", bound: [] }),
      instance(5, "sketch", 3, "away"),
    ],
  };
  const readers = new Set();
  const tell = (reader, event, body) => reader.write(`event: ${event}\ndata: ${JSON.stringify(body)}\n\n`);
  const server = http.createServer(async (request, answer) => {
    const path = request.url.split("?")[0];
    if (TYPES[path]) {
      answer.setHeader("content-type", TYPES[path]);
      return answer.end(readFileSync(join(root, "dist", path === "/" ? "index.html" : path)));
    }
    const json = (body, status = 200) => answer.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (path === "/login") return json({ key: "0", expires_in_ms: 1e6 });
    if (path === "/v1/device") return json({ id: hex(1), name: "kitchen", version: "0.1.0", uptime_ms: 1, addresses: [], api: {} });
    if (path === "/v1/events" || path.endsWith("/log/follow")) {
      answer.setHeader("content-type", "text/event-stream");
      if (path !== "/v1/events") {
        for (const [number, level, text] of [[1, "system", "it begins"], [2, "info", "a line is drawn"], [3, "warn", "the sheet is full"]])
          tell(answer, "line", { number, at: Date.now(), level, text });
        return;
      }
      tell(answer, "group", { id: hex(9), role: "owner", members: NAMES.length, alone: false });
      tell(answer, "devices", NAMES.map(device));
      tell(answer, "resources", []);
      tell(answer, "apps", state);
      readers.add(answer);
      return request.on("close", () => readers.delete(answer));
    }
    let body = "";
    for await (const part of request) body += part;
    const said = asked(`${request.method} ${path}`, body && path !== "/v1/apps" ? JSON.parse(body) : body);
    if (said === undefined) return json({ error: { code: "no-such-route", message: `there is no ${path}`, hint: "" } }, 404);
    if (said.error) return json(said, 409);
    json(said);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/#login=${"0".repeat(64)}`,
    hex,
    state,
    /** Changes an instance, and tells the page. */
    change(id, more) {
      state.instances = state.instances.map((one) => (one.id === id ? { ...one, ...more } : one));
      readers.forEach((reader) => tell(reader, "apps", state));
    },
    end() {
      server.closeAllConnections();
      server.close();
    },
  };
}
