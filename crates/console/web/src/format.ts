// Values, times and sizes as people read them.
import type { Value } from "./api";
import { texts } from "./texts";

export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const digits = Math.abs(value) >= 100 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** The value as a number, if it is one. */
export function numeric(value: Value | undefined): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return undefined;
}

export function show(value: Value | undefined, unit = ""): string {
  if (value === undefined || value === null) return "–";
  if (typeof value === "boolean") return value ? texts.value.on : texts.value.off;
  if (typeof value === "number") {
    if (unit === "B" || unit === "bytes") return bytes(value);
    return unit ? `${number(value)} ${unit}` : number(value);
  }
  if (typeof value === "string") return value;
  return texts.value.bytes(Math.floor((value.base64.length * 3) / 4));
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) {
    n /= 1024;
    at += 1;
  }
  return `${at === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[at]}`;
}

/** Bytes a second. */
export function rate(n: number): string {
  return texts.value.rate(bytes(Math.round(n)));
}

export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return texts.time.seconds(seconds);
  if (seconds < 5400) return texts.time.minutes(Math.round(seconds / 60));
  return texts.time.hours(Math.round(seconds / 3600));
}

export function ago(ms: number): string {
  return ms < 2000 ? texts.time.now : texts.time.ago(span(ms));
}

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString("en-GB");
}

export function moment(at: number): string {
  return new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}
