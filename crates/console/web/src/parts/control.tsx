// Driving a resource: a switch, a slider, a number or a text, as its values are.
import { useComputed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, type Resource, type Value } from "../api";
import { number, show } from "../format";
import type { ResourceCell } from "../store";
import { texts } from "../texts";
import { Field, Trouble, useAction } from "./bits";

/** What sort of value a resource takes: by what it has, or by what it says of itself. */
export function sort(resource: Resource, value: Value | undefined): "switch" | "number" | "text" {
  if (typeof value === "boolean") return "switch";
  if (typeof value === "number" || "min" in resource.properties! || "max" in resource.properties!) return "number";
  if (typeof value === "string") return "text";
  return resource.kind === "actuator" ? "switch" : "text";
}

function bounds(resource: Resource): { min?: number; max?: number } {
  const bound = (name: string) => {
    const value = resource.properties?.[name];
    return typeof value === "number" ? value : undefined;
  };
  return { min: bound("min"), max: bound("max") };
}

/** Whether a resource can be switched: between on and off, or between the ends of what it takes. */
export function switches(resource: Resource, value: Value | undefined): boolean {
  if (!resource.writable || resource.kind !== "actuator") return false;
  const { min, max } = bounds(resource);
  return sort(resource, value) === "switch" || (typeof value === "number" && min !== undefined && max !== undefined);
}

/** The switch that stands on a card. */
export function Toggle({ cell }: { cell: ResourceCell }) {
  const resource = cell.description.value;
  const on = useComputed(() => {
    const value = cell.state.value?.value;
    return typeof value === "number" ? value > (bounds(cell.description.value).min ?? 0) : value === true;
  });
  const { busy, error, act } = useAction();
  const flip = () => {
    const { min = 0, max = 1 } = bounds(resource);
    const wanted = typeof cell.state.peek()?.value === "number" ? (on.peek() ? min : max) : !on.peek();
    return act(async () => void (await api.set(resource.device, resource.name, wanted)));
  };
  return (
    <span class="toggle-with-trouble">
      <button type="button" role="switch" class="switch" aria-checked={on.value} aria-label={resource.id} disabled={!resource.online}
        aria-busy={busy} onClick={flip}>
        <span class="knob" />
      </button>
      <Trouble error={error} />
    </span>
  );
}

export function Control({ cell }: { cell: ResourceCell }) {
  const resource = cell.description.value;
  const value = cell.state.value?.value;
  const kind = sort(resource, value);
  const { min, max } = bounds(resource);
  const [typed, setTyped] = useState<string>();
  const [wrong, setWrong] = useState<string>();
  const [done, setDone] = useState<string>();
  const { busy, error, act } = useAction();
  useEffect(() => setWrong(undefined), [typed]);
  const set = (wanted: Value) =>
    act(async () => {
      setDone(undefined);
      const { value } = await api.set(resource.device, resource.name, wanted);
      setTyped(undefined);
      setDone(texts.resource.done(show(value, resource.unit)));
    });
  if (!resource.online) return <p class="faint">{texts.resource.offline}</p>;
  const status = <p class="done" role="status">{done}</p>;
  if (kind === "switch") {
    return (
      <div>
        <div class="row">
          <button type="button" class="primary" aria-busy={busy} onClick={() => set(value !== true)}>
            {value === true ? texts.value.turnOff : texts.value.turnOn}
          </button>
        </div>
        {status}
        <Trouble error={error} />
      </div>
    );
  }
  const submit = (event: Event) => {
    event.preventDefault();
    const text = typed ?? (kind === "number" && typeof value === "number" ? String(value) : "");
    if (kind === "text") return set(text);
    const wanted = Number(text.trim().replace(",", "."));
    if (text.trim() === "" || !Number.isFinite(wanted)) return setWrong(texts.resource.wantNumber);
    if ((min !== undefined && wanted < min) || (max !== undefined && wanted > max))
      return setWrong(texts.resource.outOfRange(number(min ?? -Infinity), number(max ?? Infinity)));
    return set(wanted);
  };
  const ranged = kind === "number" && min !== undefined && max !== undefined;
  return (
    <form onSubmit={submit} noValidate>
      {ranged && (
        <input type="range" min={min} max={max} step={(max - min) / 100} aria-label={resource.id}
          value={typed ?? (typeof value === "number" ? value : min)} onInput={(e) => setTyped(e.currentTarget.value)}
          onChange={(e) => set(Number(e.currentTarget.value))} />
      )}
      <Field label={kind === "number" ? texts.resource.number : texts.resource.text} error={wrong}
        hint={ranged ? texts.resource.range(number(min), number(max)) : undefined}>
        {(ids) => (
          <input {...ids} type="text" inputMode={kind === "number" ? "decimal" : "text"} autocomplete="off"
            value={typed ?? (typeof value === "number" || typeof value === "string" ? String(value) : "")}
            onInput={(e) => setTyped(e.currentTarget.value)} />
        )}
      </Field>
      <button type="submit" class="primary" aria-busy={busy}>{texts.resource.set}</button>
      {status}
      <Trouble error={error} />
    </form>
  );
}
