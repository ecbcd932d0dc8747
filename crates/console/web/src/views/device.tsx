// One device: what it is, what it offers, and what an owner may do with it.
import { useState } from "preact/hooks";
import { api, type Role } from "../api";
import { moment } from "../format";
import { Confirm, Field, ended, Trouble, useAction } from "../parts/bits";
import { deviceCell, isOwner, me, type DeviceCell } from "../store";
import { texts } from "../texts";
import { Gone } from "./gone";
import { ordered, Presence, Row } from "./pool";

const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u;

export function DevicePage({ id }: { id: string }) {
  const cell = deviceCell(id);
  if (!cell) return <Gone />;
  const device = cell.device.value;
  const mine = device.presence === "self";
  const host = device.via ? deviceCell(device.via)?.device.value.name : undefined;
  const labels = texts.device.facts;
  const facts: [string, string | undefined | null][] = [
    [labels.kind, device.kind],
    [labels.architecture, device.architecture],
    [labels.os, device.os],
    [labels.software, device.software],
    [labels.role, device.role ? texts.device.role[device.role] : undefined],
    [labels.address, host ? texts.device.via(host) : device.address],
    [labels.uptime, mine && me.value ? moment(started(me.value.uptime_ms)) : undefined],
    [labels.id, device.id],
  ];
  return (
    <>
      <div class="page-head">
        <h1>{device.name}</h1>
        <Presence cell={cell} />
      </div>
      {device.last_error && <p class="trouble">{ended(device.last_error)}</p>}
      <div class="columns">
        <section class="panel" aria-labelledby="resources-title">
          <h2 id="resources-title">{texts.device.resources}</h2>
          {cell.resources.value.length === 0 && <p class="faint">{texts.device.noResources}</p>}
          <ul class="resources roomy">{ordered(cell.resources.value).map((one) => <Row key={one.description.peek().name} cell={one} />)}</ul>
        </section>
        <div>
          <section class="panel">
            <dl class="facts">
              {facts.filter(([, value]) => value).map(([label, value]) => (
                <div key={label}><dt>{label}</dt><dd>{value}</dd></div>
              ))}
            </dl>
          </section>
          <Manage cell={cell} mine={mine} />
        </div>
      </div>
    </>
  );
}

let heard: { uptime: number; at: number } | undefined;
/** When this device was started; the same however often it is asked. */
function started(uptime: number): number {
  if (heard?.uptime !== uptime) heard = { uptime, at: Date.now() };
  return heard.at - uptime;
}

function Manage({ cell, mine }: { cell: DeviceCell; mine: boolean }) {
  const device = cell.device.value;
  const [asking, setAsking] = useState(false);
  const { error, act } = useAction();
  const [done, setDone] = useState("");
  const forget = () => {
    setAsking(false);
    act(async () => {
      await api.forget(device.id);
      location.hash = "#/";
    });
  };
  const change = (role: Role) =>
    act(async () => {
      await api.setRole(device.id, role);
      setDone(texts.device.roleSet);
    });
  return (
    <section class="panel" aria-labelledby="manage-title">
      <h2 id="manage-title">{texts.device.manage}</h2>
      {mine ? <Rename name={device.name} /> : <p class="hint">{texts.device.renameElsewhere}</p>}
      {isOwner.value && device.role && (
        <Field label={texts.device.roleChange}>
          {(ids) => (
            <select {...ids} value={device.role!} onChange={(event) => change(event.currentTarget.value as Role)}>
              {(["guest", "member", "owner"] as const).map((role) => <option key={role} value={role}>{texts.device.role[role]}</option>)}
            </select>
          )}
        </Field>
      )}
      {!mine && isOwner.value && (
        <button type="button" class="danger" onClick={() => setAsking(true)}>{texts.device.forget}</button>
      )}
      {!isOwner.value && <p class="hint">{texts.device.onlyOwners}</p>}
      <p class="done" role="status">{done}</p>
      <Trouble error={error} />
      {asking && (
        <Confirm ask={texts.device.forgetAsk(device.name)} yes={texts.device.forgetYes} onYes={forget} onNo={() => setAsking(false)} />
      )}
    </section>
  );
}

function Rename({ name }: { name: string }) {
  const [typed, setTyped] = useState<string>();
  const [wrong, setWrong] = useState<string>();
  const [done, setDone] = useState("");
  const { busy, error, act } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    const wanted = (typed ?? name).trim();
    setDone("");
    if (!NAME.test(wanted) || new TextEncoder().encode(wanted).length > 63) return setWrong(texts.device.nameBad);
    act(async () => {
      await api.rename(wanted);
      setTyped(undefined);
      setDone(texts.device.renamed);
    });
  };
  return (
    <form onSubmit={submit} noValidate>
      <Field label={texts.device.newName} hint={texts.device.nameHint} error={wrong}>
        {(ids) => (
          <input {...ids} type="text" autocomplete="off" value={typed ?? name}
            onInput={(event) => { setTyped(event.currentTarget.value); setWrong(undefined); }} />
        )}
      </Field>
      <button type="submit" aria-busy={busy}>{texts.device.rename}</button>
      <p class="done" role="status">{done}</p>
      <Trouble error={error} />
    </form>
  );
}
