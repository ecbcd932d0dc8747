// The control API: requests, refusals, and streams of events.
//
// Streams are read with `fetch`, since an EventSource can neither send the key nor do a PUT.
import type { components } from "./api.gen";
import { texts } from "./texts";

type Schemas = components["schemas"];
export type Device = Schemas["Device"];
export type DeviceInfo = Schemas["DeviceInfo"];
export type GroupInfo = Schemas["GroupInfo"];
export type Resource = Schemas["Resource"];
export type ResourceState = Schemas["ResourceState"];
export type NearbyDevice = Schemas["NearbyDevice"];
export type PairingStatus = Schemas["PairingStatus"];
export type PairingOffer = Schemas["PairingOffer"];
export type Joined = Schemas["Joined"];
export type Lease = Schemas["Lease"];
export type Happening = Schemas["Happening"];
export type History = Schemas["History"];
export type Check = Schemas["Check"];
export type Core = Schemas["Core"];
export type CoreCrash = Schemas["CoreCrash"];
export type CoreAction = "start" | "stop" | "restart" | "suspend" | "resume" | "attach" | "detach";
export type App = Schemas["App"];
export type AppInstance = Schemas["AppInstance"];
export type AppsState = Schemas["AppsState"];
export type MemoryMap = Schemas["MemoryMap"];
export type MemoryBlock = Schemas["MemoryBlock"];
export type ScreenFrame = Schemas["ScreenFrame"];
export type StorageList = Schemas["StorageList"];
export type Controlled = Schemas["Controlled"];
export type Reading = Schemas["Reading"];
export type Value = Schemas["Value"];
export type Role = Schemas["Role"];

const KEY = "tutti-console-key";
const HEADER = "x-tutti-console";

/** A refusal, in the API's words. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

let onLoggedOut = () => {};
/** What to do when the device says that this browser is not logged in. */
export function whenLoggedOut(act: () => void) {
  onLoggedOut = act;
}

export function hasKey(): boolean {
  return localStorage.getItem(KEY) !== null;
}

/** What lets a browser in: the token of a link, or the code that may be typed instead. */
export type Word = { token: string } | { code: string };

/** Exchanges it for a session. */
export async function logIn(word: Word): Promise<void> {
  const answer = await send("POST", "/login", JSON.stringify(word), { [HEADER]: "login" });
  const { key } = (await answer.json()) as { key: string };
  localStorage.setItem(KEY, key);
}

export async function logOut(): Promise<void> {
  await send("POST", "/logout").catch(() => undefined);
  localStorage.removeItem(KEY);
  onLoggedOut();
}

async function send(method: string, path: string, body?: BodyInit, extra: Record<string, string> = {}, signal?: AbortSignal) {
  const headers: Record<string, string> = { [HEADER]: localStorage.getItem(KEY) ?? "", ...extra };
  if (typeof body === "string") headers["content-type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, { method, body, headers, signal, credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, "network", texts.error.network, texts.error.networkHint);
  }
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))) as Partial<Schemas["ErrorBody"]>;
  const { code = "unknown", message = answer.statusText, hint = "" } = said.error ?? {};
  if (answer.status === 401 && path !== "/login") {
    localStorage.removeItem(KEY);
    onLoggedOut();
  }
  throw new Refusal(answer.status, code, message, hint);
}

async function json<T>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await send(method, path, body === undefined ? undefined : JSON.stringify(body));
  return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T);
}

const at = (...parts: string[]) => `/v1/${parts.map(encodeURIComponent).join("/")}`;
const filePath = (path: string) => path.split("/").map(encodeURIComponent).join("/");

export const api = {
  device: () => json<DeviceInfo>("GET", "/v1/device"),
  rename: (name: string) => json<DeviceInfo>("PATCH", "/v1/device", { name }),
  forget: (device: string) => json<void>("DELETE", at("devices", device)),
  setRole: (device: string, role: Role) => json<void>("PUT", at("devices", device, "role"), { role }),
  offerPairing: (role: Role) => json<PairingOffer>("POST", "/v1/pairing", { role }),
  cancelPairing: () => json<void>("DELETE", "/v1/pairing"),
  join: (how: { device: string; code: string } | { ticket: string }) => json<Joined>("POST", "/v1/join", how),
  leave: () => json<GroupInfo>("POST", "/v1/group/leave"),
  read: (device: string, name: string) => json<Reading>("GET", at("resources", device, name)),
  set: (device: string, name: string, value: Value) => json<Controlled>("PUT", at("resources", device, name), { value }),
  history: (device: string, name: string) => json<History>("GET", `${at("resources", device, name)}/history`),
  takeLease: (resource: string, duration_ms: number) => json<Lease>("POST", "/v1/leases", { resource, duration_ms }),
  releaseLease: (id: string) => json<void>("DELETE", at("leases", id)),
  offer: (name: string, offer: Schemas["OfferRequest"]) => json<void>("PUT", at("offers", name), offer),
  withdraw: (name: string) => json<void>("DELETE", at("offers", name)),
  files: (device: string, name: string) => json<StorageList>("GET", at("storage", device, name)),
  removeFile: (device: string, name: string, path: string) =>
    json<void>("DELETE", `${at("storage", device, name)}/${filePath(path)}`),
  storeFile: async (device: string, name: string, file: File) => {
    await send("PUT", `${at("storage", device, name)}/${filePath(file.name)}`, file);
  },
  fetchFile: async (device: string, name: string, path: string) =>
    (await send("GET", `${at("storage", device, name)}/${filePath(path)}`)).blob(),
  act: (core: string, action: CoreAction) => json<Core>("POST", at("cores", core, "do", action), {}),
  dump: async (core: string) => (await send("GET", `${at("cores", core)}/dump`)).blob(),
  install: async (file: File) => (await (await send("POST", "/v1/apps", file)).json()) as App,
  removeApp: (app: string) => json<void>("DELETE", at("apps", app)),
  run: (app: string, on?: string) => json<AppInstance>("POST", at("apps", app, "run"), { on }),
  moveInstance: (id: string, to: string) => json<AppInstance>("POST", at("instances", id, "move"), { to }),
  cancelMove: (id: string) => json<AppInstance>("DELETE", at("instances", id, "move")),
  stopInstance: (id: string) => json<AppInstance>("POST", at("instances", id, "stop")),
  startInstance: (id: string) => json<AppInstance>("POST", at("instances", id, "start")),
  endInstance: (id: string) => json<void>("DELETE", at("instances", id)),
  memoryMap: () => json<MemoryMap>("GET", "/v1/memory-map"),
  checks: () => json<Check[]>("GET", "/v1/doctor"),
};

export const streams = {
  changes: (signal: AbortSignal, take: Take) =>
    stream("GET", "/v1/events?values=apart&timeline=yes&cores=yes&apps=yes", undefined, signal, take),
  frames: (name: string, signal: AbortSignal, take: Take) =>
    stream("GET", `${at("screens", name)}/frames`, undefined, signal, take),
  coreLog: (core: string, signal: AbortSignal, take: Take) =>
    stream("GET", `${at("cores", core)}/log/follow`, undefined, signal, take),
  instanceLog: (id: string, signal: AbortSignal, take: Take) =>
    stream("GET", `${at("instances", id)}/log/follow`, undefined, signal, take),
  openScreen: (name: string, columns: number, rows: number, signal: AbortSignal, take: Take) =>
    stream("PUT", at("screens", name), JSON.stringify({ columns, rows, width: 800, height: 600 }), signal, take),
};

type Take = (event: string, data: string) => void;

/** The longest event that is taken, in characters; the device has bounds of its own far below. */
const LONGEST = 16 << 20;

/** What is large among events, in characters. */
const LARGE = 20_000;

/** The longest silence: three of the device's signs of life. */
const SILENCE = 45_000;

/** Reads server-sent events until the stream ends or breaks. */
async function stream(method: string, path: string, body: string | undefined, signal: AbortSignal, take: Take) {
  const silent = new AbortController();
  const answer = await send(method, path, body, {}, AbortSignal.any([signal, silent.signal]));
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let watch = setTimeout(() => silent.abort(), SILENCE);
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(() => silent.abort(), SILENCE);
      let from = Math.max(0, rest.length - 1);
      rest += value;
      let end: number;
      while ((end = rest.indexOf("\n\n", from)) >= 0) {
        from = 0;
        const block = rest.slice(0, end);
        rest = rest.slice(end + 2);
        let event = "message";
        const data: string[] = [];
        for (const line of block.split("\n")) {
          if (line.startsWith("event:")) event = line.slice(6).trim();
          else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
        }
        take(event, data.join("\n"));
        // After a large one others have their turn first.
        if (block.length > LARGE) await new Promise((resolve) => setTimeout(resolve));
      }
      if (rest.length > LONGEST) throw new Refusal(0, "too-large", texts.error.network, texts.error.networkHint);
    }
  } finally {
    clearTimeout(watch);
    reader.cancel().catch(() => undefined);
  }
}
