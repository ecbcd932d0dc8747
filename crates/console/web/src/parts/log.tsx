// Lines that are written while one looks: of a core, of an instance of an app.
import { useEffect, useState } from "preact/hooks";
import { clock } from "../format";
import { texts } from "../texts";
import { Trouble } from "./bits";

/** Lines that are kept on the page. */
const LINES = 500;

export type LogLine = { number: number; at: number; text: string; level?: string };
type Follow = (signal: AbortSignal, take: (event: string, data: string) => void) => Promise<void>;

/** The log of what `of` names; begun anew when `of` changes. `label` says whose it is. */
export function Log({ of, label, follow }: { of: string; label: string; follow: Follow }) {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const control = new AbortController();
    setLines([]);
    setError(undefined);
    follow(control.signal, (event, data) => {
      if (event === "line") setLines((lines) => [...lines.slice(1 - LINES), JSON.parse(data) as LogLine]);
    }).catch((caught) => control.signal.aborted || setError(caught));
    return () => control.abort();
  }, [of]);
  return (
    <>
      <Trouble error={error} />
      <ol class="log" tabIndex={0} aria-label={label}>
        {lines.length === 0 && <li class="faint">{texts.cores.silent}</li>}
        {lines.map((line) => (
          <li key={line.number} class={line.level}><time dateTime={new Date(line.at).toISOString()}>{clock(line.at)}</time> <span>{line.text}</span></li>
        ))}
      </ol>
    </>
  );
}
