// Viridis (Smith, van der Walt and Firing, 2015; public domain) at 33 even steps.
const STEPS = [
  0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453781, 0x424086, 0x3e4989, 0x3b528b,
  0x375b8d, 0x33638d, 0x2f6b8e, 0x2c728e, 0x297a8e, 0x26828e, 0x23898e, 0x21918c, 0x1f988b,
  0x1fa088, 0x22a785, 0x28ae80, 0x32b67a, 0x3fbc73, 0x4ec36b, 0x5ec962, 0x70cf57, 0x84d44b,
  0x98d83e, 0xaddc30, 0xc2df23, 0xd8e219, 0xece51b, 0xfde725,
];

export function viridis(t: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, t)) * (STEPS.length - 1);
  const index = Math.min(STEPS.length - 2, Math.floor(at));
  const part = (shift: number) => {
    const a = (STEPS[index] >> shift) & 255;
    const b = (STEPS[index + 1] >> shift) & 255;
    return a + (b - a) * (at - index);
  };
  return [part(16), part(8), part(0)];
}

/** The whole map as stops of a CSS gradient. */
export function gradient(): string {
  return STEPS.map((hex) => `#${hex.toString(16).padStart(6, "0")}`).join(",");
}
