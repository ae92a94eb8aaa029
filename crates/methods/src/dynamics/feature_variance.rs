//! How much feature maps vary from place to place.

use crate::common::{BlockKind, Objective, block_readings};
use crate::{Context, MethodError};
use thalweg_graph::Tensor;
use thalweg_nn::Weights;

/// The variances before and after a residual block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockVariance {
    /// What the block adds is made of.
    pub kind: BlockKind,
    /// Of what goes in.
    pub before: f64,
    /// Of what comes out.
    pub after: f64,
}

/// The variance over places of the maps that go into each residual block of a network and come out of
/// it, by depth: one forward pass over the data.
///
/// `mean over examples and channels of 1/(p - 1) sum over p places of (x - mean over places)^2`, zero of
/// a single place. A first token that is none of a square's is left out.
///
/// # Errors
/// A network without residual blocks, or with maps that are no squares; weights of another model; a
/// number that is not finite; those of the engine.
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, figure 9, and the
/// code of its authors
pub fn feature_variance_by_depth(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<BlockVariance>, MethodError> {
    let readings = block_readings(ctx, objective, point, variances)?;
    let only = |of: &[f64]| of.first().copied().unwrap_or(f64::NAN);
    let each = readings.iter().map(|of| BlockVariance {
        kind: of.kind,
        before: only(&of.before),
        after: only(&of.after),
    });
    Ok(each.collect())
}

/// `[examples, side, side, channels]` to the sum over the examples of the mean over the channels.
fn variances(maps: Tensor<'_>) -> Tensor<'_> {
    let [examples, side, _, channels] = maps.shape()[..] else { return maps };
    let places = side * side;
    let rows = maps.reshape(&[examples, places, channels]);
    let centred = rows - rows.mean(&[1]).keep(&[1]);
    let sums = centred.square().sum(&[1]) * (1.0 / places.saturating_sub(1).max(1) as f64);
    sums.mean(&[1]).sum(&[0]).reshape(&[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    #[test]
    fn variances_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let text = "alternet blocks=1 attention=0 heads=1 width=1 norm=none convolutions=1";
        let model = text.parse::<Architecture>().unwrap().build(&[2, 2, 1], 2).unwrap();
        let mut weights = thalweg_train::initialize(&model, 3, DType::F64).unwrap();
        let changed = weights.parameters.iter().map(|(name, array)| {
            let mut values = vec![0.0; array.len()];
            match name {
                // The picture itself, and three times what of it is positive on top.
                "stem.weight" => values[4] = 1.0,
                "layer1.0.conv1.weight" => values[4] = 3.0,
                _ => {}
            }
            Array::from_slice(array.shape(), &values).unwrap()
        });
        weights.parameters = weights.parameters.with_arrays(changed.collect()).unwrap();
        let pictures = [1.0, 2.0, 3.0, -2.0, 5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 4.0, 0.0];
        let inputs = vec![Array::from_slice(&[3, 2, 2, 1], &pictures).unwrap()];
        let (targets, loss) = (Array::vector(&[0, 1, 0]), Loss::default());
        let config = ObjectiveConfig { batch: 2, ..ObjectiveConfig::default() };
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
        let found = feature_variance_by_depth(&ctx, &objective.unwrap(), &weights).unwrap();
        let [block] = found[..] else { panic!("one block") };
        assert_eq!(block.kind, BlockKind::Convolution);
        // Means 1, 5 and 1 with sums of squares 14, 0 and 12.
        assert!((block.before - (14.0 + 0.0 + 12.0) / 9.0).abs() < 1e-12, "{block:?}");
        // 4, 8, 12, -2, mean 5.5, sum of squares 107; and 0, 0, 16, 0, 192.
        assert!((block.after - (107.0 + 192.0) / 9.0).abs() < 1e-12, "{block:?}");
    }

    #[test]
    fn a_network_without_blocks_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = "convnet channels=2".parse::<Architecture>().unwrap().build(&[4, 4, 1], 2);
        let model = model.unwrap();
        let inputs = vec![Array::zeros(DType::F32, &[2, 4, 4, 1])];
        let (targets, config) = (Array::vector(&[0, 1]), ObjectiveConfig::default());
        let loss = Loss::default();
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
        let weights = thalweg_train::initialize(&model, 3, DType::F32).unwrap();
        let refused = feature_variance_by_depth(&ctx, &objective.unwrap(), &weights);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the network: expected one with residual blocks, got none"
        );
    }
}
