// The map: this device in the middle, the others around it on one ring or several, satellites beyond their host. A link
// is drawn for each device that can be reached, with its round trip.
import { useComputed } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { useGrowing, useWidth } from "../parts/bits";
import { devices, type DeviceCell } from "../store";
import { texts } from "../texts";

/** Up to so many devices, each has its name and its round trip beside it; beyond, only when pointed at. */
const ROOMY = 26;

type Place = { cell: DeviceCell; x: number; y: number; from: { x: number; y: number }; ring: number };

export function Topology() {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box) || 800;
  const cells = devices.value;
  const height = cells.length <= 1 ? 120 : width < 560 ? 300 : cells.length > ROOMY ? 380 : cells.length < 4 ? 220 : 290;
  const places = useMemo(() => layOut(cells, width, height), [cells, width, height]);
  const roomy = cells.length <= (width < 560 ? 8 : ROOMY);
  const room = useGrowing(places.length, 30);
  const myself = cells.find((cell) => cell.device.peek().presence === "self");
  const middle = { x: width / 2, y: height / 2 };
  return (
    <div ref={box} class={roomy ? "topology" : "topology dense"}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group"
        aria-label={texts.pool.topologyAlt(Math.max(0, cells.length - 1))}>
        {places.slice(0, room).map((place) => <Link key={place.cell.device.peek().id} place={place} roomy={roomy} />)}
        {places.slice(0, room).map((place) => <Node key={place.cell.device.peek().id} place={place} roomy={roomy} />)}
        {myself && <Node place={{ cell: myself, ...middle, from: middle, ring: 0 }} roomy={true} me />}
      </svg>
    </div>
  );
}

function layOut(cells: DeviceCell[], width: number, height: number): Place[] {
  const middle = { x: width / 2, y: height / 2 };
  const all = cells.filter((cell) => cell.device.peek().presence !== "self");
  const direct = all.filter((cell) => !cell.device.peek().via);
  const places: Place[] = [];
  // Rings of an ellipse, each with as many as its length has room for in comparison with the others.
  const dense = direct.length > ROOMY;
  const rings = dense ? Math.ceil(direct.length / (width / 14)) : 1;
  const parts = Array.from({ length: rings }, (_, ring) => (rings === 1 ? 1 : 0.5 + (0.5 * ring) / (rings - 1)));
  const whole = parts.reduce((sum, part) => sum + part, 0);
  let left = direct.length;
  const sizes = parts.map((part, ring) => {
    const size = ring === rings - 1 ? left : Math.min(left, Math.round((direct.length * part) / whole));
    left -= size;
    return size;
  });
  let at = 0;
  sizes.forEach((size, ring) => {
    const part = parts[ring]!;
    // Few devices stay near each other.
    const reach = dense ? width / 2 - 24 : Math.min(width / 2 - 74, 170 + 60 * size);
    const [rx, ry] = [reach * part, (height / 2 - 38) * part];
    for (let n = 0; n < size; n += 1, at += 1) {
      // None straight above or below the middle, where its link would run through a name.
      const turn = size % 4 === 0 || ring % 2 ? 0.5 : 0;
      const angle = even((n + turn) / size, rx / ry);
      const spot = { x: middle.x + rx * Math.cos(angle), y: middle.y + ry * Math.sin(angle) };
      places.push({ cell: direct[at]!, ...spot, from: middle, ring });
    }
  });
  // Satellites hang from their host, outwards.
  const hanging = new Map<string, number>();
  for (const cell of all.filter((cell) => cell.device.peek().via)) {
    const via = cell.device.peek().via!;
    const host = places.find((place) => place.cell.device.peek().id === via) ?? { ...middle, from: middle };
    const count = (hanging.get(via) ?? 0) + 1;
    hanging.set(via, count);
    // Those of this device hang above it, where no name is in the way.
    const out = host.x === middle.x && host.y === middle.y ? -Math.PI / 2 : Math.atan2(host.y - middle.y, host.x - middle.x);
    const away = out + (count - 1) * 0.7;
    const spot = { x: host.x + 46 * Math.cos(away), y: host.y + 46 * Math.sin(away) };
    places.push({ cell, ...spot, from: { x: host.x, y: host.y }, ring: 0 });
  }
  return places;
}

/** The angle at which a part of an ellipse's length has passed; near enough for the eye. */
function even(part: number, stretch: number): number {
  const angle = 2 * Math.PI * part;
  // On a flat ellipse equal angles crowd at its ends: they are spread by half of what the stretch does to them.
  return angle + 0.5 * (1 - 1 / Math.max(1, stretch)) * Math.sin(2 * angle) * 0.5;
}

function Link({ place, roomy }: { place: Place; roomy: boolean }) {
  const { cell, x, y, from } = place;
  const state = useComputed(() => `link ${cell.device.value.presence}`);
  const latency = useComputed(() => {
    const rtt = cell.rtt.value;
    return roomy && rtt !== undefined ? texts.device.latency(rtt) : "";
  });
  return (
    <g class={state} aria-hidden="true">
      <line x1={from.x} y1={from.y} x2={x} y2={y} />
      {roomy && <text x={from.x + (x - from.x) * 0.55} y={from.y + (y - from.y) * 0.55 - 5} text-anchor="middle">{latency}</text>}
    </g>
  );
}

function Node({ place, roomy, me }: { place: Place; roomy: boolean; me?: boolean }) {
  const { cell, x, y } = place;
  const device = cell.device.value;
  const size = me ? 17 : roomy ? 12 : 6;
  const state = me ? texts.device.me : texts.device.presence[device.presence];
  return (
    <a class={`node ${device.presence}`} href={`#/device/${device.id}`} aria-label={`${device.name}, ${state}`}>
      <circle cx={x} cy={y} r={Math.max(size + 6, 12)} class="halo" />
      <circle cx={x} cy={y} r={size} class="body" />
      <text class="name" x={x} y={y + size + 16} text-anchor="middle">{device.name}</text>
    </a>
  );
}
