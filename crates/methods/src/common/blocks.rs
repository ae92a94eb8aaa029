//! A sample in parts that are left out one by one.

use thalweg_data::Stream;

/// The examples of a sample, dealt into blocks that are alike: of nearly one size, and each with nearly
/// the same share of every stratum, in a drawn order. A stratum of which there is a single example stays
/// out of them. Fewer than are wanted where there are fewer examples.
pub(crate) fn blocks_alike(
    strata: &[(Vec<usize>, usize)],
    stream: &Stream,
    wanted: usize,
) -> Vec<Vec<usize>> {
    let several = strata.iter().enumerate().filter(|(_, (places, _))| places.len() > 1);
    let shuffled = several.flat_map(|(stratum, (places, _))| {
        let order = stream.at(stratum as u64).permutation(places.len());
        order.into_iter().map(|i| places[i])
    });
    let dealt: Vec<usize> = shuffled.collect();
    let blocks = wanted.min(dealt.len());
    (0..blocks).map(|first| dealt.iter().skip(first).step_by(blocks).copied().collect()).collect()
}

/// Blocks of some examples as a sample of those that all examples would make.
pub(crate) fn sample_of_blocks(
    blocks: usize,
    examples: usize,
    population: usize,
) -> [(Vec<usize>, usize); 1] {
    [((0..blocks).collect(), (blocks * population).div_ceil(examples.max(1)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_same_of_every_stratum() {
        let strata = [((0..20).collect(), 50), (vec![20], 3), ((21..30).collect(), 30)];
        let blocks = blocks_alike(&strata, &Stream::new(1, "blocks"), 4);
        let mut all = blocks.concat();
        all.sort_unstable();
        assert_eq!(all, (0..20).chain(21..30).collect::<Vec<_>>());
        for block in &blocks {
            let of_first = block.iter().filter(|place| **place < 20).count();
            assert_eq!(of_first, 5);
            assert!((7..=8).contains(&block.len()), "{blocks:?}");
        }
        assert_eq!(blocks_alike(&strata[1..], &Stream::new(1, "blocks"), 16).len(), 9);
    }
}
