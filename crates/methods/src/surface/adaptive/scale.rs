//! The tolerance at a loss, and the height that makes it the same everywhere.

/// How far a loss may be off: `tol (|L - L_c| + s)`, where `L_c` is the loss at the centre and the
/// scale `s` its size.
///
/// In the height `h(L) = sign(L - L_c) ln(1 + |L - L_c| / s)` this is `tol` everywhere, to first
/// order, since `dL = (|L - L_c| + s) dh`. So heights are what is interpolated: walls of ten
/// decades and the basin between them are equally well resolved, whatever the sign of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    centre: f64,
    size: f64,
}

impl Scale {
    /// For a loss at the centre; `differences` from it are looked at only where it is zero, of
    /// which the smallest is then the scale.
    pub(super) fn new(centre: f64, differences: impl Iterator<Item = f64>) -> Scale {
        let size = match centre.abs() {
            0.0 => differences
                .map(f64::abs)
                .filter(|&d| d > 0.0 && d.is_finite())
                .fold(f64::INFINITY, f64::min),
            size => size,
        };
        Scale { centre, size: if size.is_finite() { size } else { 1.0 } }
    }

    /// The height of a loss; NaN where it is not finite.
    pub(super) fn height(&self, loss: f64) -> f64 {
        let off = loss - self.centre;
        match loss.is_finite() {
            true => (off.abs() / self.size).ln_1p().copysign(off),
            false => f64::NAN,
        }
    }

    /// The loss at a height.
    pub(super) fn loss(&self, height: f64) -> f64 {
        self.centre + (self.size * height.abs().exp_m1()).copysign(height)
    }

    /// `dL / dh`: what a tolerance of one would allow at a loss.
    pub(super) fn slope(&self, loss: f64) -> f64 {
        (loss - self.centre).abs() + self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_go_round_and_grow_as_their_slope_says() {
        for centre in [0.2, -3.0, 0.0, 1e-9] {
            let scale = Scale::new(centre, [4.0, -0.5, 0.0, f64::NAN].into_iter());
            assert_eq!(scale.size, if centre == 0.0 { 0.5 } else { f64::abs(centre) });
            assert_eq!((scale.height(centre), scale.loss(0.0)), (0.0, centre));
            for loss in [-7.0, -0.01, 0.3, 12.0, 1e9] {
                let height = scale.height(loss);
                assert!((scale.loss(height) - loss).abs() < 1e-9 * loss.abs().max(1.0));
                let step = 1e-6 * scale.slope(loss);
                let rise = (scale.height(loss + step) - scale.height(loss - step)) / 2e-6;
                assert!((rise - 1.0).abs() < 1e-3, "{centre} {loss}: {rise}");
            }
        }
        assert!(Scale::new(1.0, std::iter::empty()).height(f64::INFINITY).is_nan());
        assert_eq!(Scale::new(0.0, std::iter::empty()).size, 1.0);
    }
}
