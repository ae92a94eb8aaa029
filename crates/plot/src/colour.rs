//! Colours: one perceptually uniform map for values, a few hues for series.

/// Viridis (Smith, van der Walt and Firing, 2015; public domain) at 33 even steps.
const VIRIDIS: [u32; 33] = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453781, 0x424086, 0x3e4989, 0x3b528b,
    0x375b8d, 0x33638d, 0x2f6b8e, 0x2c728e, 0x297a8e, 0x26828e, 0x23898e, 0x21918c, 0x1f988b,
    0x1fa088, 0x22a785, 0x28ae80, 0x32b67a, 0x3fbc73, 0x4ec36b, 0x5ec962, 0x70cf57, 0x84d44b,
    0x98d83e, 0xaddc30, 0xc2df23, 0xd8e219, 0xece51b, 0xfde725,
];

/// Red, green and blue, each 0 to 255.
pub(crate) type Rgb = [f64; 3];

/// The colour at `t` in 0 to 1; beyond, that of the end.
pub(crate) fn viridis(t: f64) -> Rgb {
    let last = VIRIDIS.len() - 1;
    let at = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) * last as f64 };
    let index = (at as usize).min(last - 1);
    let (a, b) = (unpack(VIRIDIS[index]), unpack(VIRIDIS[index + 1]));
    let part = at - index as f64;
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * part)
}

fn unpack(hex: u32) -> Rgb {
    [hex >> 16, hex >> 8, hex].map(|part| f64::from(part & 255))
}

/// The colour made lighter or darker by a factor.
pub(crate) fn shade(colour: Rgb, factor: f64) -> Rgb {
    colour.map(|part| (part * factor).clamp(0.0, 255.0))
}

/// `#rrggbb`.
pub(crate) fn hex(colour: Rgb) -> String {
    let [r, g, b] = colour.map(|part| part.round().clamp(0.0, 255.0) as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Hues in order and of middle lightness, so that every one reads on white and on black.
const SWEEP: [u32; 6] = [0x3f6fd6, 0x2794a8, 0x3f9f63, 0xb08a24, 0xd7663c, 0xc6437f];

/// The colour of one of `count` series: distinct hues while they last, then steps of a sweep, which
/// at least keep their order.
pub(crate) fn series(hues: &[&'static str], index: usize, count: usize) -> String {
    if count <= hues.len() {
        return hues[index % hues.len()].to_owned();
    }
    let at = index as f64 / (count - 1) as f64 * (SWEEP.len() - 1) as f64;
    let left = (at as usize).min(SWEEP.len() - 2);
    let (a, b) = (unpack(SWEEP[left]), unpack(SWEEP[left + 1]));
    let part = at - left as f64;
    hex(std::array::from_fn(|c| a[c] + (b[c] - a[c]) * part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_passes_through_its_constants() {
        assert_eq!(hex(viridis(0.0)), "#440154");
        assert_eq!(hex(viridis(0.5)), "#21918c");
        assert_eq!(hex(viridis(1.0)), "#fde725");
        assert_eq!(viridis(7.0), viridis(1.0));
        assert_eq!(viridis(f64::NAN), viridis(0.0));
    }

    #[test]
    fn lightness_rises_along_the_map() {
        let light = |t: f64| {
            let [r, g, b] = viridis(t);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        assert!((0..100).all(|i| light(f64::from(i) / 100.0) < light(f64::from(i + 1) / 100.0)));
    }

    #[test]
    fn many_series_differ_and_none_is_pale_or_dark() {
        let colours: Vec<String> = (0..40).map(|index| series(&["a"; 6], index, 40)).collect();
        let mut unique = colours.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 40);
        for colour in colours {
            let [r, g, b] = unpack(u32::from_str_radix(&colour[1..], 16).unwrap());
            let light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            assert!((80.0..165.0).contains(&light), "{colour}: {light}");
        }
    }
}
