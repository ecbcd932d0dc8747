// The pool: the map, and below it a card for each device, searched, filtered and grouped.
import { computed, signal, useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Icon, useGrowing, useVisible } from "../parts/bits";
import { switches, Toggle } from "../parts/control";
import { Spark } from "../parts/spark";
import { ago, show } from "../format";
import { connected, devices, type DeviceCell, type ResourceCell } from "../store";
import { texts } from "../texts";
import { Topology } from "./topology";

/** How many resources a card shows; its page shows all. */
const ON_CARD = 5;

/** How many cards of each group are made in one go; the next follow with the next frame. */
const CARDS_AT_ONCE = 12;

type Grouping = "none" | "kind" | "presence" | "role";

const search = signal("");
const kind = signal("");
const presence = signal("");
const grouping = signal<Grouping>("none");

const shown = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = kind.value;
  return devices.value.filter((cell) => {
    if (presence.value) {
      const away = cell.device.value.presence === "offline";
      if (away !== (presence.value === "away")) return false;
    }
    if (wanted && !cell.resources.value.some((resource) => resource.description.value.kind === wanted)) return false;
    if (words.length === 0) return true;
    const { name, kind, architecture, os, id } = cell.device.value;
    const resources = cell.resources.value.map((resource) => resource.description.value.name);
    const text = [name, kind, architecture, os, id, ...resources].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
});

const groups = computed(() => {
  const by = grouping.value;
  if (by === "none") return [{ name: "", cells: shown.value }];
  const found = new Map<string, DeviceCell[]>();
  for (const cell of shown.value) {
    const device = cell.device.value;
    const name =
      by === "kind" ? device.kind || texts.pool.other
      : by === "presence" ? texts.device.presence[device.presence]!
      : texts.device.role[device.role ?? ""] ?? texts.pool.other;
    found.set(name, [...(found.get(name) ?? []), cell]);
  }
  return [...found].map(([name, cells]) => ({ name, cells })).sort((a, b) => a.name.localeCompare(b.name));
});

const here = computed(() => devices.value.filter((cell) => cell.device.value.presence !== "offline").length);

export function Pool() {
  const filtered = search.value || kind.value || presence.value;
  const room = useGrowing(devices.value.length, CARDS_AT_ONCE);
  return (
    <>
      <div class="page-head">
        <h1>{texts.pool.title}</h1>
        <p class="faint" id="summary">{texts.pool.summary(here.value, devices.value.length)}</p>
      </div>
      {!connected.value && devices.value.length === 0 && <p class="faint">{texts.loading}</p>}
      <Topology />
      {devices.value.length === 1 && (
        <p class="empty"><strong>{texts.pool.alone}</strong> {texts.pool.aloneHint} <a href="#/pair">{texts.nav.pair}</a></p>
      )}
      <div class="toolbar" role="search">
        <input type="search" placeholder={texts.pool.search} aria-label={texts.pool.search} value={search}
          onInput={(event) => (search.value = event.currentTarget.value)} />
        <select aria-label={texts.pool.kind} value={kind} onChange={(event) => (kind.value = event.currentTarget.value)}>
          <option value="">{texts.pool.anyKind}</option>
          {Object.entries(texts.kind).map(([word, name]) => <option key={word} value={word}>{name}</option>)}
        </select>
        <select aria-label={texts.pool.presence} value={presence}
          onChange={(event) => (presence.value = event.currentTarget.value)}>
          <option value="">{texts.pool.anyPresence}</option>
          <option value="here">{texts.device.presence.online}</option>
          <option value="away">{texts.device.presence.offline}</option>
        </select>
        <label class="inline">
          {texts.pool.group}
          <select value={grouping} onChange={(event) => (grouping.value = event.currentTarget.value as Grouping)}>
            {Object.entries(texts.pool.groups).map(([word, name]) => <option key={word} value={word}>{name}</option>)}
          </select>
        </label>
      </div>
      <p class="visually-hidden" role="status">{filtered ? texts.pool.matches(shown.value.length) : ""}</p>
      {shown.value.length === 0 && devices.value.length > 0 && (
        <p class="empty"><strong>{texts.pool.nothing}</strong> {texts.pool.nothingHint}</p>
      )}
      {groups.value.map(({ name, cells }) => (
        <section key={name} aria-label={name || texts.pool.title}>
          {name && <h2 class="group">{name} <span class="count">{cells.length}</span></h2>}
          <ul class="cards">
            {cells.slice(0, room).map((cell) => <Card key={cell.device.peek().id} cell={cell} Heading={name ? "h3" : "h2"} />)}
          </ul>
        </section>
      ))}
    </>
  );
}

function Card({ cell, Heading }: { cell: DeviceCell; Heading: "h2" | "h3" }) {
  const box = useRef<HTMLLIElement>(null);
  const visible = useVisible(box);
  const device = cell.device.value;
  const count = cell.resources.value.length;
  return (
    <li ref={box} class={`card ${device.presence}`} data-device={device.name}>
      <div class="card-head">
        <span class="badge"><Icon name={device.kind} /></span>
        <div class="grow">
          <Heading class="card-name"><a href={`#/device/${device.id}`}>{device.name}</a></Heading>
          <p class="faint line">{[device.kind, device.architecture].filter(Boolean).join(" · ")}</p>
        </div>
        {visible && <Presence cell={cell} />}
      </div>
      {visible ? <Resources cell={cell} /> : <div class={`room room-${Math.min(count, ON_CARD + 1)}`} />}
    </li>
  );
}

export function Presence({ cell }: { cell: DeviceCell }) {
  const device = cell.device.value;
  const away = device.presence === "offline";
  const seen = device.last_seen_ms_ago;
  const word =
    device.presence === "self" ? texts.device.me
    : away && typeof seen === "number" ? texts.device.away(ago(seen))
    : texts.device.presence[device.presence];
  return (
    <p class={`presence ${device.presence}`}>
      <span class="dot" aria-hidden="true" />
      {word}
      {!away && device.presence !== "self" && <Latency cell={cell} />}
    </p>
  );
}

function Latency({ cell }: { cell: DeviceCell }) {
  const text = useComputed(() => (cell.rtt.value === undefined ? "" : texts.device.latency(cell.rtt.value)));
  return <span class="latency"><span class="visually-hidden">{texts.device.latencyLabel}: </span>{text}</span>;
}

/** What people look for comes first. */
const ORDER = ["actuator", "sensor", "display", "input", "camera", "microphone", "speaker", "storage", "compute", "inference"];

export function ordered(cells: ResourceCell[]): ResourceCell[] {
  const rank = (cell: ResourceCell) => (ORDER.indexOf(cell.description.value.kind) + 20) % 20;
  return [...cells].sort((a, b) => rank(a) - rank(b));
}

function Resources({ cell }: { cell: DeviceCell }) {
  const all = ordered(cell.resources.value);
  const rest = all.length - ON_CARD;
  if (all.length === 0) return <p class="faint none">{texts.device.noResources}</p>;
  return (
    <>
      <ul class="resources">{all.slice(0, ON_CARD).map((one) => <Row key={one.description.peek().name} cell={one} />)}</ul>
      {rest > 0 && <a class="more" href={`#/device/${cell.device.value.id}`}>{texts.device.more(rest)}</a>}
    </>
  );
}

/** One resource. Only what is drawn of its value follows the value: the row itself is not made anew for it. */
export function Row({ cell }: { cell: ResourceCell }) {
  const resource = cell.description.value;
  const sort = useComputed(() => typeof cell.state.value?.value);
  const holder = useComputed(() => cell.state.value?.lease?.holder_name);
  const drives = useComputed(() => switches(cell.description.value, cell.state.value?.value));
  const text = useComputed(() => {
    const value = cell.state.value?.value;
    return value === undefined ? "" : show(value, cell.description.value.unit);
  });
  return (
    <li data-resource={resource.id}>
      <Icon name={resource.kind} />
      <a class="name" href={`#/resource/${resource.device}/${encodeURIComponent(resource.name)}`}>{resource.name}</a>
      {holder.value && <span class="tag" title={texts.resource.held(holder.value)}>{texts.resource.held(holder.value)}</span>}
      {resource.simulated && <abbr class="faint" title={texts.resource.simulated}>{texts.resource.sim}</abbr>}
      {sort.value === "number" && <Spark cell={cell} />}
      <span class="value">{text}</span>
      {drives.value && <Toggle cell={cell} />}
    </li>
  );
}
