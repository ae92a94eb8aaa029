//! Scales and their ticks.

/// How values become positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Linear,
    Log,
}

/// A range of values on a linear or logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) kind: Kind,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A place on a scale that is worth a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

impl Scale {
    /// The linear scale that holds all finite values; None without any.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Option<Scale> {
        let (low, high) = extent(values.into_iter().filter(|v| v.is_finite()))?;
        let (low, high) = if high > low {
            (low, high)
        } else {
            let pad = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
            (low - pad, high + pad)
        };
        Some(Scale { kind: Kind::Linear, low, high })
    }

    /// The log scale that holds all positive finite values; None without any.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Option<Scale> {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = extent(positive)?;
        // Less than a factor of two would be all noise, however flat the surface.
        let (low, high) = if high >= 2.0 * low {
            (low, high)
        } else {
            let middle = low.sqrt() * high.sqrt();
            (middle / 2f64.sqrt(), middle * 2f64.sqrt())
        };
        Some(Scale { kind: Kind::Log, low, high })
    }

    /// The scale with room beyond both ends, as a share of its length.
    pub(crate) fn padded(self, share: f64) -> Scale {
        match self.kind {
            Kind::Linear => {
                let pad = share * (self.high - self.low);
                Scale { low: self.low - pad, high: self.high + pad, ..self }
            }
            Kind::Log => {
                let factor = (share * (self.high.ln() - self.low.ln())).exp();
                Scale { low: self.low / factor, high: self.high * factor, ..self }
            }
        }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end. On a log scale zero and below lie
    /// at minus infinity.
    pub(crate) fn position(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log if value <= 0.0 => f64::NEG_INFINITY,
            Kind::Log => (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        }
    }

    /// Ticks inside the range, about as many as asked for.
    pub(crate) fn ticks(&self, about: usize) -> Vec<Tick> {
        match self.kind {
            Kind::Linear => linear_ticks(self.low, self.high, about),
            Kind::Log => log_ticks(self.low, self.high, about),
        }
    }

    /// The whole powers of ten inside a log scale.
    pub(crate) fn decades(&self) -> Vec<f64> {
        let (first, last) = (ceil(self.low.log10()), floor(self.high.log10()));
        (first..=last).map(|exponent| 10f64.powi(exponent)).collect()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
    })
}

/// Rounding up that forgives the last digits of a logarithm.
fn ceil(value: f64) -> i32 {
    (value - 1e-9).ceil() as i32
}

fn floor(value: f64) -> i32 {
    (value + 1e-9).floor() as i32
}

fn linear_ticks(low: f64, high: f64, about: usize) -> Vec<Tick> {
    let rough = (high - low) / about.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        power * [1.0, 2.0, 2.5, 5.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0);
    if !step.is_finite() || step <= 0.0 {
        return Vec::new();
    }
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let exponent = floor(low.abs().max(high.abs()).log10());
    let count = (last - first).min(100.0) as usize;
    (0..=count)
        .map(|index| {
            let value = (first + index as f64) * step;
            let label = if (-3..5).contains(&exponent) {
                let digits = (2.0 - step.log10()).ceil().clamp(0.0, 9.0) as usize;
                minus(trim(format!("{value:.digits$}")))
            } else {
                // One power for all, so that neighbours compare.
                let mantissa = trim(format!("{:.2}", value / 10f64.powi(exponent)));
                if value == 0.0 {
                    "0".into()
                } else {
                    minus(format!("{mantissa}×10{}", superscript(exponent)))
                }
            };
            Tick { value, label }
        })
        .collect()
}

fn log_ticks(low: f64, high: f64, about: usize) -> Vec<Tick> {
    let (first, last) = (ceil(low.log10()), floor(high.log10()));
    let decades = (last - first + 1).max(0) as usize;
    if decades >= 3 {
        let stride = decades.div_ceil(about.max(2)).max(1);
        // Multiples of the stride, so that panels of different range agree.
        return (first..=last)
            .filter(|exponent| exponent.rem_euclid(stride as i32) == 0)
            .map(|exponent| Tick {
                value: 10f64.powi(exponent),
                label: format!("10{}", superscript(exponent)),
            })
            .collect();
    }
    let mut ticks = Vec::new();
    for exponent in first - 1..=last {
        for multiple in [1.0, 2.0, 5.0] {
            let value = multiple * 10f64.powi(exponent);
            if value >= low * (1.0 - 1e-9) && value <= high * (1.0 + 1e-9) {
                ticks.push(Tick { value, label: number(value) });
            }
        }
    }
    if ticks.len() < 2 { linear_ticks(low, high, about) } else { ticks }
}

fn trim(mut text: String) -> String {
    if text.contains('.') {
        while text.ends_with('0') {
            text.pop();
        }
        if text.ends_with('.') {
            text.pop();
        }
    }
    if text == "-0" { "0".into() } else { text }
}

fn minus(text: String) -> String {
    text.replace('-', "−")
}

/// A number to three significant digits, as one writes it by hand.
pub(crate) fn number(value: f64) -> String {
    significant(value, 3)
}

/// A number to so many significant digits: `0.00123`, `1.23×10⁻⁷`.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "not a number".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞".into() } else { "−∞".into() };
    }
    if value == 0.0 {
        return "0".into();
    }
    // Rounded first: 999.9 to three digits has another exponent than itself.
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        minus(trim(format!("{value:.decimals$}")))
    } else {
        minus(format!("{}×10{}", trim(mantissa.to_owned()), superscript(exponent)))
    }
}

/// A whole number in superscript.
pub(crate) fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    exponent
        .to_string()
        .chars()
        .map(|c| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, about: usize) -> Vec<String> {
        scale.ticks(about).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        let linear = |low, high| Scale { kind: Kind::Linear, low, high };
        assert_eq!(labels(linear(-1.0, 1.0), 4), ["−1", "−0.5", "0", "0.5", "1"]);
        assert_eq!(labels(linear(0.0, 0.3), 3), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(linear(0.0, 2e6), 2), ["0", "1×10⁶", "2×10⁶"]);
        let log = |low, high| Scale { kind: Kind::Log, low, high };
        assert_eq!(
            labels(log(1e-4, 1e2), 7),
            ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹", "10²"]
        );
        assert_eq!(labels(log(1e-4, 1e4), 4), ["10⁻³", "10⁰", "10³"]);
        assert_eq!(labels(log(0.15, 6.0), 5), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(log(1.0, 2.0), 4), ["1", "2"]);
        assert!(labels(log(3.0, 4.5), 4).len() > 1);
        assert_eq!(log(1e-4, 1e2).decades().len(), 7);
    }

    #[test]
    fn scales_take_only_what_they_can_show() {
        let values = [f64::NAN, -1.0, 0.0, 10.0, 1000.0, f64::INFINITY];
        let log = Scale::log(values).unwrap();
        assert_eq!((log.low, log.high), (10.0, 1000.0));
        assert!((log.position(100.0) - 0.5).abs() < 1e-12);
        assert_eq!(log.position(0.0), f64::NEG_INFINITY);
        assert_eq!(Scale::log([0.0, -1.0]), None);
        assert_eq!(Scale::linear([f64::NAN]), None);
        let one = Scale::linear([5.0]).unwrap();
        assert!(one.low < 5.0 && one.high > 5.0);
        let wide = Scale::log([1.0, 100.0]).unwrap().padded(0.5);
        assert!((wide.low - 0.1).abs() < 1e-12 && (wide.high - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_read_as_written_by_hand() {
        let read = [0.0, 1.0, -0.00123, 999.96, 12345.6, 1.23e-7, -4e12].map(number);
        assert_eq!(read, ["0", "1", "−0.00123", "1000", "12346", "1.23×10⁻⁷", "−4×10¹²"]);
    }
}
