// The other cores of this device: their state, what to do with them, what they write.
import { useState } from "preact/hooks";
import { api, streams, type Core, type CoreAction, type CoreCrash } from "../api";
import { moment } from "../format";
import { ended, save, Trouble, useAction } from "../parts/bits";
import { Log } from "../parts/log";
import { cores } from "../store";
import { texts } from "../texts";
import { MemoryPanel } from "./map";

/** What makes sense in which state. What a core cannot do it says itself. */
const ACTIONS: Record<string, CoreAction[]> = {
  offline: ["start"],
  crashed: ["start", "stop"],
  running: ["stop", "restart"],
  attached: ["stop", "restart", "detach"],
  detached: ["attach"],
  suspended: ["resume", "stop"],
};

/** How a state is coloured. */
const LOOK: Record<string, string> = { running: "ok", attached: "ok", crashed: "fail" };

export function CoresPage() {
  const all = cores.value;
  return (
    <>
      <div class="page-head"><h1>{texts.cores.title}</h1></div>
      {all?.length === 0 && (
        <div class="empty">
          <p>{texts.cores.none}</p>
          <p class="hint">{texts.cores.noneHint} <code>{texts.cores.command}</code></p>
        </div>
      )}
      {all?.map((core) => <CorePanel key={core.name} core={core} />)}
      <MemoryPanel />
    </>
  );
}

function CorePanel({ core }: { core: Core }) {
  const { busy, error, act } = useAction();
  const [open, setOpen] = useState(false);
  const title = `core-${core.name}`;
  const run = (action: CoreAction) => act(async () => void (await api.act(core.name, action)));
  const dump = () => act(async () => save(await api.dump(core.name), `${core.name}.core`));
  const labels = texts.cores.facts;
  const facts: [string, string][] = [
    [labels.kind, texts.cores.kind[core.kind] ?? core.kind],
    [labels.firmware, [core.firmware, ...(core.arguments ?? [])].join(" ")],
    [labels.life, String(core.generation)],
    [labels.recoveries, String(core.recoveries)],
    [labels.satellites, core.satellites.join(", ")],
  ];
  return (
    <section class="panel core" aria-labelledby={title} data-core={core.name}>
      <div class="row between">
        <h2 id={title}>{core.name}</h2>
        <span class={`tag ${LOOK[core.state] ?? ""}`} role="status">{texts.cores.state[core.state] ?? core.state}</span>
      </div>
      {core.last_error && <p class="trouble">{ended(core.last_error)}</p>}
      <dl class="facts">
        {facts.filter(([, value]) => value).map(([label, value]) => (
          <div key={label}><dt>{label}</dt><dd>{value}</dd></div>
        ))}
      </dl>
      <div class="row">
        {(ACTIONS[core.state] ?? []).map((action) => (
          <button type="button" key={action} disabled={busy} onClick={() => run(action)}>{texts.cores.action[action]}</button>
        ))}
        <button type="button" class="quiet" aria-busy={busy} onClick={dump}>{texts.cores.dump}</button>
        <button type="button" class="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? texts.cores.hideLog : texts.cores.showLog}
        </button>
      </div>
      <Trouble error={error} />
      {core.crashes && core.crashes.length > 0 && <Crashes of={core} crashes={core.crashes} />}
      {open && <Log of={core.name} label={texts.cores.log(core.name)} follow={(signal, take) => streams.coreLog(core.name, signal, take)} />}
    </section>
  );
}

/** Its crashes, the latest first. */
function Crashes({ of, crashes }: { of: Core; crashes: CoreCrash[] }) {
  const title = `crashes-${of.name}`;
  return (
    <>
      <h3 id={title}>{texts.cores.crashes}</h3>
      <ol class="timeline crashes" tabIndex={0} aria-labelledby={title}>
        {[...crashes].reverse().map((one) => (
          <li key={`${one.generation} ${one.at}`} class="bad">
            <time dateTime={new Date(one.at).toISOString()}>{moment(one.at)}</time>
            <span>{texts.cores.crash(one.generation, one.what)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
