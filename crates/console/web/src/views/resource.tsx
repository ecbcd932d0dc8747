// One resource: its value, its last hour, driving it, its lease, and what only displays and storages have.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, streams, type Resource, type ScreenFrame, type StorageList } from "../api";
import { bytes, moment, numeric, show, span } from "../format";
import { Confirm, Field, Icon, save, Trouble, useAction } from "../parts/bits";
import { Control } from "../parts/control";
import { Chart, type ChartPoint } from "../parts/spark";
import { leases, me, resourceCell, type ResourceCell } from "../store";
import { texts } from "../texts";
import { Frame } from "./frame";
import { Gone } from "./gone";

export function ResourcePage({ device, name }: { device: string; name: string }) {
  const cell = resourceCell(device, name);
  if (!cell) return <Gone />;
  const resource = cell.description.value;
  const state = cell.state.value;
  const facts = texts.resource.facts;
  const list: [string, string][] = [
    [facts.kind, texts.kind[resource.kind] ?? resource.kind],
    [facts.unit, resource.unit],
    [facts.sharing, resource.sharing === "shared" ? texts.resource.shared : texts.resource.exclusive],
    [facts.read, resource.access.read],
    [facts.control, resource.access.control],
    ...Object.entries(resource.properties ?? {}).map(([key, value]): [string, string] => [key, show(value)]),
  ];
  return (
    <>
      <div class="page-head">
        <span class="badge"><Icon name={resource.kind} /></span>
        <div>
          <h1>{resource.name}</h1>
          <p class="faint"><a href={`#/device/${resource.device}`}>{texts.resource.of(resource.device_name)}</a>
            {resource.simulated && <span class="tag">{texts.resource.simulated}</span>}</p>
        </div>
        {resource.kind !== "display" && resource.kind !== "storage" && (
          <p class="big" aria-live="off">{state?.value === undefined ? texts.value.none : show(state.value, resource.unit)}</p>
        )}
      </div>
      {!resource.online && <p class="trouble">{texts.resource.offline}</p>}
      <div class="columns">
        <div>
          {resource.kind === "display" ? <Display resource={resource} />
            : resource.kind === "storage" ? <Storage resource={resource} />
            : resource.readable && numeric(state?.value) !== undefined && <LastHour cell={cell} />}
          {resource.writable && resource.kind !== "display" && (
            <section class="panel" aria-labelledby="control-title">
              <h2 id="control-title">{texts.resource.control}</h2>
              <Control cell={cell} />
            </section>
          )}
        </div>
        <div>
          {resource.sharing === "exclusive" && <LeasePanel cell={cell} />}
          <section class="panel" aria-labelledby="details-title">
            <h2 id="details-title">{texts.resource.properties}</h2>
            <dl class="facts">
              {list.filter(([, value]) => value).map(([label, value]) => <div key={label}><dt>{label}</dt><dd>{value}</dd></div>)}
            </dl>
          </section>
        </div>
      </div>
    </>
  );
}

function LastHour({ cell }: { cell: ResourceCell }) {
  const { device, name, unit } = cell.description.value;
  const [points, setPoints] = useState<ChartPoint[]>([]);
  const { error, act } = useAction();
  useEffect(() => {
    setPoints([]);
    act(async () => setPoints((await api.history(device, name)).points));
    // From here on, what changes is added as it comes.
    return cell.state.subscribe((state) => {
      const value = numeric(state?.value);
      if (value === undefined) return;
      const now = Date.now();
      setPoints((old) => [...old.filter((point) => now - point.at < 3_600_000), { at: now, value }]);
    });
  }, [device, name]);
  return (
    <section class="panel" aria-labelledby="history-title">
      <h2 id="history-title">{texts.resource.history}</h2>
      <Chart points={[...points].sort((a, b) => a.at - b.at)} unit={unit} name={name} />
      <p class="hint">{texts.resource.historyNote}</p>
      <Trouble error={error} />
    </section>
  );
}

function LeasePanel({ cell }: { cell: ResourceCell }) {
  const resource = cell.description.value;
  const lease = cell.state.value?.lease;
  const held = leases.value.find((one) => one.resource === resource.id);
  const { busy, error, act } = useAction();
  return (
    <section class="panel" aria-labelledby="lease-title">
      <h2 id="lease-title">{texts.resource.lease}</h2>
      <p>{lease ? texts.resource.heldFor(lease.holder_name, span(lease.expires_in_ms)) : texts.resource.leaseFree}</p>
      {held ? (
        <button type="button" aria-busy={busy} onClick={() => act(() => api.releaseLease(held.id))}>{texts.resource.leaseGive}</button>
      ) : (
        <button type="button" aria-busy={busy} onClick={() => act(async () => void (await api.takeLease(resource.id, 60_000)))}>
          {texts.resource.leaseTake}
        </button>
      )}
      <Trouble error={error} />
    </section>
  );
}

const PNG = [0x89, 0x50, 0x4e, 0x47];
const MOST_IMAGE = 1 << 20;

function Display({ resource }: { resource: Resource }) {
  const [frame, setFrame] = useState<ScreenFrame>();
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<{ text?: string; image?: string }>({});
  const [done, setDone] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const { busy, error, act } = useAction();
  const mine = resource.device === me.value?.id;
  useEffect(() => {
    if (!mine) return;
    const control = new AbortController();
    streams.frames(resource.name, control.signal, (event, data) => event === "frame" && setFrame(JSON.parse(data))).catch(() => undefined);
    return () => control.abort();
  }, [resource.device, resource.name, mine]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setDone("");
    const picture = file.current?.files?.[0];
    if (!picture && text.trim() === "") return setWrong({ text: texts.display.textEmpty });
    if (picture) {
      const data = new Uint8Array(await picture.slice(0, MOST_IMAGE + 1).arrayBuffer());
      if (data.length > MOST_IMAGE || PNG.some((byte, at) => data[at] !== byte)) return setWrong({ image: texts.display.imageBad });
      let binary = "";
      for (let at = 0; at < data.length; at += 8192) binary += String.fromCharCode(...data.subarray(at, at + 8192));
      await act(async () => void (await api.set(resource.device, resource.name, { base64: btoa(binary) })));
    } else {
      await act(async () => void (await api.set(resource.device, resource.name, text)));
    }
    setDone(texts.display.shown);
  };
  return (
    <section class="panel" aria-labelledby="display-title">
      <h2 id="display-title">{mine ? texts.display.title : texts.display.show}</h2>
      {mine && <Frame frame={frame} />}
      {mine && <p class="hint">{texts.display.here}</p>}
      {resource.writable && (
        <form onSubmit={submit} noValidate>
          <Field label={texts.display.show} error={wrong.text}>
            {(ids) => <textarea {...ids} rows={3} value={text} onInput={(e) => { setText(e.currentTarget.value); setWrong({}); }} />}
          </Field>
          <Field label={texts.display.image} error={wrong.image}>
            {(ids) => <input {...ids} ref={file} type="file" accept="image/png" onChange={() => setWrong({})} />}
          </Field>
          <button type="submit" class="primary" aria-busy={busy}>{texts.display.showIt}</button>
          <p class="done" role="status">{error ? "" : done}</p>
          <Trouble error={error} />
        </form>
      )}
    </section>
  );
}

const MOST_FILES = 200;

function Storage({ resource }: { resource: Resource }) {
  const { device, name } = resource;
  const [list, setList] = useState<StorageList>();
  const [wrong, setWrong] = useState<string>();
  const [done, setDone] = useState("");
  const [removing, setRemoving] = useState<string>();
  const file = useRef<HTMLInputElement>(null);
  const { busy, error, act } = useAction();
  const look = async () => setList(await api.files(device, name));
  useEffect(() => void act(look), [device, name]);
  const put = (event: Event) => {
    event.preventDefault();
    const chosen = file.current?.files?.[0];
    if (!chosen) return setWrong(texts.storage.noFile);
    act(async () => {
      await api.storeFile(device, name, chosen);
      setDone(texts.storage.stored(chosen.name));
      await look();
    });
  };
  const get = (path: string) =>
    act(async () => {
      save(await api.fetchFile(device, name, path), path.split("/").pop()!);
    });
  return (
    <section class="panel" aria-labelledby="files-title">
      <h2 id="files-title">{texts.storage.title}</h2>
      {list && <p class="faint">{texts.storage.used(bytes(list.used), bytes(list.quota))}</p>}
      {list?.entries.length === 0 && <p class="faint">{texts.storage.none}</p>}
      {list && list.entries.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label={texts.storage.title}>
          <table>
            <thead><tr><th scope="col">{texts.storage.name}</th><th scope="col" class="num">{texts.storage.size}</th><th scope="col">{texts.storage.modified}</th><td /></tr></thead>
            <tbody>
              {list.entries.slice(0, MOST_FILES).map((entry) => (
                <tr key={entry.path}>
                  <td><button type="button" class="link" aria-label={texts.storage.get(entry.path)} onClick={() => get(entry.path)}>{entry.path}</button></td>
                  <td class="num">{bytes(entry.size)}</td>
                  <td>{moment(entry.modified)}</td>
                  <td><button type="button" class="quiet" aria-label={texts.storage.remove(entry.path)} onClick={() => setRemoving(entry.path)}>×</button></td>
                </tr>
              ))}
            </tbody>
          </table>
          {list.entries.length > MOST_FILES && <p class="faint">{texts.storage.more(list.entries.length - MOST_FILES)}</p>}
        </div>
      )}
      <form onSubmit={put} noValidate>
        <Field label={texts.storage.choose} error={wrong}>
          {(ids) => <input {...ids} ref={file} type="file" onChange={() => setWrong(undefined)} />}
        </Field>
        <button type="submit" aria-busy={busy}>{texts.storage.put}</button>
        <p class="done" role="status">{done}</p>
      </form>
      <Trouble error={error} />
      {removing && (
        <Confirm ask={`${texts.storage.remove(removing)}?`} yes={texts.storage.remove(removing)} onNo={() => setRemoving(undefined)}
          onYes={() => { const path = removing; setRemoving(undefined); act(async () => { await api.removeFile(device, name, path); await look(); }); }} />
      )}
    </section>
  );
}
