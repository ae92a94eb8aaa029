//! Files of `torch.save`: those that PyTorch wrote (`fixtures/torch/generate.py` made them), and
//! those that somebody wrote to do harm.

use std::io::Write;
use thalweg_array::{Array, DType};
use thalweg_formats::torch;

/// The fixtures hold the whole numbers from zero to five in every tensor but these.
fn expect_tensors(bytes: &[u8], count: usize) {
    let arrays = torch::read(bytes).expect("valid");
    assert_eq!(arrays.len(), count);
    for (name, array) in &arrays {
        let dtype = match name.as_str() {
            "num_batches_tracked" => {
                assert_eq!(array, &Array::scalar(3i64));
                continue;
            }
            "expanded" => {
                assert_eq!(array, &Array::full(&[2, 3], 7f32));
                continue;
            }
            "empty" => {
                assert_eq!(array, &Array::zeros(DType::F32, &[0, 4]));
                continue;
            }
            "layer.bool" => {
                let odd = [false, true, false, true, false, true];
                assert_eq!(array, &Array::from_slice(&[2, 3], &odd).expect("six"));
                continue;
            }
            "layer.float64" => DType::F64,
            "channels_last" => {
                assert_eq!(array.shape(), [1, 2, 3, 1]);
                DType::F64
            }
            "layer.int64" | "layer.uint64" => DType::I64,
            "layer.uint32" => DType::U32,
            name if name.contains("int") => DType::I32,
            _ => DType::F32,
        };
        assert_eq!(array.dtype(), dtype, "{name}");
        assert_eq!(array.to_f64_vec(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{name}");
    }
}

#[test]
fn state_dicts_of_every_type_and_stride() {
    expect_tensors(include_bytes!("../fixtures/torch/zip.pt"), 22);
    expect_tensors(include_bytes!("../fixtures/torch/protocol4.pt"), 19);
    expect_tensors(include_bytes!("../fixtures/torch/old.pt"), 19);
}

/// The records of 64-bit sizes are as long as the first entry of this archive's directory.
#[test]
fn an_archive_whose_directory_is_easily_misread() {
    let arrays = torch::read(include_bytes!("../fixtures/torch/twenty-one-characters.pt"));
    let base = Array::from_slice(&[2, 3], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).expect("six");
    assert_eq!(arrays.expect("valid"), [("w".to_string(), base)]);
}

#[test]
fn tied_weights_share_their_memory() {
    let arrays = torch::read(include_bytes!("../fixtures/torch/zip.pt")).expect("valid");
    let find = |wanted: &str| {
        let (_, array) = arrays.iter().find(|(name, _)| name == wanted).expect("there");
        array.as_ptr()
    };
    assert_eq!(find("tied"), find("layer.float32"));
    assert_ne!(find("parameter"), find("layer.float32"));
}

#[test]
fn the_model_in_a_checkpoint_is_found() {
    let arrays = torch::read(include_bytes!("../fixtures/torch/lightning.ckpt")).expect("valid");
    let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "0.weight",
            "0.bias",
            "1.weight",
            "1.bias",
            "1.running_mean",
            "1.running_var",
            "1.num_batches_tracked"
        ]
    );
    assert_eq!(arrays[0].1.to_f64_vec(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

fn message(bytes: &[u8]) -> String {
    torch::read(bytes).expect_err("refused").to_string()
}

#[test]
fn what_is_no_state_dict_is_said() {
    let weights_alone = "save the weights alone: torch.save(model.state_dict(), \"weights.pt\")";
    for (bytes, expected) in [
        (
            &include_bytes!("../fixtures/torch/module.pt")[..],
            format!(
                "PyTorch: it holds a whole module (it asks for \
                 `torch.nn.modules.container.Sequential`), which cannot be made without running \
                 its code; {weights_alone}"
            ),
        ),
        (
            include_bytes!("../fixtures/torch/script.pt"),
            format!("PyTorch: it holds a TorchScript program, which is not run; {weights_alone}"),
        ),
        (
            include_bytes!("../fixtures/torch/quantised.pt"),
            "PyTorch: it holds quantised tensors (`torch._utils._rebuild_qtensor`), which are not \
             read; dequantize() them before they are saved"
                .into(),
        ),
        (
            include_bytes!("../fixtures/torch/sparse.pt"),
            "PyTorch: it holds tensors that are not dense \
             (`torch._utils._rebuild_sparse_tensor`), which are not read; make them plain tensors \
             before they are saved"
                .into(),
        ),
        (
            include_bytes!("../fixtures/torch/complex.pt"),
            "PyTorch: tensor `w`: its elements are ComplexFloatStorage, which are not read".into(),
        ),
        (
            include_bytes!("../fixtures/torch/eight.pt"),
            "PyTorch: tensor `w`: its elements are float8_e4m3fn, which are not read".into(),
        ),
        (
            include_bytes!("../fixtures/torch/several.pt"),
            "PyTorch: it holds several state dicts (`netG`, `netD`); save one of them in a file \
             of its own"
                .into(),
        ),
        (
            include_bytes!("../fixtures/torch/list.pt"),
            "PyTorch: it holds a list, expected a state dict".into(),
        ),
    ] {
        assert_eq!(message(bytes), expected);
    }
}

/// An archive as `torch.save` makes it, of this pickle and one storage.
fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    packed(pickle, storage, zip::CompressionMethod::Stored)
}

fn packed(pickle: &[u8], storage: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", storage)] {
        zip.start_file(name, options).expect("a vector takes all");
        zip.write_all(bytes).expect("a vector takes all");
    }
    zip.finish().expect("a vector takes all").into_inner()
}

/// The pickle of `{"w": tensor}` over storage `0` of so many floats.
fn pickle(count: i32, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    bytes.extend(b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ");
    bytes.extend(count.to_le_bytes());
    bytes.extend(b"tQ");
    let long = |number: i64| [&b"\x8a\x08"[..], &number.to_le_bytes()].concat();
    bytes.extend(long(offset));
    for sizes in [shape, strides] {
        bytes.push(b'(');
        sizes.iter().for_each(|&size| bytes.extend(long(size)));
        bytes.push(b't');
    }
    bytes.extend(b"\x89NtRs.");
    bytes
}

/// The whole numbers from zero, as a storage.
fn floats(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

#[test]
fn a_pickle_that_calls_anything_is_refused_by_name() {
    let evil = |module: &str, name: &str| {
        let call = format!("c{module}\n{name}\nX\x02\0\0\0id");
        [b"\x80\x02", call.as_bytes(), b"\x85R."].concat()
    };
    let expected = |name: &str| {
        format!(
            "PyTorch: it asks for `{name}`, which is refused: only tensors, numbers, text and \
             plain containers are read, and nothing in a file is ever run"
        )
    };
    for (module, name) in [
        ("posix", "system"),
        ("nt", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("collections", "OrderedDict.__init__"),
        ("numpy", "load"),
    ] {
        let pickle = evil(module, name);
        let shown = expected(&format!("{module}.{name}"));
        assert_eq!(message(&archive(&pickle, &[])), shown);
        // A pickle by itself, and one in the older container.
        assert_eq!(message(&pickle), shown);
        let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
        let old = [&magic[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", &pickle].concat();
        assert_eq!(message(&old), shown);
        // By the operations of protocol 4, and those of protocol 0.
        let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
        let stack = [b"\x80\x04", &text(module)[..], &text(name), b"\x93)R."].concat();
        assert_eq!(message(&archive(&stack, &[])), shown);
        let instance = format!("(i{module}\n{name}\n.");
        assert_eq!(message(&archive(instance.as_bytes(), &[])), shown);
    }
    let odd = [b"\x80\x02cposix\nsys\x1b[2Jtem", &b"m".repeat(200)[..], b"\n)R."].concat();
    let shown = message(&archive(&odd, &[]));
    assert!(shown.contains("`posix.sys\\u{1b}[2Jtemm") && shown.contains("m...`"), "{shown}");
}

#[test]
fn shapes_that_leave_their_storage_are_refused() {
    let read = |count, offset, shape: &[i64], strides: &[i64]| {
        let bytes = archive(&pickle(count, offset, shape, strides), &floats(6));
        torch::read(&bytes).map(|mut arrays| arrays.remove(0).1.to_f64_vec())
    };
    let leaves = |shape: &str, strides: &str, offset: i64| {
        format!(
            "not a valid PyTorch file: tensor `w`: shape [{shape}] with strides [{strides}] from \
             element {offset} leaves its storage, whose elements are 6"
        )
    };
    assert_eq!(read(6, 1, &[2, 2], &[3, 1]).expect("valid"), [1.0, 2.0, 4.0, 5.0]);
    assert_eq!(read(6, 2, &[2, 2], &[3, 1]).unwrap_err().to_string(), leaves("2, 2", "3, 1", 2));
    assert_eq!(read(6, -1, &[2], &[1]).unwrap_err().to_string(), leaves("2", "1", -1));
    let huge = 1i64 << 60;
    let name = huge.to_string();
    assert_eq!(read(6, 0, &[huge], &[1]).unwrap_err().to_string(), leaves(&name, "1", 0));
    assert_eq!(
        read(6, 0, &[huge, huge], &[huge, 1]).unwrap_err().to_string(),
        leaves(&format!("{name}, {name}"), &format!("{name}, 1"), 0)
    );
    assert_eq!(
        read(6, 0, &[huge, 2], &[0, 1]).unwrap_err().to_string(),
        format!(
            "PyTorch: tensor `w` of shape [{name}, 2] repeats its elements: the tensors would \
             take more than 8 times the 24 bytes that are stored; save them with .contiguous()"
        )
    );
    assert_eq!(read(6, 6, &[huge, 0], &[1, 1]).expect("valid"), [0.0; 0]);
    assert_eq!(
        read(6, 0, &[-1], &[1]).unwrap_err().to_string(),
        "not a valid PyTorch file: tensor `w`: its shape or strides are no sizes, expected up to \
         64 whole numbers"
    );
    assert_eq!(
        read(7, 0, &[2], &[1]).unwrap_err().to_string(),
        "not a valid PyTorch file: storage `0` claims 7 elements, and has 24 bytes"
    );
}

/// Lists of lists, each of ten times the one before: 10^60 if they were ever written out.
#[test]
fn a_pickle_bomb_is_as_small_as_it_looks() {
    let mut bomb = b"\x80\x02]q\0".to_vec();
    for level in 0..60u8 {
        bomb.extend(b"(");
        bomb.extend([b'h', level].repeat(10));
        bomb.extend([b'l', b'q', level + 1]);
    }
    bomb.push(b'.');
    assert_eq!(message(&archive(&bomb, &[])), "PyTorch: it holds a list, expected a state dict");
    // A dictionary that holds itself under the key that is looked for.
    let circle = b"\x80\x02}q\0X\x05\0\0\0modelh\0s.";
    assert_eq!(
        message(&archive(circle, &[])),
        "PyTorch: it holds no tensors by name; its keys begin with `model`"
    );
}

#[test]
fn pickles_that_nest_or_claim_too_much_are_refused() {
    let deep = [&b"]".repeat(100_000)[..], &b"a".repeat(99_999), b"."].concat();
    assert_eq!(message(&archive(&deep, &[])), "PyTorch: it holds a list, expected a state dict");
    let damaged = |pickle: &[u8]| {
        let message = message(&archive(pickle, &[]));
        let start = "not a valid PyTorch file: its pickle is damaged at byte ";
        message.strip_prefix(start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    assert_eq!(
        damaged(b"\x8b\xff\xff\xff\x7f\x01."),
        "0: 2147483647 bytes are claimed where 2 are left"
    );
    assert_eq!(
        damaged(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa."),
        "0: 18446744073709551615 bytes are claimed where 2 are left"
    );
    assert_eq!(damaged(b"((((."), "4: nothing is on the stack");
    assert_eq!(damaged(b"e."), "0: no mark is set");
    assert_eq!(damaged(b"h\x07."), "0: no memo 7 was made");
    assert_eq!(damaged(b"\x80\x09."), "0: protocol 9, expected up to 5");
    assert_eq!(damaged(b"\xff"), "0: no operation 0xff is known");
    assert_eq!(damaged(b"]"), "1: 1 bytes are claimed where 0 are left");
    // Numbers of many digits are not worth converting.
    let digits = [b"L", &b"9".repeat(1_000_000)[..], b"L\n."].concat();
    assert_eq!(
        message(&archive(&digits, &[])),
        "PyTorch: it holds no dictionary of tensors, expected a state dict"
    );
}

#[test]
fn a_zip_bomb_is_not_unpacked() {
    let pickle = pickle(1 << 20, 0, &[1 << 20], &[1]);
    let bomb = packed(&pickle, &vec![0; 4 << 20], zip::CompressionMethod::Deflated);
    let message = message(&bomb);
    let expected = format!(
        "not a valid PyTorch file: its members would unpack to {} bytes, more than 64 times the \
         file of {}; torch.save compresses nothing",
        pickle.len() + (4 << 20),
        bomb.len()
    );
    assert_eq!(message, expected);
    // What was packed again, and is no bomb, is read.
    let again = packed(&pickle[..], &floats(1 << 20), zip::CompressionMethod::Deflated);
    assert_eq!(torch::read(&again).expect("valid")[0].1.len(), 1 << 20);
}

#[test]
fn names_that_come_twice_are_refused() {
    let one = pickle(1, 0, &[1], &[1]);
    // The dictionary's one entry, set again.
    let entry = &one[3..one.len() - 1];
    let twice = [b"\x80\x02}", entry, entry, b"."].concat();
    assert_eq!(
        message(&archive(&twice, &floats(1))),
        "not a valid PyTorch file: the name `w` comes twice"
    );
    // Two members of an archive under one name.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", &one[..]), ("a/data/0", &floats(1)), ("a/data/1", &[])] {
        zip.start_file(name, options).expect("a vector takes all");
        zip.write_all(bytes).expect("a vector takes all");
    }
    let mut bytes = zip.finish().expect("a vector takes all").into_inner();
    for at in 0..bytes.len() - 8 {
        if bytes[at..].starts_with(b"a/data/1") {
            bytes[at + 7] = b'0';
        }
    }
    assert_eq!(message(&bytes), "not a valid PyTorch file: two of its members have the same name");
}

#[test]
fn damaged_storages_are_noticed() {
    let mut bytes = archive(&pickle(6, 0, &[6], &[1]), &floats(6));
    let at = bytes.windows(4).position(|w| w == 5f32.to_le_bytes()).expect("there");
    bytes[at] ^= 1;
    let message = message(&bytes);
    assert!(message.contains("storage `0`") && message.contains("checksum"), "{message}");
}
