//! What the networks of some arms go through.

use super::setting::{Arm, CLASSES, Setting, streamed};
use crate::bench::Bench;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::common::{StreamedNets, TargetKind};
use thalweg_methods::dynamics::{PlasticityConfig, plasticity_probe, reset_last_layer};
use thalweg_nn::Weights;
use thalweg_train::initialize;

/// What is kept of each network of a stream: plasticity at four tasks, online accuracy of the first
/// and the last tasks, dead units, weight norm and feature rank at the end.
pub(super) const KEPT: usize = 9;
/// What is kept of each network of a switch: accuracy before and after, dead units.
pub(super) const OF_SWITCH: usize = 3;

/// A stream of tasks for a population: [`KEPT`] numbers a network.
pub(super) fn stream(bench: &Bench<'_>, arms: &[Arm], seeds: &[u64]) -> Result<Vec<f64>> {
    let setting = Setting::new(bench, arms, seeds)?;
    let (sizes, ctx) = (&setting.sizes, bench.context());
    let kind = TargetKind::Values(CLASSES);
    let probing = streamed(bench, &arms[0], sizes, &setting.inputs, kind)?;
    let config = PlasticityConfig {
        targets: sizes.targets,
        steps: sizes.probe_steps,
        ..PlasticityConfig::default()
    };
    let start = setting.weights()?;
    let mut nets = setting.classes.start(&start)?;
    let n = start.len();
    let all = |nets: &StreamedNets| -> Result<Vec<Weights>> {
        Ok((0..n)
            .map(|i| setting.classes.weights(nets, i))
            .collect::<std::result::Result<_, _>>()?)
    };
    let tasks = sizes.probed[3];
    let mut kept: Vec<Vec<f64>> = vec![Vec::new(); n];
    let mut online: Vec<Vec<f64>> = vec![Vec::new(); n];
    ctx.progress().start("tasks", tasks);
    for task in 0..=tasks {
        if sizes.probed.contains(&task) {
            let found = plasticity_probe(ctx, &probing, &all(&nets)?, &setting.hyper, &config)?;
            let each = kept.iter_mut().zip(found);
            each.for_each(|(kept, found)| kept.push(found.plasticity.value));
        }
        if task == tasks {
            break;
        }
        for (i, &(arm, seed)) in setting.members.iter().enumerate().filter(|(_, m)| m.0.resets) {
            // Its first weights are those of the seed.
            if task > 0 {
                let root = Stream::new(seed, "papers/reset").u64(task);
                let fresh = initialize(&arm.model(sizes)?, root, DType::F32)?;
                let own = setting.classes.weights(&nets, i)?;
                let reset = reset_last_layer(setting.classes.model(), &own, &fresh)?;
                setting.classes.replace(&mut nets, i, &reset)?;
            }
        }
        let seen = setting.train(ctx, &mut nets, &setting.task(task), sizes.period)?;
        online.iter_mut().zip(seen).for_each(|(online, seen)| online.push(seen));
        ctx.progress().advance(1);
    }
    let few = 3.min(tasks as usize);
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    for ((kept, online), weights) in kept.iter_mut().zip(&online).zip(all(&nets)?) {
        kept.extend([average(&online[..few]), average(&online[online.len() - few..])]);
        kept.extend(setting.indicators(ctx, &weights)?);
    }
    Ok(kept.concat())
}

/// A switch from one labelling to another: [`OF_SWITCH`] numbers a network.
pub(super) fn switch(bench: &Bench<'_>, arms: &[Arm], seeds: &[u64]) -> Result<Vec<f64>> {
    let setting = Setting::new(bench, arms, seeds)?;
    let (sizes, ctx) = (&setting.sizes, bench.context());
    let mut nets = setting.classes.start(&setting.weights()?)?;
    ctx.progress().start("a switch of labels", 2);
    let mut accuracy = Vec::new();
    for (task, steps) in sizes.switch.into_iter().enumerate() {
        let labels = setting.task(task as u64);
        setting.train(ctx, &mut nets, &labels, steps)?;
        accuracy.push(setting.accuracy(ctx, &nets, &labels)?);
        ctx.progress().advance(1);
    }
    let mut kept = Vec::new();
    for i in 0..setting.members.len() {
        let [dead, ..] = setting.indicators(ctx, &setting.classes.weights(&nets, i)?)?;
        kept.extend([accuracy[0][i], accuracy[1][i], dead]);
    }
    Ok(kept)
}
