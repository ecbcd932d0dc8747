// The page as a display of the pool, with pointer and keyboard offered as inputs beside it.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, streams, type ScreenFrame } from "../api";
import { Field, Trouble } from "../parts/bits";
import { me } from "../store";
import { texts } from "../texts";
import { Frame } from "./frame";

const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,48}$/u;

/** How long an input stays offered without a sign of life, and how often there is one. */
const TTL = 15_000;

/** The least time between two values of one input. */
const PACE = 100;

export function ScreenPage() {
  const [name, setName] = useState("browser");
  const [inputs, setInputs] = useState(true);
  const [wrong, setWrong] = useState<string>();
  const [error, setError] = useState<unknown>();
  const [open, setOpen] = useState<string>();
  const start = (event: Event) => {
    event.preventDefault();
    setError(undefined);
    if (!NAME.test(name)) return setWrong(texts.device.nameBad);
    setOpen(name);
  };
  if (open) return <Surface name={open} inputs={inputs} onEnd={(why) => { setOpen(undefined); setError(why); }} />;
  return (
    <>
      <div class="page-head"><h1>{texts.screen.title}</h1></div>
      <form class="panel narrow" onSubmit={start} noValidate>
        <p>{texts.screen.about}</p>
        <Field label={texts.screen.name} error={wrong} hint={texts.device.nameHint}>
          {(ids) => <input {...ids} type="text" autocomplete="off" value={name} onInput={(e) => { setName(e.currentTarget.value); setWrong(undefined); }} />}
        </Field>
        <label class="check"><input type="checkbox" checked={inputs} onChange={(e) => setInputs(e.currentTarget.checked)} /> {texts.screen.input}</label>
        <button type="submit" class="primary">{texts.screen.start}</button>
        <Trouble error={error} />
      </form>
    </>
  );
}

function Surface({ name, inputs, onEnd }: { name: string; inputs: boolean; onEnd: (why?: unknown) => void }) {
  const [frame, setFrame] = useState<ScreenFrame>();
  const surface = useRef<HTMLDivElement>(null);
  const pointer = useRef<Input>(undefined);
  const keys = useRef<Input>(undefined);
  useEffect(() => {
    const control = new AbortController();
    const box = surface.current!;
    box.focus();
    const columns = Math.max(20, Math.min(400, Math.floor(box.clientWidth / 10)));
    const rows = Math.max(5, Math.min(200, Math.floor(box.clientHeight / 22)));
    streams
      .openScreen(name, columns, rows, control.signal, (event, data) => event === "frame" && setFrame(JSON.parse(data)))
      .then(() => onEnd(new Error(texts.screen.ended)))
      .catch((why) => control.signal.aborted || onEnd(why));
    if (inputs) {
      pointer.current = new Input(`${name}-pointer`);
      keys.current = new Input(`${name}-keys`);
    }
    return () => {
      control.abort();
      pointer.current?.end();
      keys.current?.end();
    };
  }, []);
  const point = (event: PointerEvent) => {
    const box = surface.current!.getBoundingClientRect();
    const part = (at: number, size: number) => Math.max(0, Math.min(1, at / size)).toFixed(3);
    pointer.current?.send(`${part(event.clientX - box.left, box.width)} ${part(event.clientY - box.top, box.height)} ${event.buttons}`);
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Escape") return onEnd();
    if (event.key === "Tab") return;
    event.preventDefault();
    keys.current?.send(event.key);
  };
  const id = `${me.value?.name ?? ""}/${name}`;
  return (
    <>
      <div class="page-head">
        <h1>{id}</h1>
        <button type="button" onClick={() => onEnd()}>{texts.screen.stop}</button>
      </div>
      <div ref={surface} class="surface" tabIndex={0} role="application" aria-label={texts.screen.surface}
        onPointerMove={point} onPointerDown={point} onPointerUp={point} onKeyDown={press}>
        <Frame frame={frame} big />
        {!frame?.from && <p class="faint">{texts.screen.waiting} <code>{texts.screen.how(id)}</code></p>}
      </div>
    </>
  );
}

/** An input resource of this device, whose value is what was done last. */
class Input {
  private next: string | undefined;
  private last = "";
  private ended = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly alive = setInterval(() => void this.put(this.last), TTL / 3);

  constructor(private readonly name: string) {
    void this.put("");
  }

  /** Offers a value, at most one in [`PACE`]; of those in between, the last counts. */
  send(value: string) {
    this.next = value;
    this.timer ??= setTimeout(async () => {
      this.last = this.next ?? this.last;
      await this.put(this.last);
      this.timer = undefined;
      if (this.next !== this.last) this.send(this.next!);
    }, PACE);
  }

  end() {
    this.ended = true;
    clearInterval(this.alive);
    clearTimeout(this.timer);
    api.withdraw(this.name).catch(() => undefined);
  }

  private async put(value: string) {
    if (this.ended) return;
    // A value that does not arrive is replaced by the next.
    await api.offer(this.name, { kind: "input", value, ttl_ms: TTL }).catch(() => undefined);
  }
}
