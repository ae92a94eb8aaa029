use super::*;
use crate::kernel::testing::Draws;

/// Distance from the exact value in units in the last place of an f32 of that size.
fn ulps(got: f32, exact: f64) -> f64 {
    if exact.is_nan() || got.is_nan() {
        return if exact.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    // Infinity is the number after the largest.
    let number = |x: f64| if x.is_infinite() { 2f64.powi(128).copysign(x) } else { x };
    let got = number(f64::from(got));
    let exact =
        if exact.abs() >= 2f64.powi(128) { number(f64::INFINITY.copysign(exact)) } else { exact };
    let exponent =
        if exact == 0.0 { -149 } else { (exact.abs().log2().floor() as i32).max(-126) - 23 };
    (got - exact).abs() / 2f64.powi(exponent)
}

fn exact(function: Unary, x: f64) -> f64 {
    match function {
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Tanh => x.tanh(),
        Unary::Logistic if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Unary::Logistic => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => libm::erf(x),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
    }
}

/// Every `stride`-th f32 by bits, NaN left out.
fn sweep(stride: usize) -> Vec<f32> {
    (0..=u32::MAX).step_by(stride).map(f32::from_bits).filter(|x| !x.is_nan()).collect()
}

#[test]
fn single_precision_is_within_two_units_everywhere() {
    let mut arguments = sweep(4099);
    // Densely where functions have their structure.
    let mut draws = Draws::new(21);
    for scale in [1e-3, 0.1, 1.0, 2.0, 10.0, 110.0, 1e5] {
        arguments.extend(draws.numbers::<f32>(50_000).iter().map(|x| x * scale));
    }
    // Near multiples of pi / 2 and of ln 2, where reductions cancel.
    for i in -400..400 {
        for unit in [std::f64::consts::FRAC_PI_2, std::f64::consts::LN_2] {
            let x = (f64::from(i) * unit) as f32;
            arguments.extend([x, x.next_up(), x.next_down()]);
        }
    }
    let mut got = vec![0.0; arguments.len()];
    for function in Unary::ALL {
        map(Isa::best(), function, &arguments, &mut got);
        let worst = arguments
            .iter()
            .zip(&got)
            .map(|(&x, &y)| (ulps(y, exact(function, f64::from(x))), x, y))
            .fold((0.0, 0.0, 0.0), |worst, new| if new.0 > worst.0 { new } else { worst });
        println!("{function:?}: {:.3} ulp at {:e} ({:e})", worst.0, worst.1, worst.2);
        assert!(
            worst.0 <= 2.0,
            "{function:?}({:e}) = {:e} is off by {} ulp",
            worst.1,
            worst.2,
            worst.0
        );
    }
}

#[test]
fn single_precision_pow_is_within_one_unit() {
    let mut draws = Draws::new(22);
    let mut worst = 0.0f64;
    let mut bases: Vec<f32> = sweep(40_000_003);
    bases.extend(draws.numbers::<f32>(300).iter().map(|x| 3.0 * x));
    let mut exponents: Vec<f32> = sweep(60_000_011);
    exponents.extend((-40..40).map(|i| i as f32 * 0.5));
    exponents.extend(draws.numbers::<f32>(200).iter().map(|x| 30.0 * x));
    for &x in &bases {
        for &y in &exponents {
            let got = <f32 as Math>::pow(x, y);
            let error = ulps(got, f64::from(x).powf(f64::from(y)));
            assert!(error <= 1.0, "pow({x:e}, {y:e}) = {got:e} is off by {error} ulp");
            worst = worst.max(error);
        }
    }
    println!("pow: {worst:.3} ulp");
}

#[test]
fn special_values() {
    let (inf, nan, zero) = (f32::INFINITY, f32::NAN, 0.0f32);
    let cases: [(Unary, &[(f32, f32)]); 11] = [
        (Unary::Exp, &[(inf, inf), (-inf, zero), (zero, 1.0), (-zero, 1.0)]),
        (Unary::Expm1, &[(inf, inf), (-inf, -1.0), (zero, zero), (-zero, -zero)]),
        (
            Unary::Log,
            &[(inf, inf), (-inf, nan), (zero, -inf), (-zero, -inf), (-1.0, nan), (1.0, zero)],
        ),
        (
            Unary::Log1p,
            &[(inf, inf), (-inf, nan), (zero, zero), (-zero, -zero), (-1.0, -inf), (-2.0, nan)],
        ),
        (Unary::Tanh, &[(inf, 1.0), (-inf, -1.0), (zero, zero), (-zero, -zero)]),
        (Unary::Logistic, &[(inf, 1.0), (-inf, zero), (zero, 0.5), (-zero, 0.5)]),
        (Unary::Erf, &[(inf, 1.0), (-inf, -1.0), (zero, zero), (-zero, -zero)]),
        (Unary::Sin, &[(inf, nan), (-inf, nan), (zero, zero), (-zero, -zero)]),
        (Unary::Cos, &[(inf, nan), (-inf, nan), (zero, 1.0), (-zero, 1.0)]),
        (Unary::Sqrt, &[(inf, inf), (-inf, nan), (zero, zero), (-zero, -zero)]),
        (Unary::Rsqrt, &[(inf, zero), (-inf, nan), (zero, inf), (-zero, -inf)]),
    ];
    let subnormal = f32::from_bits(1);
    for isa in Isa::ALL {
        for (function, values) in cases {
            let check = |x: f32, expected: f32| {
                let mut got = [0.0];
                map(isa, function, &[x], &mut got);
                let same =
                    got[0].to_bits() == expected.to_bits() || got[0].is_nan() && expected.is_nan();
                assert!(same, "{function:?}({x:e}) = {:e}, expected {expected:e}", got[0]);
                let mut double = [0.0];
                map(isa, function, &[f64::from(x)], &mut double);
                let same =
                    double[0].is_nan() && expected.is_nan() || double[0] == f64::from(expected);
                assert!(
                    same,
                    "{function:?}({x:e}) = {:e} in f64, expected {expected:e}",
                    double[0]
                );
            };
            values.iter().for_each(|&(x, expected)| check(x, expected));
            check(nan, nan);
        }
        for function in [Unary::Expm1, Unary::Log1p, Unary::Tanh, Unary::Sin, Unary::Erf] {
            for x in [subnormal, -subnormal] {
                let mut got = [0.0];
                map(isa, function, &[x], &mut got);
                assert_eq!(got[0], x, "{function:?} at the least subnormal");
            }
        }
    }
}

#[test]
fn special_values_of_pow() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let values = [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.0,
        -1.0,
        2.0,
        -2.0,
        3.0,
        -3.0,
        1e30,
        -1e30,
        inf,
        -inf,
        nan,
        2.5,
        -2.5,
        16_777_217.0,
        1e-40,
    ];
    for x in values {
        for y in values {
            let got = <f32 as Math>::pow(x, y);
            let expected = libm::pow(f64::from(x), f64::from(y)) as f32;
            let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
            assert!(same, "pow({x:e}, {y:e}) = {got:e}, expected {expected:e}");
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let arguments = sweep(40_009);
    let doubles: Vec<f64> =
        arguments.iter().step_by(50).map(|&x| f64::from(x) * 1.000_000_1).collect();
    let mut exponents = arguments.clone();
    exponents.reverse();
    let bits = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    for function in Unary::ALL {
        let mut expected = vec![0.0; arguments.len()];
        map(Isa::Portable, function, &arguments, &mut expected);
        let mut expected_double = vec![0.0; doubles.len()];
        map(Isa::Portable, function, &doubles, &mut expected_double);
        for isa in Isa::ALL {
            let mut got = vec![0.0; arguments.len()];
            map(isa, function, &arguments, &mut got);
            for ((x, a), b) in arguments.iter().zip(&got).zip(&expected) {
                assert_eq!(bits(*a), bits(*b), "{function:?}({x:e}) on {isa:?}: {a:e}, {b:e}");
            }
            let mut got = vec![0.0; doubles.len()];
            map(isa, function, &doubles, &mut got);
            let same =
                |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(got.iter().zip(&expected_double).all(same), "{function:?} in f64 on {isa:?}");
        }
    }
    let mut expected = vec![0.0; arguments.len()];
    map_pow(Isa::Portable, &arguments, &exponents, &mut expected);
    for isa in Isa::ALL {
        let mut got = vec![0.0; arguments.len()];
        map_pow(isa, &arguments, &exponents, &mut got);
        assert!(got.iter().zip(&expected).all(|(a, b)| bits(*a) == bits(*b)), "pow on {isa:?}");
    }
}
