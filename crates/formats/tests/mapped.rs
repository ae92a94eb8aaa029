//! Inputs that stay in their file are those that would be in memory, take no memory of their own,
//! and are refused for the same reasons.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Normalization};
use thalweg_formats::dataset::{DataConfig, load_npz_within, load_pair_within};
use thalweg_formats::{idx, npz};

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| {
            held.set(held.get() + layout.size() as isize);
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A folder of this test alone, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("thalweg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn npz(&self, arrays: &[(&str, &Array)], compression: npz::Compression) -> PathBuf {
        let (path, mut bytes) = (self.0.join("data.npz"), Vec::new());
        npz::write(&mut bytes, arrays, compression).expect("an archive");
        std::fs::write(&path, bytes).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(path: &Path, in_memory: u64) -> Result<Dataset, String> {
    let data = load_npz_within(path, &DataConfig::default(), in_memory);
    data.map_err(|error| error.to_string())
}

/// Both ways of reading give the same of everything.
fn assert_same(stored: &Dataset, memory: &Dataset) {
    assert!(stored.inputs().in_memory().is_none() && memory.inputs().in_memory().is_some());
    assert_eq!(stored.inputs().shape(), memory.inputs().shape());
    assert_eq!(stored.inputs().dtype(), memory.inputs().dtype());
    assert_eq!(stored.fingerprint(), memory.fingerprint());
    let moments = |data: &Dataset| Normalization::of_all(data.inputs()).expect("moments");
    assert_eq!(moments(stored), moments(memory));
    let n = memory.len();
    for rows in [vec![], vec![n - 1], vec![2, 0, 1, n - 1, 3], (0..n).collect()] {
        let gather = |data: &Dataset| data.inputs().gather(&rows).expect("rows");
        assert_eq!(gather(stored), gather(memory), "{rows:?}");
    }
    assert!(stored.inputs().gather(&[n]).is_err());
}

fn wave(shape: &[usize], dtype: DType) -> Array {
    let n = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin() * 50.0).collect();
    Array::from_slice(shape, &values).expect("an array").convert(dtype)
}

#[test]
fn arrays_of_every_kind_are_read_as_in_memory() {
    let folder = Folder::new("mapped-kinds");
    let labels = Array::from_slice(&[150], &[0i32, 1, 2].repeat(50)).unwrap();
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        for shape in [&[150, 7][..], &[150, 30, 31], &[150, 5, 4, 3]] {
            let x = wave(shape, dtype);
            let path = folder.npz(&[("x", &x), ("y", &labels)], npz::Compression::Stored);
            assert_same(&load(&path, 0).unwrap(), &load(&path, u64::MAX).unwrap());
        }
    }
    // Doubles that single precision holds become such.
    let whole = wave(&[150, 7], DType::I32).convert(DType::F64);
    let path = folder.npz(&[("x", &whole), ("y", &labels)], npz::Compression::Stored);
    let stored = load(&path, 0).unwrap();
    assert_eq!(stored.inputs().dtype(), DType::F32);
    assert_same(&stored, &load(&path, u64::MAX).unwrap());
}

#[test]
fn parts_of_different_types_are_joined() {
    let folder = Folder::new("mapped-parts");
    let labels = Array::vector(&[0i32, 1, 2, 0, 1]);
    let (train, test) = (wave(&[5, 6], DType::F64), wave(&[5, 6], DType::I32));
    let arrays =
        [("x_test", &test), ("y_test", &labels), ("x_train", &train), ("y_train", &labels)];
    let path = folder.npz(&arrays, npz::Compression::Stored);
    let (stored, memory) = (load(&path, 0).unwrap(), load(&path, u64::MAX).unwrap());
    assert_same(&stored, &memory);
    assert_eq!(stored.fixed_test(), [5, 6, 7, 8, 9]);
}

#[test]
fn an_idx_file_is_read_as_in_memory() {
    let folder = Folder::new("mapped-idx");
    let (images, labels) = (folder.0.join("images-idx3"), folder.0.join("labels-idx1"));
    for dtype in [DType::F32, DType::F64, DType::I32] {
        let write = |path: &Path, array: &Array| {
            let mut bytes = Vec::new();
            idx::write(&mut bytes, array).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write(&images, &wave(&[5, 4, 3], dtype));
        write(&labels, &Array::vector(&[0i32, 1, 2, 0, 1]));
        let load = |limit| load_pair_within(&images, &labels, &DataConfig::default(), limit);
        assert_same(&load(0).unwrap(), &load(u64::MAX).unwrap());
    }
    let bytes = std::fs::read(&images).unwrap();
    std::fs::write(&images, &bytes[..bytes.len() - 1]).unwrap();
    let load = |limit| load_pair_within(&images, &labels, &DataConfig::default(), limit);
    let message = load(0).unwrap_err().to_string();
    assert!(message.contains("the file has"), "{message}");
    assert_eq!(message, load(u64::MAX).unwrap_err().to_string());
}

#[test]
fn what_is_wrong_is_said_as_in_memory() {
    let folder = Folder::new("mapped-wrong");
    let labels = Array::from_slice(&[20], &[0i32, 1].repeat(10)).unwrap();
    let mut x = wave(&[20, 7], DType::F64);
    for (at, value) in [(24, f64::NAN), (25, f64::NAN), (70, 1e300), (133, f64::INFINITY)] {
        x.as_mut_slice::<f64>().unwrap()[at] = value;
    }
    for dtype in [DType::F64, DType::F32] {
        let arrays = [("x", &x.convert(dtype)), ("y", &labels)];
        let path = folder.npz(&arrays, npz::Compression::Stored);
        let message = load(&path, 0).unwrap_err();
        assert!(
            message.ends_with(
                "row 3 holds NaN at element 3, expected finite numbers (also rows 10 and 19)"
            ),
            "{message}"
        );
        assert_eq!(message, load(&path, u64::MAX).unwrap_err());
    }
    // Every cut and every changed byte: the same verdict, the same data.
    let x = wave(&[20, 7], DType::F32);
    let path = folder.npz(&[("x", &x), ("y", &labels)], npz::Compression::Stored);
    let whole = std::fs::read(&path).unwrap();
    let verdict = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        // The check sum is looked at before the header of the array, so that words may differ.
        let fingerprint = |limit| load(&path, limit).ok().map(|data| data.fingerprint().to_owned());
        let (stored, memory) = (fingerprint(0), fingerprint(u64::MAX));
        assert_eq!(stored, memory);
        stored
    };
    assert!(verdict(&whole).is_some());
    for length in (1..whole.len()).step_by(17) {
        assert!(verdict(&whole[..length]).is_none(), "{length}");
    }
    let mut refused = 0;
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        refused += usize::from(verdict(&bytes).is_none());
    }
    assert!(refused > whole.len() / 6, "{refused}");
}

#[test]
fn compressed_inputs_are_read_into_memory_and_noted() {
    let folder = Folder::new("mapped-compressed");
    let x = wave(&[4, 7], DType::F32);
    let arrays = [("x", &x), ("y", &Array::vector(&[0i32, 1, 1, 0]))];
    let path = folder.npz(&arrays, npz::Compression::Deflated);
    let data = load(&path, 0).unwrap();
    assert!(data.inputs().in_memory().is_some());
    assert!(data.notes().iter().any(|note| note.contains("numpy.savez,")), "{:?}", data.notes());
    assert!(load(&path, u64::MAX).unwrap().notes().is_empty());
}

#[test]
fn reading_takes_little_of_the_memory_that_the_file_would() {
    let folder = Folder::new("mapped-memory");
    let x = wave(&[2048, 1024], DType::F32);
    let labels = Array::from_slice(&[2048], &[0i32, 1].repeat(1024)).unwrap();
    let path = folder.npz(&[("x", &x), ("y", &labels)], npz::Compression::Stored);
    let size = x.size_in_bytes() as isize;
    drop(x);
    let before = HELD.get();
    PEAK.set(before);
    let data = load(&path, 0).unwrap();
    let moments = Normalization::of_all(data.inputs()).unwrap();
    let some = moments.apply(&data.inputs().gather(&[5, 2000]).unwrap()).unwrap();
    let most = PEAK.get() - before;
    assert_eq!(some.shape(), [2, 1024]);
    assert!(most < size / 4, "{most} bytes for inputs of {size}");
}
