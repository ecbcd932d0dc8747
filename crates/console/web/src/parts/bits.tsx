// Small parts that several views use.
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Refusal } from "../api";
import { texts } from "../texts";

const ICONS: Record<string, string> = {
  sensor: "M3.5 14.5a7 7 0 1 1 13 0M10 12.5l3.5-5M10 13.5a1 1 0 1 0 0-2 1 1 0 0 0 0 2",
  actuator: "M10 3v7M6 5.5a6 6 0 1 0 8 0",
  display: "M3 4h14v9H3zM7 16h6",
  camera: "M3 6h3l1.5-2h5L14 6h3v10H3zM10 13.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  microphone: "M10 3a2 2 0 0 1 2 2v5a2 2 0 1 1-4 0V5a2 2 0 0 1 2-2ZM5 10a5 5 0 0 0 10 0M10 15v2",
  speaker: "M4 8h3l4-3v10l-4-3H4zM14 7a4 4 0 0 1 0 6",
  input: "M3 6h14v8H3zM6 9h.1M9 9h.1M12 9h.1M7 12h6",
  storage: "M4 5c0-1 3-2 6-2s6 1 6 2v10c0 1-3 2-6 2s-6-1-6-2zM4 5c0 1 3 2 6 2s6-1 6-2M4 10c0 1 3 2 6 2s6-1 6-2",
  compute: "M6 6h8v8H6zM8 3v3M12 3v3M8 14v3M12 14v3M3 8h3M3 12h3M14 8h3M14 12h3",
  inference: "M10 4v12M4 7l6 3 6-3M4 13l6-3 6 3",
  laptop: "M5 4h10v8H5zM3 15h14",
  server: "M4 4h12v5H4zM4 11h12v5H4zM7 6.5h.1M7 13.5h.1",
  board: "M4 4h12v12H4zM8 8h4v4H8zM7 4v2M13 4v2M7 14v2M13 14v2",
  microcontroller: "M6 5h8v10H6zM3 7h3M3 10h3M3 13h3M14 7h3M14 10h3M14 13h3",
  container: "M3 7l7-3 7 3v7l-7 3-7-3zM3 7l7 3 7-3M10 10v7",
  phone: "M7 3h6v14H7zM9.5 14.5h1",
  device: "M4 4h12v9H4zM8 16h4M10 13v3",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={ICONS[name] ?? ICONS.device} />
    </svg>
  );
}

/** A refusal in plain words: what happened, and what to do next. */
export function Trouble({ error }: { error: unknown }) {
  if (!error) return null;
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof Refusal ? error.hint : "";
  return (
    <p class="trouble" role="alert">
      <strong>{texts.error.didNot}</strong> {ended(hint ? `${message}; ${hint}` : message)}
    </p>
  );
}

/** The API writes parts of sentences. They begin as they are, since it may be with a name. */
export function ended(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

/** Does something that may be refused; says so, and that it is under way. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const act = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (caught) {
      setError(caught);
    }
    setBusy(false);
  };
  return { busy, error, act, clear: () => setError(undefined) };
}

/** Gives a file to the person. */
export function save(file: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

type FieldProps = {
  label: string;
  hint?: string;
  error?: string;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ComponentChildren;
};

/** A field with its label, and beside it what is wrong with what was typed. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": about || undefined, "aria-invalid": error ? true : undefined })}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="field-error" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}

/** Asks before something that cannot be taken back. */
export function Confirm(props: { ask: string; yes: string; onYes: () => void; onNo: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={props.onNo} aria-label={props.ask}>
      <p>{props.ask}</p>
      <div class="row end">
        <button type="button" onClick={props.onNo}>{texts.cancel}</button>
        <button type="button" class="danger" onClick={props.onYes}>{props.yes}</button>
      </div>
    </dialog>
  );
}

/** Elements that came in sight or went out of it, and have not been told yet. */
const moved = new Map<Element, boolean>();
const seen = new WeakMap<Element, (visible: boolean) => void>();
const watcher = new IntersectionObserver(
  (entries) => {
    if (moved.size === 0) requestAnimationFrame(tellSome);
    for (const entry of entries) moved.set(entry.target, entry.isIntersecting);
  },
  { rootMargin: "300px" },
);

/** Tells a few of them in each frame, so that no frame has to make all that a quick scroll brings. */
function tellSome() {
  const end = performance.now() + 4;
  for (const [element, visible] of moved) {
    moved.delete(element);
    seen.get(element)?.(visible);
    if (performance.now() > end || moved.size % 3 === 0) break;
  }
  if (moved.size > 0) requestAnimationFrame(tellSome);
}

/** Grows up to `all`, by `step` with each frame, so that a long list is made in many short goes. */
export function useGrowing(all: number, step: number): number {
  const [room, setRoom] = useState(step);
  useEffect(() => {
    if (room >= all) return;
    const frame = requestAnimationFrame(() => setRoom(room + step));
    return () => cancelAnimationFrame(frame);
  }, [room, all]);
  return room;
}

/** Whether an element is in sight, or nearly. */
export function useVisible(ref: RefObject<Element | null>): boolean {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const element = ref.current!;
    seen.set(element, setVisible);
    watcher.observe(element);
    return () => watcher.unobserve(element);
  }, []);
  return visible;
}

/** The element's width, as it changes. */
export function useWidth(ref: RefObject<Element | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry!.contentRect.width)));
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);
  return width;
}
