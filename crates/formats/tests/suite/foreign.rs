//! Files written by NumPy, PyTorch and Python; `fixtures/generate.py` made them.

use thalweg_array::{Array, DType};
use thalweg_formats::{idx, npz, safetensors};

fn expect_base(name: &str, array: &Array) {
    let odd = |n: i32| f64::from(n % 2);
    let expected: Vec<f64> = match name.ends_with("bool") {
        true => (0..6).map(odd).collect(),
        false => (0..6).map(f64::from).collect(),
    };
    assert_eq!(array.shape(), [2, 3], "{name}");
    assert_eq!(array.to_f64_vec(), expected, "{name}");
}

#[test]
fn archives_of_numpy() {
    for bytes in
        [&include_bytes!("../fixtures/stored.npz")[..], include_bytes!("../fixtures/deflated.npz")]
    {
        let arrays = npz::read(bytes).expect("valid");
        assert_eq!(arrays.len(), 36);
        for (name, array) in &arrays {
            let dtype = match name.as_str() {
                "scalar" => {
                    assert_eq!(array, &Array::scalar(3f64));
                    continue;
                }
                "empty" => {
                    assert_eq!(array, &Array::zeros(DType::F32, &[0, 4]));
                    continue;
                }
                "bool" => DType::Bool,
                name => match name.split_once('_').expect("an order and a code").1 {
                    "f2" | "f4" => DType::F32,
                    "f8" => DType::F64,
                    "u4" => DType::U32,
                    "i8" | "u8" => DType::I64,
                    _ => DType::I32,
                },
            };
            assert_eq!(array.dtype(), dtype, "{name}");
            expect_base(name, array);
        }
    }
}

#[test]
fn types_that_are_not_read_are_named() {
    let mut archive = npz::Npz::new(include_bytes!("../fixtures/wrong.npz")).expect("an archive");
    let expected = "expected b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 or f8";
    for (name, descr) in [("text", "<U1"), ("complex", "<c8"), ("object", "|O")] {
        assert_eq!(
            archive.get(name).expect_err("not read").to_string(),
            format!("npz: array `{name}`: elements of type `{descr}`, {expected}")
        );
    }
}

#[test]
fn weights_of_torch() {
    let weights =
        safetensors::read(include_bytes!("../fixtures/torch.safetensors")).expect("valid");
    assert_eq!(weights.metadata["format"], "pt");
    assert_eq!(weights.tensors.len(), 14);
    for (name, tensor) in &weights.tensors {
        if name == "num_batches_tracked" {
            assert_eq!(tensor, &Array::scalar(3i64));
        } else {
            expect_base(name, tensor);
        }
    }
    assert_eq!(weights.tensors["layer.bfloat16"].dtype(), DType::F32);
    assert_eq!(weights.tensors["layer.uint8"].dtype(), DType::I32);
}

#[test]
fn a_gzipped_idx_file() {
    let raw = idx::read(include_bytes!("../fixtures/idx2-ubyte.gz")).expect("valid");
    expect_base("idx", &raw.to_array().expect("small"));
}
