//! When samples are memorised, and how much later others like them are generalised to.

use crate::MethodError;
use crate::common::{assignment, vector};
use std::collections::BTreeMap;

/// The first checkpoint from which on a sample's loss stays within `tolerance` of its last value: where it is
/// memorised. Of accuracies, where they are stable. None for no values.
///
/// # Source    Li, Fan, Zhou, Where to find grokking in LLM pretraining?, 2025, arXiv 2506.21551, section 3.1,
/// where it is the checkpoint after which the loss stays low
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::memorised_at;
/// assert_eq!(memorised_at(&[3.0, 0.1, 2.0, 0.2, 0.1], 0.5), Some(3));
/// ```
pub fn memorised_at(losses: &[f64], tolerance: f64) -> Option<usize> {
    let last = losses.last()?;
    let away = losses.iter().rposition(|loss| (loss - last).abs() > tolerance);
    Some(away.map_or(0, |away| away + 1))
}

/// Samples that got there at the same checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleGroup {
    /// The checkpoint.
    pub checkpoint: usize,
    /// The samples, ascending.
    pub samples: Vec<usize>,
}

/// Groups samples by the checkpoint at which each got there, in the order of checkpoints; those that never
/// did are in none, and groups of fewer than `least` samples are left out.
///
/// # Source    as [`memorised_at`], section 3.2
pub fn group_by_checkpoint(reached: &[Option<usize>], least: usize) -> Vec<SampleGroup> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (sample, checkpoint) in reached.iter().enumerate() {
        if let Some(checkpoint) = checkpoint {
            groups.entry(*checkpoint).or_default().push(sample);
        }
    }
    let groups = groups.into_iter().filter(|(_, samples)| samples.len() >= least);
    groups.map(|(checkpoint, samples)| SampleGroup { checkpoint, samples }).collect()
}

/// Pairs groups of training samples with groups of test samples by the cosines of their mean embeddings, so
/// that the sum of cosines is largest: places of both, ascending. As many pairs as there are of the fewer.
///
/// # Errors
/// As [`assignment`]; embeddings of different lengths, or of zero.
/// # Source    as [`memorised_at`], section 3.2
pub fn pair_groups(
    train: &[Vec<f64>],
    test: &[Vec<f64>],
) -> Result<Vec<(usize, usize)>, MethodError> {
    let turned = train.len() > test.len();
    let (few, many) = if turned { (test, train) } else { (train, test) };
    let mut costs = Vec::with_capacity(few.len());
    for a in few {
        let row: Result<Vec<f64>, MethodError> =
            many.iter().map(|b| cosine(a, b).map(|cosine| -cosine)).collect();
        costs.push(row?);
    }
    let found = assignment(&costs)?.into_iter().enumerate();
    let mut pairs: Vec<(usize, usize)> =
        found.map(|(a, b)| if turned { (b, a) } else { (a, b) }).collect();
    pairs.sort_unstable();
    Ok(pairs)
}

fn cosine(a: &[f64], b: &[f64]) -> Result<f64, MethodError> {
    let lengths = vector::norm(a) * vector::norm(b);
    if a.len() != b.len() || !(lengths > 0.0 && lengths.is_finite()) {
        let expected = format!("{} finite numbers that are not all zero", a.len());
        return Err(MethodError::mismatch("a mean embedding", expected, b.len()));
    }
    Ok(vector::dot(a, b) / lengths)
}

/// A group of training samples, and the group of test samples that is most like it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDelay {
    /// `p`: the checkpoint at which the training samples were memorised.
    pub memorised: usize,
    /// `q`: the checkpoint from which on the accuracy on the test samples is stable.
    pub generalised: usize,
    /// Samples of either group.
    pub samples: [usize; 2],
    /// The cosine of their mean embeddings.
    pub cosine: f64,
}

impl GroupDelay {
    /// `q - p`, in checkpoints: how much later generalisation came; negative where it was first.
    pub fn checkpoints(&self) -> f64 {
        self.generalised as f64 - self.memorised as f64
    }
}

/// The delays between memorising groups of training samples and generalising to the groups of test samples
/// that [`pair_groups`] pairs them with. Embeddings are those of all training, and all test samples.
///
/// # Errors
/// As [`pair_groups`]; `Mismatch` for a sample without an embedding.
/// # Source    as [`memorised_at`], section 3.2
pub fn grokking_delays(
    train: &[SampleGroup],
    train_embeddings: &[Vec<f64>],
    test: &[SampleGroup],
    test_embeddings: &[Vec<f64>],
) -> Result<Vec<GroupDelay>, MethodError> {
    let train_means = mean_embeddings(train, train_embeddings)?;
    let test_means = mean_embeddings(test, test_embeddings)?;
    let pairs = pair_groups(&train_means, &test_means)?.into_iter();
    let delay = |(i, j): (usize, usize)| -> Result<GroupDelay, MethodError> {
        Ok(GroupDelay {
            memorised: train[i].checkpoint,
            generalised: test[j].checkpoint,
            samples: [train[i].samples.len(), test[j].samples.len()],
            cosine: cosine(&train_means[i], &test_means[j])?,
        })
    };
    pairs.map(delay).collect()
}

fn mean_embeddings(
    groups: &[SampleGroup],
    embeddings: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    groups.iter().map(|group| mean_embedding(group, embeddings)).collect()
}

fn mean_embedding(group: &SampleGroup, embeddings: &[Vec<f64>]) -> Result<Vec<f64>, MethodError> {
    let mut sum = vec![0.0; embeddings.first().map_or(0, Vec::len)];
    for &sample in &group.samples {
        match embeddings.get(sample).filter(|embedding| embedding.len() == sum.len()) {
            Some(embedding) => vector::add_scaled(&mut sum, 1.0, embedding),
            None => {
                let expected = format!("{} of them, all of {}", embeddings.len(), sum.len());
                return Err(MethodError::mismatch("embeddings", expected, format!("{sample}")));
            }
        }
    }
    vector::scale(&mut sum, 1.0 / group.samples.len().max(1) as f64);
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_memorised_where_their_loss_stays() {
        assert_eq!(memorised_at(&[3.0, 0.1, 2.0, 0.15, 0.1], 0.1), Some(3));
        assert_eq!(memorised_at(&[0.1, 0.1], 0.1), Some(0));
        assert_eq!(memorised_at(&[], 0.1), None);
    }

    #[test]
    fn groups_are_paired_by_their_directions() {
        let train = [vec![1.0, 0.0], vec![0.0, 1.0], vec![-1.0, 0.1]];
        let test = [vec![-3.0, 0.0], vec![5.0, 0.5], vec![0.1, 2.0]];
        assert_eq!(pair_groups(&train, &test).unwrap(), [(0, 1), (1, 2), (2, 0)]);
        // Of the larger side some stay alone, whichever it is.
        assert_eq!(pair_groups(&train[1..], &test).unwrap(), [(0, 2), (1, 0)]);
        assert_eq!(pair_groups(&train, &test[1..]).unwrap(), [(0, 0), (1, 1)]);
        assert!(pair_groups(&[], &test).unwrap().is_empty());
        assert!(pair_groups(&train, &[vec![0.0, 0.0]]).is_err());
        assert!(pair_groups(&train, &[vec![1.0]]).is_err());
    }

    #[test]
    fn samples_are_grouped_by_checkpoint() {
        let found = group_by_checkpoint(&[Some(4), Some(1), None, Some(4), Some(2)], 1);
        let group = |checkpoint, samples: &[usize]| {
            let samples = samples.to_vec();
            SampleGroup { checkpoint, samples }
        };
        assert_eq!(found, [group(1, &[1]), group(2, &[4]), group(4, &[0, 3])]);
        let found = group_by_checkpoint(&[Some(4), Some(1), None, Some(4)], 2);
        assert_eq!(found, [group(4, &[0, 3])]);
    }

    #[test]
    fn a_planted_delay_is_found() {
        // Samples of kind k point along axis k; they are memorised at 3 - k and generalised to at 4 + k.
        let axis = |k: usize| (0..3).map(|i| if i == k { 1.0 } else { 0.05 }).collect::<Vec<f64>>();
        let embeddings: Vec<Vec<f64>> = (0..12).map(|i| axis(i % 3)).collect();
        let memorised: Vec<_> = (0..12).map(|i| Some(3 - i % 3)).collect();
        let stable: Vec<_> = (0..12).map(|i| Some(4 + i % 3)).collect();
        let (train, test) = (group_by_checkpoint(&memorised, 1), group_by_checkpoint(&stable, 1));
        let found = grokking_delays(&train, &embeddings, &test, &embeddings).unwrap();
        let of: Vec<(usize, usize, f64)> =
            found.iter().map(|d| (d.memorised, d.generalised, d.checkpoints())).collect();
        assert_eq!(of, [(1, 6, 5.0), (2, 5, 3.0), (3, 4, 1.0)]);
        assert!(found.iter().all(|d| d.samples == [4, 4] && (d.cosine - 1.0).abs() < 1e-12));
        assert!(grokking_delays(&train, &embeddings[..5], &test, &embeddings).is_err());
    }
}
