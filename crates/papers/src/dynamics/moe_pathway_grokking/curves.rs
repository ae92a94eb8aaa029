//! What a run shows of pathways: each checkpoint's numbers, and how they go along with accuracy.

use super::runs::{Sizes, Start};
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::dynamics::{
    MetricCorrelation, PathwaySymbols, RoutingObservation, grokking_delays, group_by_checkpoint,
    memorised_at, monitor_report, moving_average, pathway_consistency, pathway_distance, pathways,
    routing_dimension, sustained_gain,
};
use thalweg_stats::spearman;

pub(super) const THRESHOLD: f64 = 0.7;
/// Share of the number of examples that the kernel of routings is regularised by.
const REGULARIZATION: f64 = 0.01;
/// Checkpoints that the training loss is averaged over.
const WINDOW: usize = 5;
/// Gain in accuracy that counts as one.
const GAIN: f64 = 0.02;

/// A checkpoint of one member.
pub(super) struct Seen {
    pub step: f64,
    pub train: RoutingObservation,
    pub held_out: RoutingObservation,
    pub cloze: f64,
    pub routers: Vec<Vec<Vec<f64>>>,
}

/// The numbers of a checkpoint; those of pathways are of the examples that are followed, and NaN where
/// there are fewer than two or the network diverged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub step: f64,
    pub train_accuracy: f64,
    pub train_loss: f64,
    /// On held-out examples.
    pub accuracy: f64,
    pub held_out_loss: f64,
    pub cloze: f64,
    pub distance: f64,
    pub consistency: f64,
    pub dimension: f64,
    /// One where it counts: training is memorised, or following has not begun.
    pub counts: f64,
}

impl Look {
    const NUMBERS: usize = 10;

    fn numbers(&self) -> [f64; Look::NUMBERS] {
        [
            self.step,
            self.train_accuracy,
            self.train_loss,
            self.accuracy,
            self.held_out_loss,
            self.cloze,
            self.distance,
            self.consistency,
            self.dimension,
            self.counts,
        ]
    }

    fn from_numbers(numbers: [f64; Look::NUMBERS]) -> Look {
        let [
            step,
            train_accuracy,
            train_loss,
            accuracy,
            held_out_loss,
            cloze,
            distance,
            consistency,
            dimension,
            counts,
        ] = numbers;
        Look {
            step,
            train_accuracy,
            train_loss,
            accuracy,
            held_out_loss,
            cloze,
            distance,
            consistency,
            dimension,
            counts,
        }
    }
}

/// A number of a checkpoint.
pub(super) type Number = fn(&Look) -> f64;

/// What one member showed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    /// The checkpoint at which following begins; infinite where it never does.
    pub start: f64,
    /// Examples that are followed.
    pub followed: f64,
    /// Pairs of a training and a test group.
    pub groups: f64,
    /// The mean of their delays, in steps.
    pub delay: f64,
    /// Checkpoints, evenly spaced.
    pub looks: Vec<Look>,
}

impl Run {
    const HEAD: usize = 4;

    /// How many numbers a run of so many checkpoints is stored as.
    pub fn numbers_of(looks: usize) -> usize {
        Run::HEAD + looks * Look::NUMBERS
    }

    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.start, self.followed, self.groups, self.delay];
        numbers.extend(self.looks.iter().flat_map(Look::numbers));
        numbers
    }

    /// The run of [`Run::numbers_of`] numbers.
    pub fn from_numbers(numbers: &[f64]) -> Run {
        let head = |i: usize| numbers.get(i).copied().unwrap_or(f64::NAN);
        let (looks, _) =
            numbers.get(Run::HEAD..).unwrap_or_default().as_chunks::<{ Look::NUMBERS }>();
        Run {
            start: head(0),
            followed: head(1),
            groups: head(2),
            delay: head(3),
            looks: looks.iter().copied().map(Look::from_numbers).collect(),
        }
    }

    /// Of what was seen at the checkpoints of a member.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn of(seen: &[Seen], sizes: &Sizes, stream: &Stream) -> Result<Run> {
        let level = match sizes.start {
            Start::Accuracy(level) => level,
            Start::Memorised(_) => 0.0,
        };
        let is_right: Vec<bool> = seen.iter().map(|seen| seen.train.accuracy() >= level).collect();
        let right = is_right.iter().position(|right| *right).unwrap_or(seen.len());
        let counts: Vec<bool> =
            is_right.iter().enumerate().map(|(i, is_right)| i < right || *is_right).collect();
        // Where each example got there, over the checkpoints that count.
        let places: Vec<usize> = (0..seen.len()).filter(|&i| counts[i]).collect();
        let reached = |of: &dyn Fn(&Seen) -> Vec<f64>, tolerance: f64| {
            let values: Vec<Vec<f64>> = places.iter().map(|&i| of(&seen[i])).collect();
            let n = values.first().map_or(0, Vec::len);
            let curve = |i: usize| values.iter().map(|of| of[i]).collect::<Vec<f64>>();
            let at = |i: usize| memorised_at(&curve(i), tolerance).map(|at| places[at]);
            (0..n).map(at).collect::<Vec<Option<usize>>>()
        };
        let [of_loss, of_accuracy] = sizes.tolerances;
        let memorised = reached(&|seen| seen.train.example_losses(), of_loss);
        let start = match sizes.start {
            Start::Accuracy(_) => Some(right).filter(|right| *right < seen.len()),
            Start::Memorised(share) => {
                let mut all: Vec<usize> = memorised.iter().copied().flatten().collect();
                all.sort_unstable();
                let needed = (share * memorised.len() as f64).ceil() as usize;
                all.get(needed.saturating_sub(1)).copied()
            }
        };
        let is_followed =
            |i: &usize| memorised[*i].zip(start).is_some_and(|(at, start)| at <= start);
        let followed: Vec<usize> = (0..memorised.len()).filter(is_followed).collect();
        let looks = seen.iter().zip(&counts).map(|(seen, counts)| -> Result<Look> {
            let counts = f64::from(u8::from(*counts));
            Ok(Look { counts, ..look(seen, &followed, sizes.pairs, stream)? })
        });
        let looks: Vec<Look> = looks.collect::<Result<_>>()?;
        // Test examples that are wrong at the end were not generalised to.
        let last = places.last().map(|&last| &seen[last]);
        let accuracies = last.map_or(&[][..], |last| last.held_out.accuracies.as_slice());
        let stable = reached(&|seen| seen.held_out.accuracies.clone(), of_accuracy);
        let stable =
            stable.into_iter().zip(accuracies).map(|(at, last)| at.filter(|_| *last > 0.0));
        let stable: Vec<Option<usize>> = stable.collect();
        let [train, test] =
            [&memorised, &stable].map(|reached| group_by_checkpoint(reached, sizes.least));
        // Features that are zero or not finite, as of a network that diverged, pair nothing.
        let delays = last.and_then(|last| {
            grokking_delays(&train, &last.train.features, &test, &last.held_out.features).ok()
        });
        let delays = delays.unwrap_or_default();
        let mean =
            delays.iter().map(|delay| delay.checkpoints()).sum::<f64>() / delays.len() as f64;
        Ok(Run {
            start: start.map_or(f64::INFINITY, |start| start as f64),
            followed: followed.len() as f64,
            groups: delays.len() as f64,
            delay: mean * sizes.every as f64,
            looks,
        })
    }

    /// The checkpoint at which following begins.
    pub fn begun(&self) -> Option<&Look> {
        if self.start.is_finite() { self.looks.get(self.start as usize) } else { None }
    }

    /// The checkpoints behind it that count.
    pub fn after(&self) -> Vec<Look> {
        let first = if self.start.is_finite() { self.start as usize + 1 } else { self.looks.len() };
        let after = self.looks.iter().skip(first);
        after.filter(|look| look.counts > 0.0).copied().collect()
    }

    /// Spearman's correlation of two numbers over the checkpoints behind the start; zero where there are
    /// none, or where one of the two does not vary.
    pub fn correlation(&self, of: Number, with: Number) -> f64 {
        let looks = self.after();
        let column = |of: Number| looks.iter().map(of).collect::<Vec<f64>>();
        spearman(&column(of), &column(with)).ok().filter(|rho| rho.is_finite()).unwrap_or(0.0)
    }

    /// The correlations of each metric and baseline with held-out accuracy, behind the start and from the
    /// onset of a sustained gain on. None where there is no gain.
    pub fn monitored(&self) -> Option<Vec<MetricCorrelation>> {
        let looks = self.after();
        let column = |of: Number| looks.iter().map(of).collect::<Vec<f64>>();
        let accuracies = column(|look| look.accuracy);
        let training = column(|look| look.train_loss);
        let average = moving_average(&training, WINDOW);
        let metrics = [
            ("pathway distance", column(|look| look.distance)),
            ("consistency C", column(|look| look.consistency)),
            ("1 - C", column(|look| 1.0 - look.consistency)),
            ("effective dimension", column(|look| look.dimension)),
            ("training loss", training),
            ("its moving average", average),
            ("validation loss", column(|look| look.held_out_loss)),
        ];
        let onset = sustained_gain(&accuracies, GAIN)?;
        monitor_report(&accuracies, &metrics, onset).ok()
    }
}

fn look(seen: &Seen, followed: &[usize], pairs: usize, stream: &Stream) -> Result<Look> {
    let mut look = Look {
        step: seen.step,
        train_accuracy: seen.train.accuracy(),
        train_loss: seen.train.loss(),
        accuracy: seen.held_out.accuracy(),
        held_out_loss: seen.held_out.loss(),
        cloze: seen.cloze,
        distance: f64::NAN,
        consistency: f64::NAN,
        dimension: f64::NAN,
        counts: 1.0,
    };
    let routing: Vec<Vec<Vec<f64>>> =
        followed.iter().map(|&i| seen.train.routing[i].clone()).collect();
    let is_finite = routing.iter().flatten().flatten().all(|p| p.is_finite());
    if routing.len() < 2 || !is_finite {
        return Ok(look);
    }
    let ways = pathways(&routing, THRESHOLD);
    look.distance = pathway_distance(&ways, PathwaySymbols::Characters, pairs, stream)?.mean;
    let n = followed.len() as f64;
    look.consistency = 0.0;
    for of in &routing {
        look.consistency += pathway_consistency(of, &seen.routers)? / n;
    }
    look.dimension = routing_dimension(&routing, REGULARIZATION * n)?;
    Ok(look)
}
