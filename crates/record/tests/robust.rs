//! Whatever the bytes, the readers of results neither panic nor ask for much more memory than is
//! there: valid files, cut and changed by a seeded mutator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use thalweg_record::zarr::{ArraySpec, Group, MemoryStore, Store};
use thalweg_record::{Column, Surface, SurfaceAttributes, Table};

/// Counts the largest request of each thread.
struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SplitMix64: a draw for each place.
fn draw(seed: u64, at: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    for _ in 0..2 {
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

fn mutate(bytes: &[u8], seed: u64) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'-', b'['];
    let mut out = bytes.to_vec();
    for edit in 0..1 + draw(seed, 0) % 4 {
        let of = |k: u64, below: usize| (draw(seed, 8 * edit + k + 1) % below as u64) as usize;
        let at = of(0, out.len());
        let end = (at + 1 + of(1, 12)).min(out.len());
        match of(2, 6) {
            0 => out[at] ^= 1 << of(3, 8),
            1 => out[at] = TELLING[of(3, 8)],
            2 => drop(out.drain(at..end)),
            3 => out.insert(at, TELLING[of(3, 8)]),
            4 => out[at..end].fill(0xff),
            _ => drop(out.splice(at..at, vec![b'9'; 1 + of(3, 24)])),
        }
        if out.is_empty() {
            break;
        }
    }
    out
}

fn metrics() -> Vec<u8> {
    let mut table = Table::new();
    table.push("step", Column::I64((0..40).collect())).unwrap();
    let loss = (0..40).map(|i| 1.0 / f64::from(1 + i % 7)).collect();
    table.push("loss", Column::F64(loss)).unwrap();
    let note = (0..40).map(|i| format!("seed {}", i % 3)).collect();
    table.push("member", Column::Text(note)).unwrap();
    let mut bytes = Vec::new();
    table.write_parquet("metrics.parquet", &mut bytes).unwrap();
    bytes
}

#[test]
fn parquet_files() {
    let valid = metrics();
    let read = |bytes: Vec<u8>| {
        LARGEST.set(0);
        let size = bytes.len();
        let fine = Table::read_parquet("metrics.parquet", bytes).is_ok();
        let largest = LARGEST.get();
        assert!(largest <= 64 * size + (1 << 20), "{largest} bytes for a file of {size}");
        fine
    };
    assert!(read(valid.clone()));
    for length in 0..valid.len() {
        assert!(!read(valid[..length].to_vec()), "cut to {length}");
    }
    // A changed bit of a page would be another number, and is noticed wherever it is.
    for at in 0..valid.len() {
        let mut changed = valid.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!read(changed), "byte {at} changed");
    }
    for seed in 0..20_000 {
        read(mutate(&valid, seed));
    }
}

fn surface() -> MemoryStore {
    let axis = vec![-1.0, 0.0, 1.0];
    let mut surface = Surface::new(axis.clone(), axis, None, SurfaceAttributes::default()).unwrap();
    surface.loss.iter_mut().enumerate().for_each(|(i, loss)| *loss = i as f64);
    let store = MemoryStore::default();
    surface.write_zarr(&store).unwrap();
    store
}

#[test]
fn zarr_metadata() {
    let valid = surface();
    let metadata = valid.get("zarr.json").unwrap().unwrap();
    let read = |bytes: &[u8]| {
        let store = surface();
        store.put("zarr.json", bytes).unwrap();
        LARGEST.set(0);
        let fine = Surface::read_zarr(&store, "").is_ok();
        let largest = LARGEST.get();
        // What is not stored of an array is filled, up to a fixed size.
        assert!(largest <= 8 << 28, "{largest} bytes for {}", String::from_utf8_lossy(bytes));
        fine
    };
    assert!(read(&metadata));
    for seed in 0..20_000 {
        read(&mutate(&metadata, seed));
    }
}

#[test]
fn arrays_that_claim_more_than_is_there() {
    // Nothing is stored of most of these, which the format allows: all would be fill values.
    for shape in [&[1usize << 40][..], &[1 << 20, 1 << 20], &[usize::MAX, 2], &[0, usize::MAX]] {
        for chunk in [1, 1 << 16] {
            let names: Vec<&str> = ["y", "x"][..shape.len()].to_vec();
            let chunks = vec![chunk; shape.len()];
            let spec = ArraySpec::new::<f64>(shape, &names).chunked(&chunks);
            let group = Group::default().array("loss", spec);
            let store = MemoryStore::default();
            group.create(&store).unwrap();
            let Ok(group) = Group::open(&store) else { continue };
            LARGEST.set(0);
            let read = group.read::<f64>(&store, "loss");
            assert!(LARGEST.get() < 1 << 20, "{shape:?}: {} bytes", LARGEST.get());
            assert!(read.is_err() || shape.contains(&0), "{shape:?}");
        }
    }
}

#[test]
fn metadata_that_nests_deeply_does_not_overflow_the_stack() {
    for open in ["[", "{\"a\":", "{\"attributes\":"] {
        let store = MemoryStore::default();
        store.put("zarr.json", open.repeat(200_000).as_bytes()).unwrap();
        assert!(Group::open(&store).is_err());
    }
    let path = "a/".repeat(100_000);
    let text = format!(
        r#"{{"zarr_format":3,"node_type":"group","consolidated_metadata":{{"metadata":
        {{"{path}b":{{"node_type":"group"}}}}}}}}"#
    );
    let store = MemoryStore::default();
    store.put("zarr.json", text.as_bytes()).unwrap();
    let message = Group::open(&store).unwrap_err().to_string();
    assert!(message.contains("at most 64 groups in one another"), "{message}");
}
