//! Exported models: the structure of the files, and what they compute.
//!
//! `THALWEG_WRITE_ONNX=DIR cargo test -p thalweg-formats --test onnx_export` leaves every case in a
//! folder as `NAME.onnx` with an input and the outputs of the reference in `NAME.npz`, so that any
//! runtime can be held against it: `tests/fixtures/check_onnx.py DIR` does so.

mod case;
mod models;
mod operations;
mod round;
mod structure;

use case::{BATCHES, Case};
use std::fs;
use std::path::PathBuf;
use thalweg_array::DType;
use thalweg_formats::npz;
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, Operations};

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

#[test]
fn what_is_read_again_is_the_same_function() {
    each(|name, case, info| {
        for (float, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let info = ExportInfo { float, ..info.clone() };
            let error = round::outputs(case, &info, 3);
            assert!(error < tolerance, "{name}, {float}: off by {error}");
        }
    });
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
