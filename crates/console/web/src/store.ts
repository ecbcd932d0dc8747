// The pool as the page knows it.
//
// One signal for each device and each resource: a value that changes touches the text and the line that show it and
// nothing else, so that 2,000 changing values cost what the few in sight cost.
import { batch, computed, signal, type Signal } from "@preact/signals";
import {
  api, hasKey, Refusal, streams, whenLoggedOut,
  type AppsState, type Core, type Device, type DeviceInfo, type GroupInfo, type Happening, type Lease, type NearbyDevice, type PairingStatus,
  type Resource, type ResourceState,
} from "./api";
import { numeric } from "./format";

/** How many recent values of each resource are kept for its sparkline. */
export const RECENT = 40;

export class ResourceCell {
  readonly description: Signal<Resource>;
  readonly state = signal<ResourceState | undefined>(undefined);
  /** Recent values, the oldest first; `drawn` grows with each. */
  readonly recent: number[] = [];
  readonly drawn = signal(0);

  constructor(description: Resource) {
    this.description = signal(description);
  }

  take(state: ResourceState) {
    this.state.value = state;
    const value = numeric(state.value);
    if (value === undefined) return;
    this.recent.push(value);
    if (this.recent.length > RECENT) this.recent.shift();
    this.drawn.value += 1;
  }
}

/** Bytes a second to a device and from it. */
export type Flow = { to: number; from: number };

export class DeviceCell {
  /** What it is, but for what changes all the time. */
  readonly device: Signal<Device>;
  /** The round trip in milliseconds. */
  readonly rtt: Signal<number | undefined>;
  /** What the link carries now. */
  readonly flow = signal<Flow | undefined>(undefined);
  private counted?: { at: number; sent: number; received: number };
  readonly resources = signal<ResourceCell[]>([]);

  constructor(device: Device) {
    this.device = signal(device);
    this.rtt = signal(device.rtt_ms ?? undefined);
    this.measure(device);
  }

  /** Takes what was measured on the link. The flow is that of the last second or more. */
  measure(device: Device, now = performance.now()) {
    this.rtt.value = device.rtt_ms ?? undefined;
    const { sent, received } = device.traffic ?? {};
    if (sent === undefined || received === undefined) {
      this.counted = undefined;
      this.flow.value = undefined;
      return;
    }
    const before = this.counted;
    if (before && now - before.at < 1000) return;
    this.counted = { at: now, sent, received };
    // A new connection counts from nothing.
    if (!before || sent < before.sent || received < before.received) return;
    const seconds = (now - before.at) / 1000;
    this.flow.value = { to: (sent - before.sent) / seconds, from: (received - before.received) / seconds };
  }
}

export const loggedIn = signal(hasKey());
export const connected = signal(false);
export const me = signal<DeviceInfo | undefined>(undefined);
export const group = signal<GroupInfo | undefined>(undefined);
export const devices = signal<DeviceCell[]>([]);
export const nearby = signal<NearbyDevice[]>([]);
export const pairing = signal<PairingStatus | undefined>(undefined);
export const pairingHeard = signal(0);
export const leases = signal<Lease[]>([]);
export const timeline = signal<Happening[]>([]);
export const cores = signal<Core[] | undefined>(undefined);
export const apps = signal<AppsState | undefined>(undefined);
export const isOwner = computed(() => group.value?.role === "owner");

const cells = new Map<string, DeviceCell>();
const resources = new Map<string, ResourceCell>();
const key = (device: string, name: string) => `${device}/${name}`;

export const deviceCell = (id: string) => (devices.value, cells.get(id));
export const resourceCell = (device: string, name: string) => {
  cells.get(device)?.resources.value;
  return resources.get(key(device, name));
};

/** Whether two states of a device differ in no more than what its link measures, and the time that it was last heard. */
function same(a: Device, b: Device): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)] as (keyof Device)[]);
  for (const key of keys) {
    if (key === "rtt_ms" || key === "traffic" || (key === "last_seen_ms_ago" && b.presence !== "offline")) continue;
    if (a[key] !== b[key]) return false;
  }
  return true;
}

function takeDevices(all: Device[]) {
  let shape = all.length !== cells.size;
  const ids = new Set(all.map((device) => device.id));
  for (const id of cells.keys()) {
    if (!ids.has(id)) {
      cells.delete(id);
      shape = true;
    }
  }
  for (const device of all) {
    const cell = cells.get(device.id);
    if (!cell) {
      cells.set(device.id, new DeviceCell(device));
      shape = true;
    } else {
      cell.measure(device);
      if (!same(cell.device.peek(), device)) {
        shape ||= cell.device.peek().name !== device.name;
        cell.device.value = device;
      }
    }
  }
  if (shape) devices.value = all.map((device) => cells.get(device.id)!);
}

function takeResources(all: Resource[]) {
  const fresh = new Map<string, ResourceCell[]>();
  const keys = new Set<string>();
  for (const resource of all) {
    const id = key(resource.device, resource.name);
    keys.add(id);
    let cell = resources.get(id);
    if (!cell) {
      cell = new ResourceCell(resource);
      resources.set(id, cell);
    } else if (JSON.stringify(cell.description.peek()) !== JSON.stringify(resource)) {
      cell.description.value = resource;
    }
    const list = fresh.get(resource.device);
    if (list) list.push(cell);
    else fresh.set(resource.device, [cell]);
  }
  for (const id of resources.keys()) if (!keys.has(id)) resources.delete(id);
  for (const [id, cell] of cells) {
    const list = fresh.get(id) ?? [];
    const old = cell.resources.peek();
    if (list.length !== old.length || list.some((one, at) => one !== old[at])) cell.resources.value = list;
  }
}

function take(event: string, data: string) {
  const body = JSON.parse(data);
  batch(() => {
    switch (event) {
      case "group": group.value = body; break;
      case "devices": takeDevices(body); break;
      case "nearby": nearby.value = body; break;
      case "resources": takeResources(body); break;
      case "values":
        for (const state of body as ResourceState[]) resources.get(key(state.device, state.name))?.take(state);
        break;
      case "leases": leases.value = body; break;
      case "pairing": pairing.value = body; pairingHeard.value = performance.now(); break;
      case "timeline": timeline.value = body; break;
      case "cores": cores.value = body; break;
      case "apps": apps.value = body; break;
    }
    connected.value = true;
  });
}

let running: AbortController | undefined;

/** Follows the device until `stop`; comes back by itself after the stream broke. */
export async function start() {
  running?.abort();
  const control = (running = new AbortController());
  let wait = 250;
  while (!control.signal.aborted) {
    try {
      me.value = await api.device();
      await streams.changes(control.signal, (event, data) => {
        wait = 250;
        take(event, data);
      });
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) return;
    }
    connected.value = false;
    if (control.signal.aborted) return;
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, 5000);
  }
}

whenLoggedOut(() => {
  running?.abort();
  loggedIn.value = false;
  connected.value = false;
});
