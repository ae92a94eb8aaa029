// The part of a report that the viewer reads; `crates/record` says what each field means.

export interface Surface {
  x: number[];
  y: number[];
  pairs?: number;
  /** `[pair,] y, x`; null where the loss is not finite. */
  loss: (number | null)[];
  status: number[];
  accuracy?: (number | null)[];
  loss_standard_error?: (number | null)[];
  trajectory?: { x: (number | null)[]; y: (number | null)[]; residual: (number | null)[] };
  attributes: { loss_name: string; directions: string };
}

export interface Model {
  name: string;
  surface?: Surface;
}

export interface Report {
  loss_name: string;
  models: Model[];
}

/** A plane to show: a surface of one pair of directions. */
export interface Plane {
  name: string;
  surface: Surface;
}

/** More planes than this would each be too small to read. */
const MOST = 12;

export function planes(report: Report): Plane[] {
  const all = report.models.flatMap(({ name, surface }) => {
    if (!surface || surface.x.length < 2 || surface.y.length < 2) return [];
    const pairs = surface.pairs ?? 1;
    return Array.from({ length: pairs }, (_, pair) => ({
      name: pairs > 1 ? [name, `pair ${pair + 1}`].filter(Boolean).join(", ") : name,
      surface: ofPair(surface, pair),
    }));
  });
  return all.slice(0, MOST);
}

/** The surface of one pair of directions. */
export function ofPair(surface: Surface, pair: number): Surface {
  if ((surface.pairs ?? 1) < 2) return surface;
  const points = surface.x.length * surface.y.length;
  const part = <T>(values: T[]) => values.slice(pair * points, (pair + 1) * points);
  return {
    ...surface,
    pairs: undefined,
    loss: part(surface.loss),
    status: part(surface.status),
    accuracy: surface.accuracy && part(surface.accuracy),
    loss_standard_error: surface.loss_standard_error && part(surface.loss_standard_error),
  };
}

/** The index of the value nearest to `at`. */
export function nearest(values: number[], at: number): number {
  let best = 0;
  values.forEach((value, index) => {
    if (Math.abs(value - at) < Math.abs(values[best] - at)) best = index;
  });
  return best;
}

/** What is known of one point, in lines of name and value. */
export function describe(surface: Surface, row: number, column: number): [string, string][] {
  const index = row * surface.x.length + column;
  const loss = surface.loss[index];
  const error = surface.loss_standard_error?.[index];
  const accuracy = surface.accuracy?.[index];
  const state = surface.status[index] === 0 ? "not computed" : "not finite";
  const lines: [string, string][] = [
    ["x", format(surface.x[column])],
    ["y", format(surface.y[row])],
    ["loss", loss === null ? state : format(loss) + (error ? ` ± ${format(error, 2)}` : "")],
  ];
  if (accuracy !== undefined && accuracy !== null) {
    lines.push(["accuracy", `${format(100 * accuracy)} %`]);
  }
  return lines;
}

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

export function superscript(exponent: number): string {
  return String(exponent).replace(/-/, "⁻").replace(/\d/g, (digit) => SUPERSCRIPT[+digit]);
}

/** A number to a few significant digits, as one writes it by hand. */
export function format(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const text =
    exponent >= -3 && exponent < 6
      ? String(Number(value.toFixed(Math.max(0, digits - 1 - exponent))))
      : `${Number(mantissa)}×10${superscript(exponent)}`;
  return text.replace(/-/g, "−");
}
