//! What `torch.save` writes.

use crate::memory::within;
use crate::mutation::{attack, mutate, read_bounded};
use crate::targets::zipped;
use thalweg_data::Stream;
use thalweg_formats::torch;

/// Files that PyTorch wrote.
#[test]
fn torch_files() {
    attack("torch", include_bytes!("../fixtures/torch/zip.pt"), 1, 3_000);
    attack("torch old", include_bytes!("../fixtures/torch/old.pt"), 1, 5_000);
    attack("torch checkpoint", include_bytes!("../fixtures/torch/lightning.ckpt"), 1, 3_000);
}

/// The zip container's check sums would hide the pickle from the mutator.
#[test]
fn pickles_with_a_valid_check_sum() {
    let file = include_bytes!("../fixtures/torch/lightning.ckpt");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).expect("an archive");
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).expect("a member");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut member, &mut bytes).expect("whole");
        members.push((member.name().expect("text").into_owned(), bytes));
    }
    let place = members.iter().position(|(name, _)| name.ends_with("data.pkl")).expect("there");
    let pickle = members[place].1.clone();
    let stream = Stream::new(0, "pickle");
    let mut read = 0;
    for round in 0..5_000 {
        members[place].1 = mutate(&pickle, &stream.at(round));
        let named: Vec<(&str, &[u8])> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let bytes = zipped(&named);
        read_bounded(&bytes, 1);
        read += usize::from(torch::read(&bytes).is_ok());
    }
    // Most changes break a pickle, and some are of what is no weight.
    assert!((50..4_500).contains(&read), "{read}");
}

/// The most that one byte of a pickle can make is a list.
#[test]
fn pickles_of_nothing_but_objects_take_little_memory() {
    for operation in [b']', b'}', b')', b'N', b'(', b'2', 0x8f] {
        let pickle = [&b"\x80\x02}"[..], &[operation].repeat(1 << 18), b"."].concat();
        let bytes = zipped(&[("a/data.pkl", &pickle)]);
        assert!(within(160 * bytes.len(), &bytes, torch::read).is_err());
    }
}

/// As those that the fuzzer makes are.
#[test]
fn a_pickle_in_an_archive_reaches_its_reader() {
    let message = torch::read(&zipped(&[("a/data.pkl", b"\x80\x02].")])).unwrap_err();
    assert_eq!(message.to_string(), "PyTorch: it holds a list, expected a state dict");
}
