// Who has which memory of the chip, drawn from its System Device Tree: one column for the chip, one for each domain.
//
// Not to scale, since a ring of descriptors beside a gigabyte would vanish: each stretch between two boundaries gets a
// height by the logarithm of its size, and what nobody has is a break. Carveouts lie over the memory that they are of.
import { useEffect, useState } from "preact/hooks";
import { api, type MemoryBlock, type MemoryMap } from "../api";
import { bytes } from "../format";
import { Trouble } from "../parts/bits";
import { texts } from "../texts";

const LEFT = 100;
const TOP = 30;
const WIDTH = 176;
const GAP = 12;
const BREAK = 22;

type Box = MemoryBlock & { from: bigint; to: bigint; column: number };

/** Boundaries from low addresses to high ones, and where each is drawn. */
function places(boxes: Box[]) {
  const edges = [...new Set(boxes.flatMap((box) => [box.from, box.to]))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const at = new Map<bigint, number>();
  const breaks: number[] = [];
  let y = TOP;
  edges.forEach((edge, n) => {
    const before = edges[n - 1];
    if (before !== undefined) {
      const used = boxes.some((box) => box.from <= before && box.to >= edge);
      if (used) y += Math.max(24, Math.min(72, Math.log2(Number(edge - before)) * 2.2));
      else {
        breaks.push(y + BREAK / 2);
        y += BREAK;
      }
    }
    at.set(edge, y);
  });
  return { at, breaks, height: y + 8 };
}

const short = (text: string, room: number) => (text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text);
const address = (value: bigint) => `0x${value.toString(16).padStart(8, "0")}`;

function Drawing({ map }: { map: MemoryMap }) {
  const boxes: Box[] = map.blocks.map((block) => {
    const from = BigInt(block.start);
    return { ...block, from, to: from + BigInt(block.size), column: (block.domain ?? -1) + 1 };
  });
  const { at, breaks, height } = places(boxes);
  const columns = map.domains.length + 1;
  const width = LEFT + columns * (WIDTH + GAP);
  const x = (column: number) => LEFT + column * (WIDTH + GAP);
  // Large before small, so that what is within lies above.
  boxes.sort((a, b) => Number(a.carveout) - Number(b.carveout) || Number(b.to - b.from) - Number(a.to - a.from));
  let last = -99;
  return (
    <svg class="memory" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={texts.map.alt(map.model, map.domains.length)}>
      <defs>
        <pattern id="shared" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="3" height="8" /></pattern>
      </defs>
      {[texts.map.chip, ...map.domains.map((domain) => domain.name)].map((name, column) => (
        <text key={column} class="column" x={x(column) + WIDTH / 2} y={18} text-anchor="middle">{short(name, 20)}</text>
      ))}
      {[...at].map(([edge, y]) => {
        const labelled = y - last >= 12;
        if (labelled) last = y;
        return (
          <g key={String(edge)}>
            <line class="edge" x1={LEFT - 6} x2={width} y1={y} y2={y} />
            {labelled && <text class="address" x={LEFT - 10} y={y + 4} text-anchor="end">{address(edge)}</text>}
          </g>
        );
      })}
      {breaks.map((y) => <text key={y} class="address" x={LEFT - 40} y={y + 4} text-anchor="end">⋮</text>)}
      {boxes.map((box, n) => {
        const [top, bottom] = [at.get(box.from)! + 1, at.get(box.to)! - 1];
        const inset = box.carveout ? 14 : 0;
        const [left, wide] = [x(box.column) + inset, WIDTH - inset];
        // A memory's name stands in its first free stretch, above the carveouts that cover it.
        const over = boxes.filter((one) => one.column === box.column && one.carveout && !box.carveout && one.from >= box.from && one.to <= box.to);
        const free = Math.min(bottom, ...over.map((one) => at.get(one.from)!));
        const middle = (top + (free - top >= 20 ? free : bottom)) / 2;
        const size = bytes(Number(box.to - box.from));
        const room = Math.floor(wide / 6.6);
        const label = box.name.length + size.length < room ? `${box.name} ${size}` : short(box.name, room);
        const kind = box.column === 0 ? "of-chip" : box.carveout ? "carveout" : "given";
        return (
          <g key={n} class={kind} data-block={box.name}>
            <title>{`${box.name}, ${address(box.from)}, ${size}`}</title>
            <rect x={left} y={top} width={wide} height={bottom - top} rx="3" />
            {box.shared && <rect class="shared" x={left} y={top} width={wide} height={bottom - top} rx="3" />}
            <text x={left + wide / 2} y={middle + 4} text-anchor="middle">{label}</text>
          </g>
        );
      })}
    </svg>
  );
}

/** The same for those who do not see the drawing, and to copy from. */
function Rows({ map }: { map: MemoryMap }) {
  const labels = texts.map.columns;
  const who = (block: MemoryBlock) => (block.domain === undefined || block.domain === null ? texts.map.chip : map.domains[block.domain]?.name ?? "");
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={texts.resource.asTable}>
      <table>
        <thead><tr><th>{labels.who}</th><th>{labels.what}</th><th class="num">{labels.start}</th><th class="num">{labels.size}</th><th>{labels.kind}</th></tr></thead>
        <tbody>
          {map.blocks.map((block, n) => (
            <tr key={n}>
              <td>{who(block)}</td><td>{block.name}</td><td class="num">{address(BigInt(block.start))}</td><td class="num">{bytes(Number(block.size))}</td>
              <td>{[block.carveout ? texts.map.carveout : texts.map.memory, block.shared && texts.map.shared].filter(Boolean).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function MemoryPanel() {
  const [map, setMap] = useState<MemoryMap>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    api.memoryMap().then(setMap, setError);
  }, []);
  // Most devices have none, and need none.
  if (!error && !map?.files.length) return null;
  return (
    <section class="panel core" aria-labelledby="memory-map" data-map>
      <h2 id="memory-map">{map?.model ? texts.map.title(map.model) : texts.map.titleOfAny}</h2>
      <Trouble error={error} />
      {map && (
        <>
          <p class="hint">{texts.map.about(map.files.join(", "))}</p>
          <div class="scroll" tabIndex={0} role="group" aria-label={texts.map.titleOfAny}><Drawing map={map} /></div>
          <dl class="facts">
            {map.domains.map((domain) => <div key={domain.name}><dt>{domain.name}</dt><dd>{domain.cpus.join("; ") || texts.map.noCpus}</dd></div>)}
          </dl>
          <details><summary>{texts.resource.asTable}</summary><Rows map={map} /></details>
        </>
      )}
    </section>
  );
}
