//! Pictures, tables and texts against what Pillow, pyarrow and tokenizers make of them; the files
//! are written by `fixtures/data/generate.py`.

use std::fs;
use std::path::{Path, PathBuf};
use thalweg_array::Array;
use thalweg_data::{Dataset, Provenance, Targets};
use thalweg_formats::dataset::{self, DataConfig, ImageSize};
use thalweg_formats::npz;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("a fixture")
}

fn expected(name: &str) -> Array {
    let file = bytes("expected.npz");
    let mut archive = npz::Npz::new(&file).expect("an archive");
    archive.get(name).expect("an array").to_array().expect("numbers")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-files-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

/// Pixels of a picture as targets of its coordinates.
fn pixels(name: &str, config: &DataConfig) -> (Dataset, Vec<f64>) {
    let data = dataset::read_coordinates(name, &bytes(name), config, Provenance::default());
    let data = data.unwrap_or_else(|error| panic!("{name}: {error}"));
    let Targets::Values(values) = data.targets() else { panic!("values") };
    let values = values.to_f64_vec();
    (data, values)
}

fn close(name: &str, got: &[f64], expected: &Array, most: f64, tolerance: f64) {
    let expected = expected.to_f64_vec();
    assert_eq!(got.len(), expected.len(), "{name}");
    let differences = got.iter().zip(&expected).map(|(a, b)| (a - b / most).abs());
    let largest = differences.fold(0.0, f64::max);
    assert!(largest <= tolerance, "{name}: {largest}");
}

#[test]
fn pictures_are_those_of_pillow() {
    let rgb = DataConfig { channels: Some(3), ..DataConfig::default() };
    let grey = DataConfig { channels: Some(1), ..DataConfig::default() };
    // Single precision; Pillow rounds grey to whole levels; decoders of JPEG differ by some.
    let (exact, rounded, lossy) = (1e-7, 0.51 / 255.0, 3.0 / 255.0);
    for (name, colour, level) in [
        ("colour.png", exact, rounded),
        ("palette.png", exact, rounded),
        ("alpha.png", exact, rounded),
        ("smooth.jpg", lossy, lossy),
    ] {
        close(name, &pixels(name, &rgb).1, &expected(&format!("{name}.rgb")), 255.0, colour);
        close(name, &pixels(name, &grey).1, &expected(&format!("{name}.grey")), 255.0, level);
    }
    let plain = DataConfig::default();
    close("grey.png", &pixels("grey.png", &plain).1, &expected("grey.png.grey"), 255.0, exact);
    close("grey.jpg", &pixels("grey.jpg", &plain).1, &expected("grey.jpg.grey"), 255.0, lossy);
    let deep = pixels("sixteen.png", &plain).1;
    close("sixteen.png", &deep, &expected("sixteen.png.grey"), 65535.0, exact);
    // Grey in three channels is the same three times.
    let three = pixels("grey.png", &rgb).1;
    assert!(three.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

#[test]
fn sizes_change_as_in_pillow() {
    for (height, width) in [(3, 4), (10, 9), (2, 7)] {
        let resize = Some(ImageSize { height, width });
        let config = DataConfig { resize, ..DataConfig::default() };
        let name = format!("colour.png.{height}x{width}");
        close(&name, &pixels("colour.png", &config).1, &expected(&name), 255.0, 2e-6);
    }
}

#[test]
fn a_picture_is_a_function_of_the_place() {
    let (data, values) = pixels("colour.png", &DataConfig::default());
    assert_eq!((data.len(), data.example_shape(), values.len()), (35, &[2][..], 105));
    let places = data.inputs().in_memory().unwrap().as_slice::<f32>().expect("numbers");
    assert_eq!(places[..4], [-1.0, -1.0, -1.0, -2.0 / 3.0]);
    assert_eq!(places[2 * 17..][..2], [0.0, 0.0]);
    assert_eq!(places[68..], [1.0, 1.0]);
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

fn images(root: &Path, config: &DataConfig) -> Result<Dataset, String> {
    dataset::load_images(root, config).map_err(|error| error.to_string())
}

#[test]
fn folders_are_classes_and_parts() {
    let root = folder("classes");
    let plain = DataConfig::default();
    let (grey, colour) = (bytes("grey.png"), bytes("colour.png"));
    put(&root, "zebra/b.PNG", &grey);
    put(&root, "ape/10.png", &grey);
    put(&root, "ape/9.png", &grey);
    put(&root, "ape/notes.txt", b"none");
    put(&root, ".hidden/x.png", &grey);
    let data = images(&root, &plain).expect("images");
    assert_eq!(data.inputs().shape(), [3, 5, 7, 1]);
    assert_eq!(data.class_names(), ["ape", "zebra"].map(String::from));
    assert_eq!(data.labels().expect("labels"), [0, 0, 1]);
    assert!(data.notes().iter().any(|note| note.starts_with("1 files that are no PNG")));
    put(&root, "zebra/c.png", &colour);
    assert_eq!(images(&root, &plain).expect("images").inputs().shape(), [4, 5, 7, 3]);
    let one = DataConfig { channels: Some(1), ..plain.clone() };
    assert_eq!(images(&root, &one).expect("images").inputs().shape(), [4, 5, 7, 1]);
    put(&root, "zebra/d.jpeg", &bytes("smooth.jpg"));
    let message = images(&root, &plain).expect_err("two sizes");
    assert!(
        message.ends_with(
            "the images differ in size, 5x7 (4 images), 24x32 (1 images): say --resize HEIGHTxWIDTH"
        ),
        "{message}"
    );
    let resize = DataConfig { resize: "6x8".parse().ok(), ..plain.clone() };
    let data = images(&root, &resize).expect("images");
    assert_eq!(data.inputs().shape(), [5, 6, 8, 3]);
    assert!(data.notes().iter().any(|note| note.starts_with("brought to 6x8 from 5x7")));
    let named = |classes: &[&str]| DataConfig {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..resize.clone()
    };
    let data = images(&root, &named(&["zebra", "gnu", "ape"])).expect("images");
    assert_eq!(data.labels().expect("labels"), [2, 2, 0, 0, 0]);
    assert!(data.notes().iter().any(|note| note.contains("no example has label 1")));
    assert!(images(&root, &named(&["ape"])).expect_err("another").contains("`zebra` is none of"));
    let known = DataConfig { n_classes: Some(3), ..resize.clone() };
    assert!(images(&root, &known).expect_err("two of three").contains("2 classes occur"));

    let parts = folder("parts");
    for (name, bytes) in [
        ("test/a/1.png", &grey),
        ("train/a/1.png", &grey),
        ("train/b/1.png", &colour),
        ("val/b/1.png", &grey),
    ] {
        put(&parts, name, bytes);
    }
    let data = images(&parts, &plain).expect("images");
    assert_eq!((data.len(), data.fixed_validation(), data.fixed_test()), (4, &[2][..], &[3][..]));
    assert_eq!(data.labels().expect("labels"), [0, 1, 1, 0]);
    assert!(
        images(&folder("nothing"), &plain).expect_err("empty").contains("ROOT/CLASS/IMAGE.png")
    );
}

/// The check sum of a PNG's chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 },
        )
    })
}

/// A PNG that claims another size.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut png = bytes("colour.png");
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    png
}

#[test]
fn broken_pictures_are_named_and_bombs_are_not_decoded() {
    let root = folder("broken");
    put(&root, "a/good.png", &bytes("colour.png"));
    let resize = DataConfig { resize: "4".parse().ok(), ..DataConfig::default() };
    let (png, jpeg) = (bytes("colour.png"), bytes("smooth.jpg"));
    for (what, bytes, words) in [
        ("cut.png", &png[..png.len() / 2], "not a valid image file"),
        ("cut.jpg", &jpeg[..jpeg.len() - 60], "it is cut off"),
        ("half.jpg", &jpeg[..jpeg.len() / 2], "not a valid image file"),
        ("text.png", b"hello", "neither PNG nor JPEG"),
        ("empty.png", b"", "neither PNG nor JPEG"),
        ("bomb.png", &claiming(60_000, 60_000), "60000x60000 pixels large, expected at most"),
        ("lie.png", &claiming(4_000, 4_000), "more than its 178 bytes can hold"),
    ] {
        put(&root, &format!("b/{what}"), bytes);
        let message = images(&root, &resize).expect_err(what);
        assert!(message.contains(what) && message.contains(words), "{what}: {message}");
        fs::remove_dir_all(root.join("b")).expect("removed");
    }
    assert_eq!(images(&root, &resize).expect("the rest").len(), 1);
}

fn parquet(name: &str, config: &DataConfig) -> Result<Dataset, String> {
    dataset::read_parquet(name, bytes(name), config, Provenance::default())
        .map_err(|error| error.to_string())
}

fn target(name: &str) -> DataConfig {
    DataConfig { target: vec![name.into()], ..DataConfig::default() }
}

#[test]
fn parquet_files_are_those_of_pyarrow() {
    for name in ["table.parquet", "gzip.parquet"] {
        let data = parquet(name, &target("kind")).expect(name);
        assert_eq!(data.example_shape(), [8]);
        assert_eq!(data.class_names(), ["cat", "dog", "eel"].map(String::from));
        let labels: Vec<f64> =
            data.labels().expect("labels").iter().map(|&l| f64::from(l)).collect();
        assert_eq!(labels, expected("table.kind").to_f64_vec());
        let inputs = data.inputs().in_memory().unwrap().to_f64_vec();
        for (place, column) in ["whole", "small", "single", "double", "truth"].iter().enumerate() {
            let values = expected(&format!("table.{column}")).to_f64_vec();
            for (row, value) in values.iter().enumerate() {
                assert_eq!(inputs[8 * row + place], f64::from(*value as f32), "{column} {row}");
            }
        }
        let lists = expected("table.list").to_f64_vec();
        for (row, list) in lists.chunks(3).enumerate() {
            assert_eq!(&inputs[8 * row + 5..][..3], list, "{row}");
        }
    }
}

#[test]
fn parquet_files_that_do_not_fit_get_one_sentence() {
    let fault = |name: &str, config: &DataConfig| parquet(name, config).expect_err(name);
    assert_eq!(
        fault("zstd.parquet", &target("kind")),
        "Parquet: column `whole` is compressed by ZSTD, which is not read: write it with snappy, \
         gzip, lz4 or no compression"
    );
    assert_eq!(
        fault("holes.parquet", &target("kind")),
        "Parquet: column `single`: row 1 is empty or NaN, expected a finite number (also row 4)"
    );
    assert_eq!(
        fault("ragged.parquet", &target("kind")),
        "Parquet: column `list`: row 2 holds 2 numbers and the first 1: expected lists of one \
         length"
    );
    assert!(
        fault("table.parquet", &target("double")).contains("column `kind` holds text (row 0: ")
    );
    let left = DataConfig { leave_out: vec!["kind".into()], ..target("double") };
    assert_eq!(parquet("table.parquet", &left).expect("numbers").n_classes(), None);
    assert!(fault("cats.txt", &target("x")).starts_with("not a valid Parquet file"));
}

#[test]
fn a_toml_file_says_how_data_are_read() {
    let root = folder("toml");
    put(&root, "a/1.png", &bytes("colour.png"));
    put(&root, "b/1.jpg", &bytes("smooth.jpg"));
    put(&root, "thalweg.toml", b"resize = [4]\n");
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let message = dataset::find_config(&name(&root)).expect_err("a list").to_string();
    assert!(message.contains("thalweg.toml: not a valid TOML file: resize = "), "{message}");
    put(&root, "thalweg.toml", b"resize = 4\nchannels = 1\n");
    let (path, config) = dataset::find_config(&name(&root)).expect("valid");
    assert_eq!(path, name(&root));
    let data = dataset::load(&path, &[], &config).expect("images");
    assert_eq!(data.inputs().shape(), [2, 4, 4, 1]);
    put(&root, "other/far.toml", b"path = \"../table.csv\"\ntarget = \"a\"\n");
    put(&root, "table.csv", b"a,b\n1.5,2\n2.5,3\n");
    let (path, config) = dataset::find_config(&name(&root.join("other/far.toml"))).expect("valid");
    let data = dataset::load(&path, &[], &config).expect("a table");
    assert_eq!(data.inputs().in_memory().unwrap().to_f64_vec(), [2.0, 3.0]);
    let none = dataset::find_config("digits").expect("nothing beside");
    assert_eq!(none, ("digits".to_owned(), DataConfig::default()));
    let message = dataset::kind_of(&name(&fixture("colour.png")), &DataConfig::default());
    assert!(message.expect_err("one picture").to_string().contains("--as coordinates"));
}

#[cfg(feature = "tokenizers")]
#[test]
fn tokens_are_those_of_tokenizers() {
    let tokens = Some(fixture("tokenizer.json").to_string_lossy().into_owned());
    let config = DataConfig { tokens, context: Some(4), ..DataConfig::default() };
    let data = dataset::load_text(&fixture("cats.txt"), &config).expect("tokens");
    let size = expected("cats.size").item().expect("a number");
    assert_eq!(data.n_classes().map(|n| n as f64), Some(size));
    let ids = expected("cats.ids").to_f64_vec();
    assert_eq!(data.len(), ids.len() / 5);
    for (row, window) in ids.chunks_exact(5).enumerate() {
        let inputs = data.inputs().in_memory().unwrap().row(row).expect("a row").to_f64_vec();
        assert_eq!(inputs, window[..4], "{row}");
    }
    let broken = folder("tokens").join("tokenizer.json");
    fs::write(&broken, b"{\"model\": 3}").expect("written");
    let tokens = Some(broken.to_string_lossy().into_owned());
    let config = DataConfig { tokens, ..DataConfig::default() };
    let message = dataset::load_text(&fixture("cats.txt"), &config).expect_err("none").to_string();
    assert!(message.contains("tokenizer.json: not a valid tokenizer.json file"), "{message}");
}
