//! What a network loses with one of its residual blocks.

use crate::common::{BlockKind, Dissection, Objective, block_kinds, inside};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_transform::substitute;

/// A network without one of its residual blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lesion {
    /// What the block adds is made of.
    pub kind: BlockKind,
    /// The share of examples classified rightly without it.
    pub accuracy: f64,
    /// How much less that is than with it.
    pub drop: f64,
}

/// Accuracy with all blocks, and without each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesions {
    /// The share of examples classified rightly with all blocks.
    pub accuracy: f64,
    /// Without each block by itself, the first one first.
    pub blocks: Vec<Lesion>,
}

/// Takes residual blocks out of a trained network, one at a time: of each only the shortcut is left, and
/// nothing is trained anew. One pass over the data, in which the network is as often computed as it has
/// blocks, from each of them on.
///
/// # Errors
/// A network without residual blocks; an objective that classifies nothing; weights of another model;
/// those of the engine.
/// # Source    Veit, Wilber, Belongie, Residual networks behave like ensembles of relatively shallow
/// networks, 2016, arXiv 1605.06431, section 4.1; of blocks of attention: Park, Kim, How do vision
/// transformers work?, 2022, arXiv 2202.06709, figure 10
pub fn lesions(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Lesions, MethodError> {
    let kinds = block_kinds(objective)?;
    let mut right = vec![0.0; kinds.len() + 1];
    ctx.progress().start("lesions", objective.examples() as u64);
    inside(
        ctx,
        objective,
        point,
        |declared| {
            let Some(correct) = declared.correct else {
                let expected = "one that classifies";
                return Err(MethodError::mismatch("the objective", expected, "another one"));
            };
            let mut wanted = vec![correct.sum_all()];
            for block in Dissection::new(objective, declared)?.residual_blocks() {
                let without = substitute(&[correct], &[(block.after, block.shortcut)]);
                wanted.extend(without.iter().map(|correct| correct.sum_all()));
            }
            Ok(wanted)
        },
        |size, arrays| {
            for (right, array) in right.iter_mut().zip(arrays) {
                *right += array.item().unwrap_or(f64::NAN);
            }
            ctx.progress().advance(size as u64);
            Ok(())
        },
    )?;
    let n = objective.examples().max(1) as f64;
    right.iter_mut().for_each(|right| *right /= n);
    let accuracy = right.first().copied().unwrap_or(f64::NAN);
    let without = kinds.into_iter().zip(right.into_iter().skip(1));
    let blocks = without
        .map(|(kind, without)| Lesion { kind, accuracy: without, drop: accuracy - without })
        .collect();
    Ok(Lesions { accuracy, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    /// A block whose last weights are zero adds nothing, as if it were not there.
    #[test]
    fn a_lesion_is_a_block_that_adds_nothing() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let stream = Stream::new(8, "pictures");
        let pictures: Vec<f64> = (0..24 * 64).map(|i| stream.normal(i as u64)).collect();
        let pictures = Array::from_slice(&[24, 8, 8, 1], &pictures).unwrap();
        let labels: Vec<i32> = (0..24).map(|i| i % 3).collect();
        for (text, silent) in [
            (
                "alternet width=4 heads=1-2-2 head_units=2",
                [
                    &["layer1.0.conv2.weight"][..],
                    &["layer1.1.conv2.weight"],
                    &["layer2.0.conv2.weight"],
                    &["layer2.1.attn.proj.weight", "layer2.1.attn.proj.bias"],
                    &["layer3.0.conv2.weight"],
                    &["layer3.1.attn.proj.weight", "layer3.1.attn.proj.bias"],
                ]
                .to_vec(),
            ),
            (
                "vit patch=4 depth=1 width=8 heads=2 pool=mean",
                [
                    &["blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias"][..],
                    &["blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc2.bias"],
                ]
                .to_vec(),
            ),
        ] {
            let model = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 3).unwrap();
            let mut weights = thalweg_train::initialize(&model, 3, DType::F64).unwrap();
            // A last layer of zeros, as a new vision transformer has, tells nothing apart.
            let drawn = weights.parameters.iter().map(|(name, array)| match name {
                "head.weight" => {
                    let values: Vec<f64> = (0..array.len()).map(|i| (i as f64).sin()).collect();
                    Array::from_slice(array.shape(), &values).unwrap()
                }
                _ => array.clone(),
            });
            weights.parameters = weights.parameters.with_arrays(drawn.collect()).unwrap();
            let config = ObjectiveConfig { batch: 10, ..ObjectiveConfig::default() };
            let (targets, loss) = (Array::vector(&labels), Loss::default());
            let inputs = vec![pictures.clone()];
            let objective =
                ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
            let objective = objective.unwrap();
            let accuracy =
                |weights: &Weights| evaluate(&ctx, &objective, weights).unwrap().accuracy.unwrap();
            let found = lesions(&ctx, &objective, &weights).unwrap();
            assert!((found.accuracy - accuracy(&weights)).abs() < 1e-12, "{text}");
            assert_eq!(found.blocks.len(), silent.len(), "{text}");
            for (lesion, names) in found.blocks.iter().zip(&silent) {
                let zeroed =
                    weights.parameters.iter().map(|(name, array)| match names.contains(&name) {
                        true => Array::zeros(array.dtype(), array.shape()),
                        false => array.clone(),
                    });
                let parameters = weights.parameters.with_arrays(zeroed.collect()).unwrap();
                let without = Weights { parameters, buffers: weights.buffers.clone() };
                let expected = accuracy(&without);
                assert!((lesion.accuracy - expected).abs() < 1e-12, "{text}: {names:?}");
                assert!((lesion.drop - (found.accuracy - expected)).abs() < 1e-12);
            }
            let changed = found.blocks.iter().any(|lesion| lesion.drop != 0.0);
            assert!(changed, "{text}: no block matters to any example");
        }
    }
}
