//! Data sets by name and by path.

use std::fs;
use std::path::{Path, PathBuf};
use thalweg_array::Array;
use thalweg_data::Dataset;
use thalweg_formats::dataset::{self, DataConfig};
use thalweg_formats::npz;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn images(n: u8) -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 2], &vec![7; 4 * usize::from(n)][..]].concat()
}

fn labels(labels: &[u8]) -> Vec<u8> {
    [&[0, 0, 8, 1, 0, 0, 0, labels.len() as u8], labels].concat()
}

fn write_four(folder: &Path) {
    let files = [images(4), labels(&[0, 1, 1, 0]), images(2), labels(&[1, 0])];
    for (name, bytes) in NAMES.iter().zip(files) {
        fs::write(folder.join(name), bytes).expect("written");
    }
}

fn load(path: &Path) -> Result<std::sync::Arc<Dataset>, String> {
    let path = path.to_str().expect("text");
    dataset::load(path, &[], &DataConfig::default()).map_err(|error| error.to_string())
}

#[test]
fn the_embedded_name() {
    assert_eq!(dataset::load("digits", &[], &DataConfig::default()).expect("embedded").len(), 1797);
}

#[test]
fn a_folder_of_four_files() {
    let folder = folder("four");
    write_four(&folder);
    let data = load(&folder).expect("valid");
    assert_eq!(data.inputs().shape(), [6, 2, 2, 1]);
    assert_eq!(data.labels().expect("classes"), [0, 1, 1, 0, 1, 0]);
    assert_eq!(data.fixed_test(), [4, 5]);
    assert_eq!(data.provenance().scale, "as in the file (uint8)");
    fs::remove_file(folder.join(NAMES[3])).expect("removed");
    let message = load(&folder).expect_err("a file is missing");
    assert!(message.ends_with("neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"));
}

#[test]
fn an_images_file_and_its_labels() {
    let folder = folder("pair");
    write_four(&folder);
    let data = load(&folder.join(NAMES[0])).expect("valid");
    assert_eq!((data.len(), data.fixed_test().len()), (4, 0));
    fs::write(folder.join(NAMES[1]), labels(&[0, 1])).expect("written");
    let message = load(&folder.join(NAMES[0])).expect_err("too few labels");
    assert!(message.ends_with("4 inputs but 2 targets: expected one target for each input"));
    fs::write(folder.join(NAMES[1]), labels(&[0, 1, 12, 1])).expect("written");
    let message = load(&folder.join(NAMES[0])).expect_err("a label out of range");
    assert!(
        message
            .contains("labels run to 12 but no example has label 2: expected every class from 0"),
        "{message}"
    );
    fs::remove_file(folder.join(NAMES[1])).expect("removed");
    let message = load(&folder.join(NAMES[0])).expect_err("no labels");
    assert!(message.ends_with(
        "its labels train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz are not beside it"
    ));
    let message = load(&folder.join(NAMES[3])).expect_err("no images");
    assert!(message.contains("`images` in its name"), "{message}");
}

#[test]
fn an_npz_file() {
    let path = folder("npz").join("two.npz");
    let x = Array::from_slice(&[2, 3], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).expect("six");
    let y = Array::vector(&[0i32, 1]);
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Stored).expect("written");
    fs::write(&path, &bytes).expect("written");
    let data = load(&path).expect("valid");
    assert_eq!((data.name(), data.inputs().in_memory()), ("two", Some(&x)));
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let message = load(&path).expect_err("cut off");
    assert!(message.contains("two.npz: not a valid npz file: it is no zip archive"), "{message}");
}

#[test]
fn a_known_name_wants_the_known_contents() {
    let folder = folder("known");
    let message =
        dataset::load("fashion-mnist", std::slice::from_ref(&folder), &DataConfig::default())
            .map(|_| ());
    // Where the system's package is installed the name is found there.
    if let Err(error) = message {
        assert!(error.to_string().contains("dataset-fashion-mnist"), "{error}");
    }
    let inner = folder.join("fashion-mnist");
    fs::create_dir_all(&inner).expect("made");
    write_four(&inner);
    let message = dataset::load("fashion-mnist", &[folder], &DataConfig::default())
        .expect_err("other bytes")
        .to_string();
    assert!(message.contains("the contents have SHA-256") && message.contains("c59f468a"));
}

#[test]
fn a_name_that_is_nothing() {
    assert_eq!(
        dataset::load("no such data", &[], &DataConfig::default())
            .expect_err("nothing")
            .to_string(),
        "no data `no such data`: expected `digits`, `fashion-mnist`, or the path of an .npz, \
         CSV, Parquet, text or IDX file, a folder of images or IDX files, or a TOML file that names \
         one"
    );
    if cfg!(unix) {
        assert!(load(Path::new("/dev/null")).expect_err("a device").contains("/dev/null"));
    }
}
