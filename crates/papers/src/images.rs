//! Where pictures come from: data sets that are part of the program, or known by name and read from
//! files.

use crate::files::find;
use crate::pictures::Pictures;
use thalweg_data::{Stream, Subset};
use thalweg_lab::{DataOptions, LabError, PreparedData, Result};

/// All 1,797 digits of 8 x 8 pixels.
///
/// # Errors
/// None: the data are part of the program.
pub fn digits() -> Result<Pictures> {
    Pictures::of(&Subset::all(thalweg_data::digits()), 16.0)
}

/// `train` of the digits to train on and `test` others, by an order that is the same for every seed.
/// A sample of a check runs on them in place of larger pictures, so that it runs everywhere.
///
/// # Errors
/// `Input` if there are not so many, or none is asked for.
pub fn digits_instead(train: usize, test: usize) -> Result<[Pictures; 2]> {
    let all = digits()?;
    let order = Stream::new(0, "papers/digits").permutation(all.len());
    match order.get(..train.saturating_add(test)) {
        Some(order) if train > 0 && test > 0 => {
            Ok([all.at(&order[..train]), all.at(&order[train..])])
        }
        _ => Err(LabError::Input(format!(
            "{train} and {test} digits: expected at least 1 each and {} at most",
            order.len()
        ))),
    }
}

/// Pictures of clothes that are part of the program, means of 2 x 2 pixels of Fashion-MNIST in 16
/// levels: 2,000 to train on, 400 to choose by, 1,000 of its test part to test on.
///
/// # Source    Xiao, Rasul, Vollgraf, Fashion-MNIST, 2017, arXiv 1708.07747; MIT
pub fn small_clothes() -> [Pictures; 3] {
    const SIDE: usize = 14;
    const COUNTS: [usize; 3] = [2000, 400, 1000];
    const ALL: usize = COUNTS[0] + COUNTS[1] + COUNTS[2];
    // Two pixels a byte; then a byte for each label.
    static DATA: &[u8; ALL * (SIDE * SIDE / 2 + 1)] =
        include_bytes!("../embedded/fashion_14x14.bin");
    let (packed, labels) = DATA.split_at(ALL * SIDE * SIDE / 2);
    let levels = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let pixels = levels.map(|level| f64::from(level) / 15.0).collect();
    let labels = labels.iter().map(|&label| i32::from(label)).collect();
    let all = Pictures { side: SIDE, pixels, labels };
    let [train, chosen] = [COUNTS[0], COUNTS[0] + COUNTS[1]];
    [0..train, train..chosen, chosen..ALL].map(|part| all.within(part))
}

/// `train` pictures of clothes to train on and `test` others from the data set's own test part,
/// each with equal shares of the classes, the same for every seed.
///
/// # Errors
/// `Format` where the files of Fashion-MNIST are not found, which says where they were looked for.
pub fn clothes(train: usize, test: usize) -> Result<[Pictures; 2]> {
    let options = DataOptions { name: Some("fashion-mnist".into()), ..DataOptions::default() };
    let (_, data) = PreparedData::choose(&options, &[], 0)?;
    let part = |subset: &Subset, n: usize| {
        let chosen = subset.stratified(n, &Stream::new(0, "papers/clothes"))?;
        Pictures::of(&chosen, 255.0)
    };
    Ok([part(&data.train, train)?, part(&data.test, test)?])
}

/// Handwritten digits of 28 x 28 pixels, the first `n` of the test part of MNIST.
///
/// # Errors
/// `Input` where the file is not found.
pub fn mnist(n: usize) -> Result<Pictures> {
    let what = "the test part of MNIST as arrays x u8[10000, 28, 28] and y u8[10000]";
    let path = find("mnist_test", "mnist_test.npz", what)?;
    let options = DataOptions { name: Some(path.display().to_string()), ..DataOptions::default() };
    let (_, data) = PreparedData::choose(&options, &[], 0)?;
    let all = Subset::all(data.dataset.clone());
    let some = all.stratified(n, &Stream::new(0, "papers/mnist"))?;
    Pictures::of(&some, 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_pictures() {
        let [train, test] = digits_instead(1000, 797).unwrap();
        assert_eq!((train.len(), test.len(), train.side), (1000, 797, 8));
        // The sum of all pixels, of which white is 16.
        let sum: f64 = train.pixels.iter().chain(&test.pixels).sum();
        assert_eq!(sum * 16.0, 561_718.0);
        assert!(digits_instead(1000, 798).is_err() && digits_instead(0, 5).is_err());
        assert!(digits_instead(usize::MAX, 2).is_err());
    }

    #[test]
    fn small_clothes_are_what_was_drawn() {
        let parts = small_clothes();
        assert_eq!(parts.each_ref().map(Pictures::len), [2000, 400, 1000]);
        let levels = parts.iter().flat_map(|part| &part.pixels).map(|x| (15.0 * x).round());
        // The sum that the script's file has.
        assert_eq!(levels.sum::<f64>(), 2_870_252.0);
        let count = |class: i32| parts[2].labels.iter().filter(|&&label| label == class).count();
        let counts: Vec<usize> = (0..10).map(count).collect();
        assert_eq!(counts, [90, 94, 108, 106, 93, 104, 117, 90, 94, 104]);
    }
}
