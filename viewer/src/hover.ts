// Answers the pointer over the static figures: each carries what it needs in `data-hover`.

import { describe, format, nearest, ofPair, type Report } from "./report";

interface Axis {
  kind: "linear" | "log";
  low: number;
  high: number;
  label: string;
}

interface Series {
  name: string;
  colour: string;
  x?: (number | null)[];
  y: (number | null)[];
}

interface Target {
  kind: "map" | "chart" | "ranks";
  frame: [number, number, number, number];
  x?: Axis;
  y: Axis;
  model?: number;
  pair?: number;
  labels?: string[];
  series?: Series[];
}

function value(axis: Axis, t: number): number {
  return axis.kind === "log"
    ? axis.low * (axis.high / axis.low) ** t
    : axis.low + (axis.high - axis.low) * t;
}

function position(axis: Axis, at: number): number {
  return axis.kind === "log"
    ? Math.log(at / axis.low) / Math.log(axis.high / axis.low)
    : (at - axis.low) / (axis.high - axis.low);
}

interface Row {
  name: string;
  text: string;
  colour?: string;
}

interface Answer {
  rows: Row[];
  /** Where a ring marks what is meant, in the figure's units. */
  marks: { at: [number, number]; colour: string }[];
}

function overMap(target: Target, report: Report, tx: number, ty: number): Answer {
  // The figure counts the models that have a surface.
  const surfaces = report.models.flatMap((model) => model.surface ?? []);
  const whole = surfaces[target.model ?? 0];
  if (!whole || !target.x) return { rows: [], marks: [] };
  const surface = ofPair(whole, target.pair ?? 0);
  const column = nearest(surface.x, value(target.x, tx));
  const row = nearest(surface.y, value(target.y, ty));
  const [left, top, width, height] = target.frame;
  const at: [number, number] = [
    left + position(target.x, surface.x[column]) * width,
    top + (1 - position(target.y, surface.y[row])) * height,
  ];
  return {
    rows: describe(surface, row, column).map(([name, text]) => ({ name, text })),
    marks: [{ at, colour: "#ffffff" }],
  };
}

/** The series to speak of: all, or of many those nearest to the pointer, in their own order. */
function closest(target: Target, wanted: number, ty: number): Series[] {
  const all = (target.series ?? []).filter((one) => one.x && one.x.length > 0);
  const distance = (one: Series) =>
    Math.min(...one.x!.map((x) => (x === null ? Infinity : Math.abs(x - wanted))));
  // A line in several stretches is spoken of once.
  const series = all.filter((one) =>
    all.every((other) => other.name !== one.name || distance(one) <= distance(other)),
  );
  if (series.length <= 8) return series;
  const away = new Map(
    series.map((one) => {
      const y = one.y[nearest(one.x!.map((x) => x ?? Infinity), wanted)];
      return [one, y === null ? Infinity : Math.abs(position(target.y, y) - ty)];
    }),
  );
  const near = new Set([...series].sort((a, b) => away.get(a)! - away.get(b)!).slice(0, 5));
  return series.filter((one) => near.has(one));
}

function overChart(target: Target, tx: number, ty: number): Answer {
  const answer: Answer = { rows: [], marks: [] };
  if (!target.x) return answer;
  const [left, top, width, height] = target.frame;
  const wanted = value(target.x, tx);
  const series = closest(target, wanted, ty);
  let shown: number | undefined;
  for (const one of series) {
    const xs = one.x!.map((x) => x ?? Infinity);
    const index = nearest(xs, wanted);
    const y = one.y[index];
    shown ??= xs[index];
    answer.rows.push({ name: one.name, text: y === null ? "not finite" : format(y), colour: one.colour });
    if (y === null || (target.y.kind === "log" && y <= 0)) continue;
    const at: [number, number] = [
      left + position(target.x, xs[index]) * width,
      top + (1 - position(target.y, y)) * height,
    ];
    answer.marks.push({ at, colour: one.colour });
  }
  if (shown !== undefined) {
    const name = target.x.label === "step" || target.x.label === "eigenvalue" ? target.x.label : "at";
    answer.rows.unshift({ name, text: format(shown, 4) });
  }
  return answer;
}

function overRanks(target: Target, tx: number): Answer {
  const labels = target.labels ?? [];
  const slot = Math.min(labels.length - 1, Math.floor(tx * labels.length));
  const rows: Row[] = [{ name: "rank", text: labels[slot] ?? "" }];
  for (const one of target.series ?? []) {
    const y = one.y[slot];
    if (y !== undefined && y !== null) {
      rows.push({ name: one.name || "eigenvalue", text: format(y, 4), colour: one.colour });
    }
  }
  return { rows: rows.length > 1 ? rows : [], marks: [] };
}

/** A box beside the pointer; one for the whole page. */
export class Tooltip {
  private readonly box = document.createElement("div");

  constructor() {
    this.box.className = "tw-tip";
    this.box.hidden = true;
    document.body.append(this.box);
  }

  show(rows: Row[], x: number, y: number, heading?: string): void {
    this.box.replaceChildren();
    if (heading) {
      const line = document.createElement("strong");
      line.textContent = heading;
      this.box.append(line);
    }
    for (const row of rows) {
      const line = document.createElement("div");
      if (row.colour) {
        const dot = document.createElement("i");
        dot.style.background = row.colour;
        line.append(dot);
      }
      const name = document.createElement("span");
      name.textContent = row.name;
      const text = document.createElement("b");
      text.textContent = row.text;
      line.append(name, text);
      this.box.append(line);
    }
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    const right = x + 16 + width < window.innerWidth;
    this.box.style.left = `${Math.max(4, right ? x + 16 : x - 16 - width)}px`;
    this.box.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - height - 8))}px`;
  }

  hide(): void {
    this.box.hidden = true;
  }
}

export function hoverFigures(root: ParentNode, report: Report, tooltip: Tooltip): void {
  for (const svg of root.querySelectorAll<SVGSVGElement>("svg[data-hover]")) {
    const targets: Target[] = JSON.parse(svg.dataset.hover ?? "[]");
    const marks = document.createElementNS("http://www.w3.org/2000/svg", "g");
    marks.setAttribute("pointer-events", "none");
    svg.append(marks);
    const leave = () => {
      marks.replaceChildren();
      tooltip.hide();
    };
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("pointermove", (event) => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      for (const target of targets) {
        const [left, top, width, height] = target.frame;
        const tx = (point.x - left) / width;
        const ty = 1 - (point.y - top) / height;
        if (tx < 0 || tx > 1 || ty < 0 || ty > 1) continue;
        const answer =
          target.kind === "map"
            ? overMap(target, report, tx, ty)
            : target.kind === "chart"
              ? overChart(target, tx, ty)
              : overRanks(target, tx);
        marks.replaceChildren(
          ...answer.marks.map(({ at, colour }) => {
            const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
            ring.setAttribute("cx", String(at[0]));
            ring.setAttribute("cy", String(at[1]));
            ring.setAttribute("r", "4.5");
            ring.setAttribute("fill", "none");
            ring.setAttribute("stroke-width", "2");
            ring.setAttribute("stroke", colour);
            return ring;
          }),
        );
        if (answer.rows.length > 0) tooltip.show(answer.rows, event.clientX, event.clientY);
        else tooltip.hide();
        return;
      }
      leave();
    });
  }
}
