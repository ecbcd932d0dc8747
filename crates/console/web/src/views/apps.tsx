// Apps: what may run, what runs where, and how it goes elsewhere: dragged from one device to another, or by a menu.
import { computed, signal, useComputed } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, streams, type App, type AppInstance } from "../api";
import { bytes } from "../format";
import { Confirm, ended, Field, Icon, Trouble, useAction } from "../parts/bits";
import { Log } from "../parts/log";
import { apps, devices, isOwner, type DeviceCell } from "../store";
import { texts } from "../texts";

/** How an instance's state is coloured. */
const LOOK: Record<string, string> = { running: "ok", moving: "ok", starting: "ok", failed: "fail" };

/** Devices without instances that are shown before somebody searches. */
const IDLE = 12;

/** What a drag carries, so that nothing else is taken for an instance. */
const SORT = "application/x-tutti-instance";

const search = signal("");

/** The instance that is being dragged. */
const dragged = signal<string | undefined>(undefined);

/** What is said to those who do not see that something moved. */
const told = signal("");

const instancesOf = computed(() => {
  const found = new Map<string, AppInstance[]>();
  for (const one of apps.value?.instances ?? []) found.set(one.device, [...(found.get(one.device) ?? []), one]);
  return found;
});

/** Devices with instances, then others to drop on; all that the search finds. */
const places = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const named = devices.value.filter((cell) => words.every((word) => cell.device.value.name.toLowerCase().includes(word)));
  // Satellites run no apps.
  const able = named.filter((cell) => !cell.device.value.via);
  const busy = able.filter((cell) => instancesOf.value.has(cell.device.value.id));
  const idle = able.filter((cell) => !busy.includes(cell) && cell.device.value.presence !== "offline");
  return { shown: [...busy, ...idle.slice(0, IDLE)], rest: Math.max(0, idle.length - IDLE) };
});

const short = (id: string) => id.slice(0, 6);
const reachable = (cell: DeviceCell) => cell.device.value.presence !== "offline" && !cell.device.value.via;

/** Says where instances have got to. */
function useTelling() {
  const before = useRef(new Map<string, AppInstance>());
  useEffect(() => {
    for (const one of apps.value?.instances ?? []) {
      const old = before.current.get(one.id);
      if (old && old.device !== one.device) told.value = texts.apps.arrived(one.app, one.device_name);
      else if (old?.moving && !one.moving && one.reason) told.value = texts.apps.stayed(one.app, ended(one.reason));
    }
    before.current = new Map((apps.value?.instances ?? []).map((one) => [one.id, one]));
  }, [apps.value]);
}

export function AppsPage() {
  const { error, act } = useAction();
  useTelling();
  const state = apps.value;
  if (!state) return <><div class="page-head"><h1>{texts.apps.title}</h1></div><p class="faint">{texts.loading}</p></>;
  // Instances whose device is not among the devices any more: given up, or waiting for one that was forgotten.
  const known = new Set(devices.value.map((cell) => cell.device.value.id));
  const lost = state.instances.filter((one) => !known.has(one.device));
  const move = (id: string, to: string) => act(async () => void (await api.moveInstance(id, to)));
  return (
    <>
      <div class="page-head"><h1>{texts.apps.title}</h1></div>
      <p class="visually-hidden" role="status">{told}</p>
      <Trouble error={error} />
      <section aria-labelledby="instances">
        <div class="row between">
          <h2 id="instances">{texts.apps.running}</h2>
          {devices.value.length > IDLE && (
            <input type="search" placeholder={texts.apps.search} aria-label={texts.apps.search} value={search}
              onInput={(event) => (search.value = event.currentTarget.value)} />
          )}
        </div>
        {state.instances.length > 0 && <p class="hint">{texts.apps.how}</p>}
        <ul class="cards homes">
          {places.value.shown.map((cell) => <Home key={cell.device.peek().id} cell={cell} onDrop={move} onMove={move} />)}
        </ul>
        {places.value.rest > 0 && <p class="faint">{texts.apps.others(places.value.rest)}</p>}
        {lost.length > 0 && (
          <ul class="instances panel">{lost.map((one) => <Instance key={one.id} one={one} onMove={move} />)}</ul>
        )}
      </section>
      <section class="panel" aria-labelledby="installed">
        <h2 id="installed">{texts.apps.installed}</h2>
        {state.apps.length === 0 && <p>{texts.apps.none} <code>tutti app new</code></p>}
        <ul class="apps">{state.apps.map((app) => <AppRow key={`${app.author} ${app.name}`} app={app} />)}</ul>
        {isOwner.value && <Install />}
      </section>
    </>
  );
}

type Move = (instance: string, device: string) => Promise<void>;

/** A device with what runs on it: drop an instance on it, and it goes on there. */
function Home({ cell, onDrop, onMove }: { cell: DeviceCell; onDrop: Move; onMove: Move }) {
  const device = cell.device.value;
  const [over, setOver] = useState(0);
  const all = useComputed(() => instancesOf.value.get(device.id) ?? []);
  const from = useComputed(() => apps.value?.instances.find((one) => one.id === dragged.value)?.device);
  const takes = dragged.value !== undefined && from.value !== device.id && device.presence !== "offline";
  return (
    <li class={`card home ${device.presence} ${takes ? "takes" : ""} ${takes && over > 0 ? "over" : ""}`} data-home={device.name}
      onDragEnter={() => setOver((n) => n + 1)}
      onDragLeave={() => setOver((n) => n - 1)}
      onDragOver={(event) => takes && event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        setOver(0);
        const id = event.dataTransfer?.getData(SORT);
        dragged.value = undefined;
        if (id && takes) void onDrop(id, device.id);
      }}>
      <div class="card-head">
        <span class="badge"><Icon name={device.kind} /></span>
        <div class="grow">
          <h3 class="card-name"><a href={`#/device/${device.id}`}>{device.name}</a></h3>
          <p class="faint line">{device.presence === "offline" ? texts.device.presence.offline : [device.kind, device.architecture].filter(Boolean).join(" · ")}</p>
        </div>
      </div>
      {all.value.length === 0 && <p class="faint none">{texts.apps.idle}</p>}
      <ul class="instances">{all.value.map((one) => <Instance key={one.id} one={one} onMove={onMove} />)}</ul>
    </li>
  );
}

function Instance({ one, onMove }: { one: AppInstance; onMove: Move }) {
  const { busy, error, act } = useAction();
  const [log, setLog] = useState(false);
  const [choosing, setChoosing] = useState(false);
  const [ending, setEnding] = useState(false);
  const app = apps.value?.apps.find((app) => app.name === one.app);
  const movable = one.state === "running" && !app?.obstacle;
  const label = `${one.app} ${short(one.id)}`;
  const does = texts.apps.does;
  const run = (work: () => Promise<unknown>) => act(async () => void (await work()));
  const bound = one.bound.filter((it) => it.resource).map((it) => texts.apps.bound(it.want, it.resource!));
  return (
    <li class={`instance ${one.state}`} data-instance={one.id} draggable={movable}
      onDragStart={(event) => {
        event.dataTransfer!.setData(SORT, one.id);
        event.dataTransfer!.effectAllowed = "move";
        dragged.value = one.id;
      }}
      onDragEnd={() => (dragged.value = undefined)}>
      <div class="row between">
        <strong>{one.app} <span class="faint">{short(one.id)}</span></strong>
        <span class={`tag ${LOOK[one.state] ?? ""}`}>{texts.apps.state[one.state] ?? one.state}</span>
      </div>
      {one.moving && <Progress one={one} onCancel={() => run(() => api.cancelMove(one.id))} />}
      {one.waiting_for && <p class="warn">{texts.apps.waits(one.waiting_for)} {isOwner.value && <><span>{texts.apps.lostHint}</span> <code>tutti app recover {short(one.id)} --accept-loss</code></>}</p>}
      {one.reason && <p class={one.state === "failed" ? "trouble" : "warn"}>{ended(one.reason)}</p>}
      <p class="faint line">{[texts.apps.version(one.version), bytes(one.memory), ...bound].join(" · ")}</p>
      <div class="row actions">
        {one.state === "running" && (
          <button type="button" disabled={busy || !movable} aria-haspopup="dialog" aria-label={texts.apps.of(does.move, label)} title={app?.obstacle ?? undefined}
            onClick={() => setChoosing(true)}>{does.move}</button>
        )}
        {(one.state === "running" || one.state === "starting") && (
          <button type="button" disabled={busy} aria-label={texts.apps.of(does.stop, label)} onClick={() => run(() => api.stopInstance(one.id))}>{does.stop}</button>
        )}
        {(one.state === "stopped" || one.state === "failed") && (
          <button type="button" disabled={busy} aria-label={texts.apps.of(does.start, label)} onClick={() => run(() => api.startInstance(one.id))}>{does.start}</button>
        )}
        <button type="button" class="quiet" aria-expanded={log} aria-label={texts.apps.of(does.log, label)} onClick={() => setLog(!log)}>{does.log}</button>
        {one.state !== "moving" && (
          <button type="button" class="quiet" aria-label={texts.apps.of(does.end, label)} onClick={() => setEnding(true)}>{does.end}</button>
        )}
      </div>
      <Trouble error={error} />
      {log && <Log of={`${one.id} ${one.device}`} label={texts.apps.log(label)} follow={(signal, take) => streams.instanceLog(one.id, signal, take)} />}
      {choosing && <Choose one={one} onClose={() => setChoosing(false)} onMove={onMove} />}
      {ending && (
        <Confirm ask={texts.apps.endAsk(label)} yes={does.end} onNo={() => setEnding(false)}
          onYes={() => (setEnding(false), run(() => api.endInstance(one.id)))} />
      )}
    </li>
  );
}

function Progress({ one, onCancel }: { one: AppInstance; onCancel: () => void }) {
  const { to_name, phase, sent, total } = one.moving!;
  const label = texts.apps.going(to_name, texts.apps.phase[phase] ?? phase);
  return (
    <div class="going">
      <span>{label}{total > 0 && <span class="faint"> {texts.apps.carried(bytes(sent), bytes(total))}</span>}</span>
      <progress max={Math.max(1, total)} value={Math.min(sent, Math.max(1, total))} aria-label={label} />
      {phase !== "committing" && <button type="button" class="quiet" onClick={onCancel}>{texts.apps.does.cancel}</button>}
    </div>
  );
}

/** The same as dragging, for those who do not drag. */
function Choose({ one, onClose, onMove }: { one: AppInstance; onClose: () => void; onMove: Move }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const targets = devices.value.filter((cell) => reachable(cell) && cell.device.value.id !== one.device);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={texts.apps.moveWhere(one.app)}>
      <h2>{texts.apps.moveWhere(one.app)}</h2>
      {targets.length === 0 && <p>{texts.apps.nowhere}</p>}
      <ul class="targets">
        {targets.map((cell) => (
          <li key={cell.device.value.id}>
            <button type="button" onClick={() => (onClose(), void onMove(one.id, cell.device.value.id))}>{cell.device.value.name}</button>
          </li>
        ))}
      </ul>
      <div class="row end"><button type="button" onClick={onClose}>{texts.cancel}</button></div>
    </dialog>
  );
}

function AppRow({ app }: { app: App }) {
  const { busy, error, act } = useAction();
  const [on, setOn] = useState("");
  const [removing, setRemoving] = useState(false);
  const wants = app.wants.map((want) => texts.apps.want(want.name, texts.kind[want.kind] ?? want.kind, want.required, want.granted));
  return (
    <li data-app={app.name}>
      <div class="grow">
        <strong>{app.name}</strong> <span class="faint">{[app.version, app.size ? bytes(app.size) : ""].filter(Boolean).join(" · ")}</span>
        {app.about && <p>{app.about}</p>}
        {wants.length > 0 && <p class="faint">{texts.apps.wants} {wants.join(", ")}</p>}
        {app.obstacle && <p class="warn">{ended(app.obstacle)}</p>}
        <Trouble error={error} />
      </div>
      <div class="row actions">
        <select aria-label={texts.apps.runWhere(app.name)} value={on} onChange={(event) => setOn(event.currentTarget.value)}>
          <option value="">{texts.apps.anywhere}</option>
          {devices.value.filter(reachable).map((cell) => <option key={cell.device.value.id} value={cell.device.value.id}>{cell.device.value.name}</option>)}
        </select>
        <button type="button" class="primary" disabled={busy} aria-busy={busy} aria-label={texts.apps.of(texts.apps.does.run, app.name)}
          onClick={() => act(async () => void (await api.run(app.name, on || undefined)))}>{texts.apps.does.run}</button>
        {isOwner.value && (
          <button type="button" class="quiet" aria-label={texts.apps.of(texts.apps.does.remove, app.name)} onClick={() => setRemoving(true)}>{texts.apps.does.remove}</button>
        )}
      </div>
      {removing && (
        <Confirm ask={texts.apps.removeAsk(app.name)} yes={texts.apps.does.remove} onNo={() => setRemoving(false)}
          onYes={() => (setRemoving(false), act(async () => void (await api.removeApp(app.name))))} />
      )}
    </li>
  );
}

/** An owner's word that an app may run in the group. */
function Install() {
  const { busy, error, act } = useAction();
  const [wrong, setWrong] = useState<string>();
  const [done, setDone] = useState<string>();
  const input = useRef<HTMLInputElement>(null);
  const install = (event: Event) => {
    event.preventDefault();
    const file = input.current?.files?.[0];
    setDone(undefined);
    if (!file) return setWrong(texts.apps.noFile);
    setWrong(undefined);
    return act(async () => setDone(texts.apps.isInstalled((await api.install(file)).name)));
  };
  return (
    <form onSubmit={install} noValidate class="install">
      <Field label={texts.apps.install} hint={texts.apps.installHint} error={wrong}>
        {(ids) => <input {...ids} ref={input} type="file" accept=".tutti" onChange={() => setWrong(undefined)} />}
      </Field>
      <button type="submit" disabled={busy} aria-busy={busy}>{texts.apps.installIt}</button>
      <p class="done" role="status">{done}</p>
      <Trouble error={error} />
    </form>
  );
}
