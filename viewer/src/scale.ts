// How a loss becomes a height and a colour.

import { format, superscript } from "./report";

export interface Tick {
  value: number;
  label: string;
}

export class Scale {
  private constructor(
    readonly kind: "log" | "linear",
    readonly low: number,
    readonly high: number,
  ) {}

  /** The scale that holds all values; a log scale only if some are positive. */
  static of(kind: "log" | "linear", values: Iterable<number | null>): Scale {
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value === null || (kind === "log" && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (low > high) return kind === "log" ? Scale.of("linear", values) : new Scale(kind, 0, 1);
    if (kind === "log" && high < 2 * low) {
      const middle = Math.sqrt(low) * Math.sqrt(high);
      return new Scale(kind, middle / Math.SQRT2, middle * Math.SQRT2);
    }
    if (low === high) return new Scale(kind, low - 1, high + 1);
    return new Scale(kind, low, high);
  }

  /** Where a value lies, 0 to 1. */
  position(value: number): number {
    const t =
      this.kind === "log"
        ? Math.log(Math.max(value, Number.MIN_VALUE) / this.low) / Math.log(this.high / this.low)
        : (value - this.low) / (this.high - this.low);
    return Math.min(1, Math.max(0, t));
  }

  /** Evenly spaced ticks: whole powers of ten, or round steps. */
  ticks(about: number): Tick[] {
    if (this.kind === "log" && this.high < 100 * this.low) {
      const round: Tick[] = [];
      for (let exponent = Math.floor(Math.log10(this.low)); 10 ** exponent <= this.high; exponent++) {
        for (const value of [1, 2, 5].map((multiple) => multiple * 10 ** exponent)) {
          if (value >= this.low && value <= this.high) round.push({ value, label: format(value) });
        }
      }
      if (round.length > 1) return round;
    } else if (this.kind === "log") {
      const first = Math.ceil(Math.log10(this.low) - 1e-9);
      const last = Math.floor(Math.log10(this.high) + 1e-9);
      if (last - first >= 1) {
        const stride = Math.max(1, Math.ceil((last - first + 1) / about));
        const ticks: Tick[] = [];
        for (let exponent = first; exponent <= last; exponent++) {
          if (exponent % stride === 0) {
            ticks.push({ value: 10 ** exponent, label: `10${superscript(exponent)}` });
          }
        }
        return ticks;
      }
    }
    return linearTicks(this.low, this.high, about);
  }
}

export function linearTicks(low: number, high: number, about: number): Tick[] {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((multiple) => multiple * power >= rough) ?? 10);
  const ticks: Tick[] = [];
  for (let index = Math.ceil(low / step - 1e-9); index <= high / step + 1e-9; index++) {
    ticks.push({ value: index * step, label: format(index * step) });
  }
  return ticks;
}
