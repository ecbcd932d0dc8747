// Pairing: let a device in, or enter another's group.
import { useEffect, useMemo, useState } from "preact/hooks";
import { encode } from "uqr";
import { api, type Joined, type PairingOffer, type Role } from "../api";
import { span } from "../format";
import { Confirm, Field, ended, Trouble, useAction } from "../parts/bits";
import { group, isOwner, nearby, pairing, pairingHeard } from "../store";
import { texts } from "../texts";

export function PairPage() {
  return (
    <>
      <div class="page-head"><h1>{texts.pair.title}</h1></div>
      <div class="columns even">
        <LetIn />
        <Enter />
      </div>
    </>
  );
}

function LetIn() {
  const [role, setRole] = useState<Role>("member");
  const [offer, setOffer] = useState<PairingOffer>();
  const [copied, setCopied] = useState(false);
  const { busy, error, act } = useAction();
  const status = pairing.value;
  const open = offer && status?.state === "open";
  const show = () =>
    act(async () => {
      setCopied(false);
      setOffer(await api.offerPairing(role));
    });
  const outcome =
    !offer || !status ? ""
    : status.state === "paired" ? texts.pair.paired(status.name ?? "")
    : status.state === "expired" ? texts.pair.expired
    : status.state === "failed" ? `${texts.pair.failed} ${status.why ? ended(status.why) : ""}`
    : "";
  return (
    <section class="panel" aria-labelledby="in-title">
      <h2 id="in-title">{texts.pair.inTitle}</h2>
      <p>{texts.pair.inAbout}</p>
      {!isOwner.value && <p class="hint">{texts.device.onlyOwners}</p>}
      <Field label={texts.pair.role}>
        {(ids) => (
          <select {...ids} value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
            {(["guest", "member", "owner"] as const).map((one) => <option key={one} value={one}>{texts.device.role[one]}</option>)}
          </select>
        )}
      </Field>
      <button type="button" class="primary" aria-busy={busy} disabled={!isOwner.value} onClick={show}>
        {open ? texts.pair.again : texts.pair.show}
      </button>
      {open && (
        <div class="offer">
          <p class="code"><span class="visually-hidden">{texts.pair.code}: {[...offer.code].join(" ")}</span><span class="digits" aria-hidden="true">{offer.code.slice(0, 3)} {offer.code.slice(3)}</span></p>
          <Left />
          <Qr text={offer.ticket} />
          <Field label={texts.pair.ticket}>
            {(ids) => <input {...ids} type="text" readOnly value={offer.ticket} onFocus={(event) => event.currentTarget.select()} />}
          </Field>
          <div class="row">
            <button type="button" onClick={() => act(async () => { await navigator.clipboard.writeText(offer.ticket); setCopied(true); })}>
              {copied ? texts.pair.copied : texts.pair.copy}
            </button>
            <button type="button" onClick={() => act(() => api.cancelPairing())}>{texts.pair.takeBack}</button>
          </div>
        </div>
      )}
      <p class={status?.state === "paired" ? "done" : "warn"} role="status">{outcome}</p>
      <Trouble error={error} />
    </section>
  );
}

/** Counts down between two words of the device. */
function Left() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const status = pairing.value;
  const left = (status?.expires_in_ms ?? 0) - (performance.now() - pairingHeard.value);
  return <p class="faint">{texts.pair.counts(span(left), status?.tries_left ?? 0)}</p>;
}

function Qr({ text }: { text: string }) {
  const path = useMemo(() => {
    const { data } = encode(text, { ecc: "M", border: 2 });
    const squares = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
    return { size: data.length, squares: squares.join("") };
  }, [text]);
  return (
    <svg class="qr" viewBox={`0 0 ${path.size} ${path.size}`} role="img" aria-label={texts.pair.qr} shape-rendering="crispEdges">
      <path d={path.squares} />
    </svg>
  );
}

function Enter() {
  const [device, setDevice] = useState("");
  const [code, setCode] = useState("");
  const [ticket, setTicket] = useState("");
  const [wrong, setWrong] = useState<{ device?: string; code?: string; ticket?: string }>({});
  const [joined, setJoined] = useState<Joined>();
  const [asking, setAsking] = useState(false);
  const [left, setLeft] = useState(false);
  const { busy, error, act, clear } = useAction();
  const alone = group.value?.alone !== false;
  const offering = nearby.value.filter((one) => one.pairing_open);
  const submit = (event: Event) => {
    event.preventDefault();
    clear();
    setLeft(false);
    const digits = code.replace(/\s/g, "");
    const words = ticket.trim();
    if (words) {
      setWrong({});
      return act(async () => setJoined(await api.join({ ticket: words })));
    }
    const found: typeof wrong = {};
    if (!device) found.device = texts.pair.deviceBad;
    if (!/^\d{6}$/.test(digits)) found.code = texts.pair.codeBad;
    setWrong(found);
    if (Object.keys(found).length === 0) return act(async () => setJoined(await api.join({ device, code: digits })));
  };
  return (
    <section class="panel" aria-labelledby="out-title">
      <h2 id="out-title">{texts.pair.outTitle}</h2>
      <p>{texts.pair.outAbout}</p>
      {!alone ? (
        <>
          <p class="done" role="status">{joined && texts.pair.joined(joined.host_name, texts.device.role[joined.role]!)}</p>
          <p class="hint">{texts.pair.notAlone}</p>
          <button type="button" class="danger" aria-busy={busy} onClick={() => setAsking(true)}>{texts.pair.leave}</button>
        </>
      ) : (
        <form onSubmit={submit} noValidate>
          <Field label={texts.pair.device} error={wrong.device} hint={offering.length ? undefined : texts.pair.nobody}>
            {(ids) => (
              <select {...ids} value={device} onChange={(event) => { setDevice(event.currentTarget.value); setWrong({}); }}>
                <option value="" />
                {nearby.value.map((one) => (
                  <option key={one.id} value={one.id}>{one.pairing_open ? `${one.name} (${texts.pair.showsCode})` : one.name}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label={texts.pair.code} error={wrong.code}>
            {(ids) => (
              <input {...ids} class="code-field" type="text" inputMode="numeric" autocomplete="off" maxLength={9} value={code}
                onInput={(event) => { setCode(event.currentTarget.value); setWrong({}); }} />
            )}
          </Field>
          <Field label={texts.pair.ticketField} error={wrong.ticket}>
            {(ids) => <input {...ids} type="text" autocomplete="off" spellcheck={false} value={ticket} onInput={(event) => setTicket(event.currentTarget.value)} />}
          </Field>
          <button type="submit" class="primary" aria-busy={busy}>{texts.pair.enter}</button>
          <p class="done" role="status">{left ? texts.pair.left : ""}</p>
        </form>
      )}
      <Trouble error={error} />
      {asking && (
        <Confirm ask={texts.pair.leaveAsk} yes={texts.pair.leaveYes} onNo={() => setAsking(false)}
          onYes={() => { setAsking(false); act(async () => { await api.leave(); setJoined(undefined); setLeft(true); }); }} />
      )}
    </section>
  );
}
