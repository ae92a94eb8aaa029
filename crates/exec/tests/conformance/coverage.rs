//! Whether every operation has its cases, and either a derivative or an exemption.

use crate::case::Case;
use crate::cases;
use crate::exemptions::EXEMPT;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::DType;
use thalweg_graph::{Binary, Comparison, ConvolutionWindow, Graph, Op, Reduction, Unary};

pub fn all_cases() -> Vec<Case> {
    [
        cases::elementwise::cases(),
        cases::structural::cases(),
        cases::along_axes::cases(),
        cases::contraction::cases(),
        cases::linear_algebra::cases(),
        cases::rewriting::cases(),
        cases::sizes::cases(),
        cases::control::cases(),
        cases::composite::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A number for each variant: a new one does not compile until it is given the next number, and
/// then the test below asks for a case of it.
fn variant(op: &Op) -> usize {
    match op {
        Op::Input { .. } => 0,
        Op::Constant(_) => 1,
        Op::Iota { .. } => 2,
        Op::Unary(_) => 3,
        Op::Binary(_) => 4,
        Op::Compare(_) => 5,
        Op::Select => 6,
        Op::Convert(_) => 7,
        Op::Bitcast(_) => 8,
        Op::Threefry => 9,
        Op::StopGradient => 10,
        Op::Broadcast { .. } => 11,
        Op::Reshape { .. } => 12,
        Op::Transpose { .. } => 13,
        Op::Slice { .. } => 14,
        Op::Pad { .. } => 15,
        Op::Concatenate { .. } => 16,
        Op::Reverse { .. } => 17,
        Op::DynamicSlice { .. } => 18,
        Op::DynamicUpdateSlice => 19,
        Op::Gather(_) => 20,
        Op::ScatterAdd(_) => 21,
        Op::Reduce { .. } => 22,
        Op::WindowSum(_) => 23,
        Op::WindowArgMax(_) => 24,
        Op::ArgMax { .. } => 25,
        Op::Sort { .. } => 26,
        Op::CumulativeSum { .. } => 27,
        Op::Dot(_) => 28,
        Op::Convolution(_) => 29,
        Op::ConvolutionInputGradient { .. } => 30,
        Op::ConvolutionWeightGradient { .. } => 31,
        Op::Cholesky => 32,
        Op::TriangularSolve { .. } => 33,
        Op::SymmetricEigen => 34,
        Op::LinearSolve(_) => 35,
        Op::FixedPoint(_) => 36,
        Op::Scan(_) => 37,
        Op::While(_) => N_VARIANTS - 1,
    }
}

const N_VARIANTS: usize = 39;

fn each_op(graph: &Graph, visit: &mut impl FnMut(&Op)) {
    for node in graph.nodes() {
        visit(&node.op);
    }
}

#[test]
fn every_variant_has_a_case() {
    let mut found = [false; N_VARIANTS];
    let mut names: BTreeSet<&'static str> = BTreeSet::new();
    let mut dtypes: BTreeSet<DType> = BTreeSet::new();
    for case in all_cases() {
        each_op(&case.graph(DType::F64), &mut |op| {
            found[variant(op)] = true;
            names.insert(op.name());
            if let Op::Convert(dtype) = op {
                dtypes.insert(*dtype);
            }
        });
    }
    let missing: Vec<usize> = (0..N_VARIANTS).filter(|&v| !found[v]).collect();
    assert!(missing.is_empty(), "no case of variants {missing:?}");
    let reductions =
        [Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::All, Reduction::Any];
    let wanted = (Unary::ALL.map(Op::Unary).into_iter())
        .chain(Binary::ALL.map(Op::Binary))
        .chain(Comparison::ALL.map(Op::Compare))
        .chain(reductions.map(|kind| Op::Reduce { kind, axes: vec![] }));
    for op in wanted {
        assert!(names.contains(op.name()), "no case of {}", op.name());
    }
    assert_eq!(dtypes.len(), DType::ALL.len(), "conversions to {dtypes:?} only");
}

#[test]
fn every_option_of_a_convolution_has_a_case() {
    type Option = fn(&ConvolutionWindow) -> bool;
    let options: [(&str, Option); 9] = [
        ("stride", |w| w.stride != [1, 1] && w.stride[0] != w.stride[1]),
        ("uneven padding", |w| w.padding.iter().any(|(low, high)| low != high)),
        ("dilation", |w| w.dilation != [1, 1]),
        ("groups", |w| w.groups > 1),
        ("no population", |w| !w.has_population()),
        ("left population", |w| w.lhs_population && !w.rhs_population),
        ("right population", |w| !w.lhs_population && w.rhs_population),
        ("both populations", |w| w.lhs_population && w.rhs_population),
        ("everything", |w| {
            w.stride != [1, 1] && w.dilation != [1, 1] && w.groups > 1 && w.lhs_population
        }),
    ];
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases::contraction::cases() {
        each_op(&case.graph(DType::F64), &mut |op| {
            let window = match op {
                Op::Convolution(window)
                | Op::ConvolutionInputGradient { window, .. }
                | Op::ConvolutionWeightGradient { window, .. } => window,
                _ => return,
            };
            for (name, _) in options.iter().filter(|(_, holds)| holds(window)) {
                found.entry(op.name()).or_default().insert(name);
            }
        });
    }
    assert_eq!(found.len(), 3);
    for (op, found) in found {
        let missing: Vec<_> =
            options.iter().map(|(name, _)| *name).filter(|name| !found.contains(name)).collect();
        assert!(missing.is_empty(), "{op}: no case of {missing:?}");
    }
}

/// An operation is differentiated in some case, or the table says why not; never both.
#[test]
fn exemptions_are_exactly_what_is_not_differentiated() {
    let mut differentiated: BTreeSet<&'static str> = BTreeSet::new();
    let mut all: BTreeSet<&'static str> = BTreeSet::new();
    for case in all_cases() {
        let graph = case.graph(DType::F64);
        each_op(&graph, &mut |op| {
            all.insert(op.name());
        });
        if case.orders == 0 {
            continue;
        }
        for node in graph.nodes() {
            let moves = node.types.iter().any(|ty| ty.dtype.is_float())
                && node.inputs.iter().any(|&input| graph.type_of(input).dtype.is_float());
            if moves {
                differentiated.insert(node.op.name());
            }
        }
    }
    let exempt: BTreeSet<&str> = EXEMPT.iter().map(|(name, _)| *name).collect();
    assert_eq!(exempt.len(), EXEMPT.len(), "an operation is listed twice");
    let unexplained: Vec<_> =
        all.iter().filter(|n| !differentiated.contains(*n) && !exempt.contains(*n)).collect();
    assert!(unexplained.is_empty(), "neither differentiated nor exempt: {unexplained:?}");
    let unknown: Vec<_> = exempt.iter().filter(|name| !all.contains(*name)).collect();
    assert!(unknown.is_empty(), "exempt, but without a case: {unknown:?}");
}

#[test]
fn case_names_are_unique() {
    let mut names = BTreeSet::new();
    for case in all_cases() {
        assert!(names.insert(case.name.clone()), "{:?} is the name of two cases", case.name);
    }
}
