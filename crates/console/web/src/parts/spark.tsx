// Lines of values: the small one on a card, and the large one of the last hour.
import { useComputed } from "@preact/signals";
import { useRef, useState } from "preact/hooks";
import { clock, show } from "../format";
import { RECENT, type ResourceCell } from "../store";
import { texts } from "../texts";
import { useWidth } from "./bits";

const WIDTH = 64;
const HEIGHT = 18;

/** The line of recent values. Decoration: the value stands beside it as text. */
export function Spark({ cell }: { cell: ResourceCell }) {
  const path = useComputed(() => {
    cell.drawn.value;
    return line(cell.recent);
  });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

function line(values: number[]): string {
  if (values.length < 2) return "";
  const low = Math.min(...values);
  const reach = Math.max(...values) - low;
  const start = RECENT - values.length;
  return values
    .map((value, at) => {
      const x = ((start + at) / (RECENT - 1)) * WIDTH;
      const y = reach === 0 ? HEIGHT / 2 : HEIGHT - 1.5 - ((value - low) / reach) * (HEIGHT - 3);
      return `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}

export type ChartPoint = { at: number; value: number };

const TALL = 200;
const LEFT = 56;
const BOTTOM = 22;

/** Values over time, with a reading where the pointer is. The same is there as a table. */
export function Chart({ points, unit, name }: { points: ChartPoint[]; unit: string; name: string }) {
  const box = useRef<HTMLDivElement>(null);
  const width = Math.max(280, useWidth(box));
  const [near, setNear] = useState<ChartPoint | undefined>();
  if (points.length < 2) return <div ref={box}><p class="faint">{texts.resource.historyNone}</p></div>;
  const values = points.map((point) => point.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = high === low ? Math.max(1, Math.abs(high) * 0.05) : (high - low) * 0.08;
  const [bottom, top] = [low - pad, high + pad];
  const [first, last] = [points[0]!.at, points[points.length - 1]!.at];
  const x = (at: number) => LEFT + ((at - first) / Math.max(1, last - first)) * (width - LEFT - 8);
  const y = (value: number) => 8 + ((top - value) / (top - bottom)) * (TALL - BOTTOM - 8);
  const drawn = points.map((point, at) => `${at ? "L" : "M"}${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const area = `${drawn}L${x(last).toFixed(1)} ${y(bottom)}L${x(first).toFixed(1)} ${y(bottom)}Z`;
  const now = points[points.length - 1]!.value;
  const move = (event: PointerEvent) => {
    const left = (event.currentTarget as Element).getBoundingClientRect().left;
    const at = first + ((event.clientX - left - LEFT) / (width - LEFT - 8)) * (last - first);
    setNear(points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best)));
  };
  const label = texts.resource.chart(name, show(low, unit), show(high, unit), show(now, unit));
  return (
    <div ref={box} class="chart">
      <svg width={width} height={TALL} viewBox={`0 0 ${width} ${TALL}`} role="img" aria-label={label}
        onPointerMove={move} onPointerLeave={() => setNear(undefined)}>
        {[0, 0.5, 1].map((part) => {
          const value = bottom + pad + (top - bottom - 2 * pad) * part;
          return (
            <g key={part}>
              <line class="grid" x1={LEFT} x2={width - 8} y1={y(value)} y2={y(value)} />
              <text class="tick" x={LEFT - 8} y={y(value) + 4} text-anchor="end">{show(value)}</text>
            </g>
          );
        })}
        <path class="area" d={area} />
        <path class="line" d={drawn} />
        <text class="tick" x={LEFT} y={TALL - 4}>{clock(first)}</text>
        <text class="tick" x={width - 8} y={TALL - 4} text-anchor="end">{clock(last)}</text>
        {near && <line class="near" x1={x(near.at)} x2={x(near.at)} y1={8} y2={TALL - BOTTOM} />}
        {near && <circle class="dot" cx={x(near.at)} cy={y(near.value)} r={4} />}
      </svg>
      <p class="chart-near" aria-hidden="true">{near ? `${clock(near.at)}  ${show(near.value, unit)}` : "\u00a0"}</p>
      <details>
        <summary>{texts.resource.asTable}</summary>
        <div class="scroll short" tabIndex={0} role="group" aria-label={texts.resource.asTable}>
          <table>
            <thead><tr><th scope="col">{texts.resource.when}</th><th scope="col">{texts.resource.what}</th></tr></thead>
            <tbody>
              {points.slice(-60).reverse().map((point) => (
                <tr key={point.at}><td>{clock(point.at)}</td><td class="num">{show(point.value, unit)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </div>
  );
}
