//! Element-wise functions.

use super::check::{anywhere, check, positive};
use thalweg_graph::{Binary, DType, Unary};

#[test]
fn unary_functions() {
    for unary in Unary::ALL {
        let domain = match unary {
            Unary::Not | Unary::IsFinite => continue,
            Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::Log1p => positive,
            _ => anywhere,
        };
        check(&format!("{unary:?}"), &[&[7]], domain, &move |_, x| vec![x[0].unary(unary)]);
    }
}

#[test]
fn binary_functions() {
    for binary in Binary::ALL {
        let f: fn(f64) -> f64 = match binary {
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Maximum => anywhere,
            Binary::Minimum => anywhere,
            Binary::Divide | Binary::Power | Binary::Remainder => positive,
            _ => continue,
        };
        check(&format!("{binary:?}"), &[&[5], &[5]], f, &move |b, x| {
            vec![b.emit_one(thalweg_graph::Op::Binary(binary), &[x[0], x[1]])]
        });
    }
}

#[test]
fn one_operand_varies() {
    check("constant base", &[&[4]], anywhere, &|_, x| vec![x[0].zeros_like().exp() / (x[0] + 3.0)]);
    check("power of constant", &[&[4]], anywhere, &|_, x| vec![x[0].power(3.0)]);
    check("constant to power", &[&[4]], anywhere, &|b, x| {
        vec![b.full(&x[0].ty(), 2.5).power(x[0])]
    });
    check("same operand twice", &[&[4]], anywhere, &|_, x| vec![x[0] * x[0] * x[0], x[0] + x[0]]);
}

#[test]
fn choices_and_conversions() {
    check("select", &[&[6], &[6]], anywhere, &|_, x| {
        vec![x[0].greater(x[1]).select(x[0].exp(), x[1].sin()), x[0].relu() * x[1]]
    });
    check("softplus", &[&[6]], anywhere, &|_, x| vec![x[0].softplus()]);
    check("stop", &[&[6]], anywhere, &|_, x| {
        // The difference sees the stopped value move, so it must not.
        vec![x[0].zeros_like().stop_gradient() + x[0].sin()]
    });
    check("convert", &[&[6]], anywhere, &|_, x| {
        vec![(x[0].exp().convert(DType::F32) * 2.0).convert(DType::F64) * x[0]]
    });
}
