//! `f32`: branch-free functions within 2 units in the last place.
//!
//! Polynomials are minimax fits (weighted for relative error of the function, coefficients rounded
//! in turn and the rest refitted). Every fused operation is written; nothing is left to the
//! compiler's choice.

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, which then stands in
/// the low bits.
const ROUND: f32 = 12_582_912.0;
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// Evaluates a polynomial, coefficients from the constant up.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum.mul_add(x, coefficients[i]);
    }
    sum
}

/// 2 to the power `n`, for `n` in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n.wrapping_add(127)) as u32) << 23)
}

/// `(expm1(r), n)` with `x = n ln 2 + r` and `|r| <= ln(2) / 2`.
#[inline(always)]
fn reduced_expm1(x: f32) -> (f32, i32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, x));
    let q = polynomial(
        r,
        [0.5, 1.666_666_7e-1, 4.166_648e-2, 8.333_208e-3, 1.393_356_5e-3, 1.994_426_6e-4],
    );
    ((r * r).mul_add(q, r), shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these the result is infinite or zero; NaN passes both comparisons.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let (p, n) = reduced_expm1(x);
    // Two factors, so that neither over- nor underflows before the product does.
    let half = n >> 1;
    (1.0 + p) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
pub(super) fn expm1(x: f32) -> f32 {
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -20.0 { -20.0 } else { clamped };
    let (p, n) = reduced_expm1(clamped);
    // Half of 2^n is finite where 2^n may not be.
    let half = power_of_two(n.wrapping_sub(1));
    let scaled = 2.0 * p.mul_add(half, half - 0.5);
    let result = if n == 0 { p } else { scaled };
    if x == 0.0 { x } else { result }
}

const LOG: [f32; 4] = [6.666_666e-1, 4.000_097_2e-1, 2.849_883_7e-1, 2.427_683_9e-1];
/// The 16 leading bits of ln 2, so that products with exponents are exact; and the rest.
const LOG_2_HI: f32 = 0.693_145_75;
const LOG_2_LO: f32 = 1.428_606_8e-6;
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// `k ln 2 + log(1 + f) + correction`, for `1 + f` in [sqrt(1/2), sqrt(2)].
#[inline(always)]
fn log_of_reduced(f: f32, k: i32, correction: f32) -> f32 {
    let k = k as f32;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial(z, LOG);
    let half_square = 0.5 * f * f;
    let low = k.mul_add(LOG_2_LO, correction);
    let tail = s.mul_add(half_square + r, low) - half_square;
    k.mul_add(LOG_2_HI, f + tail)
}

#[inline(always)]
pub(super) fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits().wrapping_add(1.0f32.to_bits() - SQRT_HALF_BITS);
    let k = (bits >> 23) as i32 - 127 - if subnormal { 23 } else { 0 };
    let f = f32::from_bits((bits & 0x7f_ffff) + SQRT_HALF_BITS) - 1.0;
    let result = log_of_reduced(f, k, 0.0);
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    let result = if x < 0.0 { f32::NAN } else { result };
    // Infinity and NaN.
    if x < f32::INFINITY { result } else { x }
}

#[inline(always)]
pub(super) fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let bits = u.to_bits().wrapping_add(1.0f32.to_bits() - SQRT_HALF_BITS);
    let k = (bits >> 23) as i32 - 127;
    // What rounding 1 + x lost, relative to u.
    let lost = if k >= 2 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let correction = if k < 25 { lost / u } else { 0.0 };
    let reduced = f32::from_bits((bits & 0x7f_ffff) + SQRT_HALF_BITS) - 1.0;
    let exact = k == 0;
    let result =
        log_of_reduced(if exact { x } else { reduced }, k, if exact { 0.0 } else { correction });
    let result = if x == 0.0 { x } else { result };
    let result = if x == -1.0 { f32::NEG_INFINITY } else { result };
    let result = if x < -1.0 { f32::NAN } else { result };
    if x < f32::INFINITY { result } else { x }
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let t = x.abs();
    let z = x * x;
    let p = polynomial(
        z,
        [
            -3.333_333e-1,
            1.333_322_2e-1,
            -5.394_846_2e-2,
            2.170_874_6e-2,
            -8.195_062e-3,
            2.157_597e-3,
        ],
    );
    let small = (t * z).mul_add(p, t);
    let large = 1.0 - 2.0 / (exp(2.0 * t) + 1.0);
    let result = if t < 0.625 { small } else { large };
    result.copysign(x)
}

#[inline(always)]
pub(super) fn logistic(x: f32) -> f32 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    let denominator = 1.0 + e;
    let lost = e - (denominator - 1.0);
    let reciprocal = 1.0 / denominator;
    // One step of division that also makes good for what rounding the denominator lost.
    let quotient = numerator * reciprocal;
    let rest = lost.mul_add(-quotient, quotient.mul_add(-denominator, numerator));
    rest.mul_add(reciprocal, quotient)
}

#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let t = x.abs();
    let p = polynomial(
        x * x,
        [
            1.283_791_7e-1,
            -3.761_263e-1,
            1.128_362_4e-1,
            -2.685_558_8e-2,
            5.191_948e-3,
            -8.043_839_5e-4,
            7.969_663_4e-5,
        ],
    );
    let small = t.mul_add(p, t);
    // 1 - exp(-g) with g = -log(erfc(t)); beyond 4 the result is 1.
    let t4 = if t > 4.0 { 4.0 } else { t };
    let h = polynomial(
        t4,
        [
            1.285_414_4e-1,
            6.356_731_7e-1,
            1.051_694_2e-1,
            -2.257_549_2e-2,
            2.869_012_8e-3,
            -2.738_353_2e-5,
            -4.995_329e-5,
            5.298_297e-6,
        ],
    );
    let large = 1.0 - exp(-t4.mul_add(h, t4));
    let result = if t < 0.92 { small } else { large };
    result.copysign(x)
}

/// The first 288 binary digits of 2 / pi.
const TWO_OVER_PI: [u32; 9] = [
    0xA2F9_836E,
    0x4E44_1529,
    0xFC27_57D1,
    0xF534_DDC0,
    0xDB62_9599,
    0x3C43_9041,
    0xFE51_63AB,
    0xDEBB_C561,
    0xB724_6E3A,
];

/// For each exponent field E, `2^(E - 150) * 2 / pi` modulo 4 in three pieces of 28, 29 and 53
/// bits, so that products of the first two with a 24-bit integer are exact in f64.
static QUARTERS: [[f64; 256]; 3] = {
    let mut table = [[0.0; 256]; 3];
    let mut exponent = 0;
    while exponent < 255 {
        // Digits from weight 2^1 of the product, which is digit number E - 151 of 2 / pi.
        let first = exponent as i32 - 151;
        let mut window: u128 = 0;
        let mut i = 0;
        while i < 128 {
            let digit = first + i;
            if digit >= 1 && digit <= 288 {
                let d = digit as usize - 1;
                let bit = TWO_OVER_PI[d / 32] >> (31 - d % 32) & 1;
                window |= (bit as u128) << (127 - i);
            }
            i += 1;
        }
        table[0][exponent] = (window >> 100) as f64 / (1u64 << 26) as f64;
        table[1][exponent] = (window >> 71 & 0x1fff_ffff) as f64 / (1u64 << 55) as f64;
        let rest = (window >> 18 & 0x1f_ffff_ffff_ffff) as f64;
        table[2][exponent] = rest / (1u64 << 54) as f64 / (1u64 << 54) as f64;
        exponent += 1;
    }
    table[0][255] = f64::NAN;
    table
};

/// `(r, quarter)` with `|x| = (pi / 2) (4 i + quarter) + r` and `|r| <= pi / 4`, for any `x`.
#[inline(always)]
fn reduce(x: f32) -> (f32, u32) {
    /// As the constant of the same name above, for f64.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let bits = x.to_bits() & 0x7fff_ffff;
    let exponent = (bits >> 23) as usize & 0xff;
    let mantissa = f64::from((bits & 0x7f_ffff | 0x80_0000) as i32);
    let high = mantissa * QUARTERS[0][exponent];
    let shifted = high + ROUND;
    let turn = high - (shifted - ROUND);
    let turn =
        mantissa.mul_add(QUARTERS[2][exponent], mantissa.mul_add(QUARTERS[1][exponent], turn));
    // The middle piece may have carried the fraction past a half.
    let again = turn + ROUND;
    let fraction = turn - (again - ROUND);
    let quarter = (shifted.to_bits() as u32).wrapping_add(again.to_bits() as u32) & 3;
    let r = (fraction * std::f64::consts::FRAC_PI_2) as f32;
    let t = x.abs();
    if t < std::f32::consts::FRAC_PI_4 { (t, 0) } else { (r, quarter) }
}

/// Sine or cosine of a reduced argument.
#[inline(always)]
fn wave(r: f32, quarter: u32) -> f32 {
    let z = r * r;
    let sine = (r * z)
        .mul_add(polynomial(z, [-1.666_666_7e-1, 8.333_38e-3, -1.985_351_1e-4, 2.837_516e-6]), r);
    let c = polynomial(z, [4.166_666_8e-2, -1.388_898_2e-3, 2.482_298_4e-5, -2.897_732_3e-7]);
    let cosine = (z * z).mul_add(c, z.mul_add(-0.5, 1.0));
    let value = if quarter & 1 == 0 { sine } else { cosine };
    f32::from_bits(value.to_bits() ^ (quarter & 2) << 30)
}

#[inline(always)]
pub(super) fn sin(x: f32) -> f32 {
    let (r, quarter) = reduce(x);
    f32::from_bits(wave(r, quarter).to_bits() ^ x.to_bits() & 0x8000_0000)
}

#[inline(always)]
pub(super) fn cos(x: f32) -> f32 {
    let (r, quarter) = reduce(x);
    wave(r, quarter + 1)
}

/// `log2(x)` for finite positive normal `x`, to about 2^-45.
#[inline(always)]
fn log2_f64(x: f64) -> f64 {
    const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;
    let k = x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i64 >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub((k as u64) << 52));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    // 2 atanh(s), as its series.
    let mut sum = 1.0 / 17.0;
    let mut i = 15.0;
    while i > 0.0 {
        sum = z.mul_add(sum, 1.0 / i);
        i -= 2.0;
    }
    (2.0 * std::f64::consts::LOG2_E * s).mul_add(sum, f64::from(k as i32))
}

/// `2^x` for `x` in -1000..=1000, to about 2^-45.
#[inline(always)]
fn exp2_f64(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * std::f64::consts::LN_2;
    let mut sum = 1.0;
    let mut i = 11.0;
    while i > 0.0 {
        sum = (sum * r).mul_add(1.0 / i, 1.0);
        i -= 1.0;
    }
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    sum * f64::from_bits(n.wrapping_add(1023) << 52)
}

#[inline(always)]
pub(super) fn pow(x: f32, y: f32) -> f32 {
    let t = x.abs();
    let logarithm = log2_f64(f64::from(if t > 0.0 { t } else { 1.0 }));
    let logarithm = if t == 0.0 { f64::NEG_INFINITY } else { logarithm };
    // Infinity and NaN.
    let logarithm = if t < f32::INFINITY { logarithm } else { f64::from(t) };
    let power = f64::from(y) * logarithm;
    let power = if power > 200.0 { 200.0 } else { power };
    let power = if power < -200.0 { -200.0 } else { power };
    let magnitude = exp2_f64(power) as f32;
    // 1 to any power that is a number, infinite ones too.
    let magnitude = if t == 1.0 && !y.is_nan() { 1.0 } else { magnitude };

    let whole = y.trunc() == y;
    let odd = whole && (0.5 * y).trunc() != 0.5 * y;
    let negative = x.to_bits() >> 31 == 1;
    let signed = if negative && odd { -magnitude } else { magnitude };
    let undefined = x < 0.0 && !whole && x > f32::NEG_INFINITY;
    let result = if undefined { f32::NAN } else { signed };
    if y == 0.0 || x == 1.0 { 1.0 } else { result }
}
