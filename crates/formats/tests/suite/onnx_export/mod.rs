//! Exported models: the structure of the files, and what they compute.
//!
//! `THALWEG_WRITE_ONNX=DIR cargo test -p thalweg-formats --test suite onnx_export` leaves every case in a
//! folder as `NAME.onnx` with an input and the outputs of the reference in `NAME.npz`, so that any
//! runtime can be held against it: `tests/fixtures/check_onnx.py DIR` does so.

mod case;
mod models;
mod operations;
mod round;
mod structure;

use case::{BATCHES, Case};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use thalweg_array::DType;
use thalweg_data::Normalization;
use thalweg_formats::npz;
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, Operations, write_onnx};

/// Every case in every form.
fn each(mut check: impl FnMut(&str, &Case, &ExportInfo)) {
    for case in models::cases().into_iter().chain(operations::cases()) {
        for operations in [Operations::Recognised, Operations::Elementary] {
            for layout in [ImageLayout::ChannelsFirst, ImageLayout::ChannelsLast] {
                if layout == ImageLayout::ChannelsLast && !case.is_image() {
                    continue;
                }
                let info = ExportInfo {
                    operations,
                    layout,
                    normalization: case.normalization.clone(),
                    ..ExportInfo::default()
                };
                let name = format!("{} {operations:?} {}", case.name, layout.name());
                check(&name, &case, &info);
            }
        }
    }
}

#[test]
fn files_are_well_formed() {
    each(|name, case, info| {
        let file = structure::decode(&case.bytes(info));
        if let Err(fault) = structure::check(&file) {
            panic!("{name}: {fault}");
        }
    });
}

/// What the reader refuses: places of a slice that depend on the data.
const NOT_READ: [&str; 1] = ["dynamic slice"];

#[test]
fn what_is_read_again_is_the_same_function() {
    let mut faults = Vec::new();
    each(|name, case, info| {
        for (float, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let info = ExportInfo { float, ..info.clone() };
            match round::outputs(case, &info, 3) {
                Ok(error) if error < tolerance && !NOT_READ.contains(&&*case.name) => {}
                Err(_) if NOT_READ.contains(&&*case.name) => {}
                other => faults.push(format!("{name}, {float}: {other:?}")),
            }
        }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_read_again_has_the_same_parameters_and_gradient() {
    for case in models::cases() {
        let normalization = case.normalization.clone();
        let info = ExportInfo { normalization, float: DType::F64, ..ExportInfo::default() };
        round::check_gradient(&case, &info);
    }
}

#[test]
fn networks_have_the_operations_that_their_readers_expect() {
    let counts = |text: &str| {
        let cases = models::cases();
        let case = cases.iter().find(|case| case.name == text).unwrap();
        let info =
            ExportInfo { normalization: case.normalization.clone(), ..ExportInfo::default() };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for node in structure::decode(&case.bytes(&info)).graph.unwrap().node {
            *counts.entry(node.op_type().to_owned()).or_default() += 1;
        }
        counts.iter().map(|(op, n)| format!("{op} {n}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        counts("resnet depth=8 width=4"),
        "Add 3, BatchNormalization 9, Conv 9, Div 1, Flatten 1, Gemm 1, GlobalAveragePool 1, \
         Relu 7, Sub 1"
    );
    assert_eq!(
        counts("convnet channels=4-6 norm=batch head=flatten activation=leaky(0.2)"),
        "BatchNormalization 2, Conv 2, Div 1, Flatten 1, Gemm 1, LeakyRelu 2, MaxPool 2, Sub 1"
    );
    assert_eq!(
        counts("gpt depth=2 width=8 heads=2"),
        "Add 17, Gather 7, LayerNormalization 5, LessOrEqual 1, MatMul 13, Mul 14, Reshape 4, \
         Softmax 2, Tanh 2, Transpose 9, Unsqueeze 1, Where 2"
    );
}

#[test]
fn what_cannot_be_written_is_told() {
    let told: Vec<String> = operations::refused()
        .iter()
        .map(|case| {
            let written = write_onnx(&case.model, &case.weights, &ExportInfo::default());
            written.unwrap_err().to_string()
        })
        .collect();
    assert_eq!(
        told,
        [
            "ONNX: cholesky is not an operation of ONNX",
            "ONNX: the model is not one function for every number of examples: its constant is \
             another for 11 and for 13",
            "ONNX: the model is not one function for every number of examples: the extents of its \
             slice are no multiples for 11 and for 13",
        ]
    );
    let mut case = models::cases().swap_remove(0);
    let two = vec![0.0; 2];
    case.normalization =
        Some(Normalization { mean: two.clone(), divisor: two, constant: Vec::new() });
    let info = ExportInfo { normalization: case.normalization, ..ExportInfo::default() };
    let error = write_onnx(&case.model, &case.weights, &info).unwrap_err().to_string();
    let expected = "ONNX: a normalisation of 2 channels or features before inputs of 3";
    assert_eq!(error, expected);
}

#[test]
fn files_are_left_where_they_are_wanted() {
    let Some(folder) = std::env::var_os("THALWEG_WRITE_ONNX").map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).unwrap();
    each(|name, case, info| {
        let base = folder.join(name.replace([' ', '='], "_"));
        fs::write(base.with_extension("onnx"), case.bytes(info)).unwrap();
        for batch in BATCHES {
            let arrays = case.arrays(info, batch);
            let named: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
            let mut bytes = Vec::new();
            npz::write(&mut bytes, &named, npz::Compression::Stored).unwrap();
            fs::write(base.with_extension(format!("{batch}.npz")), bytes).unwrap();
        }
    });
}
