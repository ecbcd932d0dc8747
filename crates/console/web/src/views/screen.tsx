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
const PACE = 40;

/** The sides of pictures that are drawn from shapes. */
const RATIO = 4 / 3;

/** The most values of one input that wait to be told; a device that is slower than a hand misses some. */
const BACKLOG = 64;

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
      pointer.current = new Input(`${name}-pointer`, name);
      keys.current = new Input(`${name}-keys`, name);
    }
    return () => {
      control.abort();
      pointer.current?.end();
      keys.current?.end();
    };
  }, []);
  const point = (event: PointerEvent) => {
    const box = picture(surface.current!);
    const part = (at: number, size: number) => Math.max(0, Math.min(1, at / size)).toFixed(3);
    pointer.current?.point(`${part(event.clientX - box.left, box.width)} ${part(event.clientY - box.top, box.height)} ${event.buttons}`);
  };
  const press = (event: PointerEvent) => {
    // A line that is drawn beyond the edge ends when the button is let go of, wherever that is.
    if (event.target instanceof Element) event.target.setPointerCapture(event.pointerId);
    point(event);
  };
  const type = (event: KeyboardEvent) => {
    if (event.key === "Escape") return onEnd();
    if (event.key === "Tab") return;
    event.preventDefault();
    keys.current?.press(event.key);
  };
  const id = `${me.value?.name ?? ""}/${name}`;
  return (
    <>
      <div class="page-head">
        <h1>{id}</h1>
        <button type="button" onClick={() => onEnd()}>{texts.screen.stop}</button>
      </div>
      <div ref={surface} class="surface" tabIndex={0} role="application" aria-label={texts.screen.surface}
        onPointerMove={point} onPointerDown={press} onPointerUp={point} onPointerCancel={point} onKeyDown={type}>
        <Frame frame={frame} big />
        {!frame?.from && <p class="faint">{texts.screen.waiting} <code>{texts.screen.how(id)}</code></p>}
      </div>
    </>
  );
}

/** Where the picture is, to which a pointer's places belong: that of the picture which is shown, or where one would be. */
function picture(surface: HTMLElement) {
  const shown = surface.querySelector<HTMLElement>("img, pre") ?? surface;
  const box = shown.getBoundingClientRect();
  const image = shown instanceof HTMLImageElement && shown.naturalHeight > 0 ? shown : undefined;
  const ratio = image ? image.naturalWidth / image.naturalHeight : RATIO;
  const width = Math.min(box.width, box.height * ratio);
  const height = width / ratio;
  return { left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2, width, height };
}

/** An input resource of this device, whose value is what was done last. Its property says which display it belongs to. */
class Input {
  private readonly queue: string[] = [];
  private last = "";
  private ended = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly alive = setInterval(() => void this.put(this.last), TTL / 3);

  constructor(
    private readonly name: string,
    private readonly display: string,
  ) {
    void this.put("");
  }

  /** Where a pointer is. Of places on the way the last counts; that a button went down or up is never left out. */
  point(value: string) {
    const buttons = (value: string | undefined) => value?.split(" ")[2];
    const next = this.queue.length - 1;
    if (next > 0 && buttons(this.queue[next]) === buttons(value) && buttons(this.queue[next - 1]) === buttons(value)) this.queue[next] = value;
    else this.push(value);
    this.start();
  }

  /** A key. The same key again is told from the same value as before by an empty one in between. */
  press(key: string) {
    if ((this.queue.at(-1) ?? this.last) === key) this.push("");
    this.push(key);
    this.start();
  }

  end() {
    this.ended = true;
    clearInterval(this.alive);
    clearTimeout(this.timer);
    api.withdraw(this.name).catch(() => undefined);
  }

  private push(value: string) {
    this.queue.push(value);
    if (this.queue.length > BACKLOG) this.queue.shift();
  }

  /** Offers one value after the other, at most one in [`PACE`]. */
  private start() {
    this.timer ??= setTimeout(async () => {
      this.last = this.queue.shift() ?? this.last;
      await this.put(this.last);
      this.timer = undefined;
      if (this.queue.length > 0) this.start();
    }, PACE);
  }

  private async put(value: string) {
    if (this.ended) return;
    // A value that does not arrive is replaced by the next.
    await api.offer(this.name, { kind: "input", value, ttl_ms: TTL, properties: { display: this.display } }).catch(() => undefined);
  }
}
