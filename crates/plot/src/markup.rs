//! Numbers, paths and texts as SVG writes them.

use std::fmt::Write;

/// A rectangle, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
}

impl Rect {
    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }
    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }
    pub(crate) fn attributes(&self) -> String {
        format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            num(self.x),
            num(self.y),
            num(self.w),
            num(self.h)
        )
    }
}

/// The `d` of a path through points, relative and to a tenth of a pixel to keep files small.
pub(crate) fn path(points: &[[f64; 2]], closed: bool) -> String {
    let mut d = String::new();
    let mut last = [0i64; 2];
    let mut open = false;
    for point in points {
        if !point.iter().all(|v| v.is_finite()) {
            open = false;
            continue;
        }
        let at = point.map(|v| (v * 10.0).round() as i64);
        let tenths = |v: i64| num(v as f64 / 10.0);
        if open {
            let step = [at[0] - last[0], at[1] - last[1]];
            if step != [0, 0] {
                let gap = if step[1] < 0 { "" } else { " " };
                let _ = write!(d, "l{}{gap}{}", tenths(step[0]), tenths(step[1]));
            }
        } else {
            let _ = write!(d, "M{} {}", tenths(at[0]), tenths(at[1]));
            open = true;
        }
        last = at;
    }
    if closed {
        d.push('z');
    }
    d
}

/// A number as short as SVG takes it, to a hundredth.
pub(crate) fn num(value: f64) -> String {
    let mut text = format!("{value:.2}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    if text == "-0" || text.is_empty() { "0".into() } else { text }
}

/// Text as XML and HTML take it, also inside quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in XML, escaped or not.
            c if c.is_control() && c != '\n' && c != '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.001, 1.5, 100.0, 2.345].map(num), ["0", "0", "1.5", "100", "2.35"]);
    }

    #[test]
    fn paths_break_where_a_point_is_not_finite() {
        let points = [[0.0, 0.0], [1.0, 1.0], [f64::NAN, 2.0], [3.0, 3.0], [4.0, 2.0]];
        assert_eq!(path(&points, false), "M0 0l1 1M3 3l1-1");
    }
}
