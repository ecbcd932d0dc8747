// Health: what happened, the links, versions, and the device's checks of itself.
import { useComputed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, type Check } from "../api";
import { clock, rate } from "../format";
import { ended, Trouble, useAction } from "../parts/bits";
import { type DeviceCell, devices, timeline } from "../store";
import { texts } from "../texts";
import { Presence } from "./pool";

const BAD = new Set(["offline", "trouble", "left", "withdrawn"]);
const GOOD = new Set(["online", "joined", "offered"]);

export function HealthPage() {
  return (
    <>
      <div class="page-head"><h1>{texts.health.title}</h1></div>
      <div class="columns">
        <div>
          <Links />
          <Checks />
        </div>
        <Timeline />
      </div>
    </>
  );
}

function Timeline() {
  const [search, setSearch] = useState("");
  const all = timeline.value
    .map((one) => ({ ...one, text: texts.health.what[one.what]?.(one.device_name, one.detail ?? "") ?? one.what }))
    .filter((one) => one.text.toLowerCase().includes(search.toLowerCase()));
  return (
    <section class="panel" aria-labelledby="timeline-title">
      <h2 id="timeline-title">{texts.health.timeline}</h2>
      <input type="search" aria-label={texts.health.search} placeholder={texts.health.search} value={search}
        onInput={(event) => setSearch(event.currentTarget.value)} />
      {all.length === 0 && <p class="faint">{texts.health.timelineNone}</p>}
      <ol class="timeline" tabIndex={0} aria-label={texts.health.timeline}>
        {all.reverse().slice(0, 200).map((one) => (
          <li key={one.number} class={BAD.has(one.what) ? "bad" : GOOD.has(one.what) ? "good" : ""}>
            <time dateTime={new Date(one.at).toISOString()}>{clock(one.at)}</time>
            <span>{one.text}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Links() {
  const others = devices.value.filter((cell) => cell.device.value.presence !== "self");
  const versions = new Set(devices.value.map((cell) => cell.device.value.software).filter(Boolean));
  return (
    <section class="panel" aria-labelledby="links-title">
      <h2 id="links-title">{texts.health.links}</h2>
      {others.length === 0 ? (
        <p class="faint">{texts.health.linksNone}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-label={texts.health.links}>
          <table>
            <thead>
              <tr>
                <th scope="col">{texts.health.device}</th>
                <th scope="col">{texts.health.state}</th>
                <th scope="col">{texts.health.flow}</th>
                <th scope="col">{texts.health.address}</th>
                <th scope="col">{texts.health.version}</th>
              </tr>
            </thead>
            <tbody>
              {others.map((cell) => {
                const device = cell.device.value;
                return (
                  <tr key={device.id}>
                    <th scope="row"><a href={`#/device/${device.id}`}>{device.name}</a></th>
                    <td><Presence cell={cell} />{device.last_error && <span class="hint">{ended(device.last_error)}</span>}</td>
                    <td><Flow cell={cell} /></td>
                    <td>{device.address ?? "–"}</td>
                    <td>{device.software || "–"}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      <p class="hint">{texts.health.versions(versions.size)} {texts.health.metrics}</p>
    </section>
  );
}

function Flow({ cell }: { cell: DeviceCell }) {
  const text = useComputed(() => {
    const flow = cell.flow.value;
    return flow ? texts.health.carries(rate(flow.to), rate(flow.from)) : "–";
  });
  return <span class="flow">{text}</span>;
}

function Checks() {
  const [checks, setChecks] = useState<Check[]>();
  const { busy, error, act } = useAction();
  const look = () => act(async () => setChecks(await api.checks()));
  useEffect(() => void look(), []);
  return (
    <section class="panel" aria-labelledby="checks-title">
      <div class="row between">
        <h2 id="checks-title">{texts.health.checks}</h2>
        <button type="button" aria-busy={busy} onClick={look}>{busy ? texts.health.checking : texts.health.check}</button>
      </div>
      <p class="hint">{texts.health.checksAbout}</p>
      <ul class="checks">
        {checks?.map((check) => (
          <li key={check.name}>
            <span class={`tag ${check.ok}`}>{texts.health.state_[check.ok]}</span>
            <span><strong>{check.name}</strong> {ended(check.what)} {check.advice && ended(check.advice)}</span>
          </li>
        ))}
      </ul>
      <Trouble error={error} />
    </section>
  );
}
