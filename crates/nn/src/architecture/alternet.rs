//! The residual network whose stages end in attention.

use super::{Design, require, require_image};
use crate::error::NnError;
use crate::initialize::{Fan, Initializer};
use crate::layer::{
    Activation, Convolution, Dense, GlobalAveragePool, Normalization, WindowAttention,
};
use crate::model::{Layer, Network};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// A 3x3 convolution that steps by `stem` pixels; stages of `width`, `2 width`, `4 width`, .. channels,
/// each later one halving the image; a normalisation, the activation, a global mean and a dense layer.
///
/// A stage of `n` blocks of which `m` attend is `n - 2 m` blocks of convolutions and then `m` times one
/// of convolutions and one of attention, so that it ends in attention. With `attention=0-0-0` it is the
/// residual network with normalisation and activation first.
///
/// A block of convolutions is `shortcut + conv(activation(norm(..)))`, a 3x3 convolution `conv1`, ..
/// behind each of the normalisations `bn1`, ..; where extents change, its shortcut is a strided 1x1
/// convolution of what the first activation gives. One of attention is
/// `x + attn(bn2(conv(gelu(bn1(x)))))` with a 1x1 convolution. Windows of attention have the largest
/// extents up to `window` that divide those of their stage's image.
///
/// Kernels are Kaiming normal by fan out, and without a bias where there is a normalisation; dense
/// layers are drawn as PyTorch does it.
///
/// # Shapes    `[batch, height, width, channels]` -> `[batch, outputs]`
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, section 4.1, and the
/// code of its authors, whose block with normalisation first this is; of 18 layers:
/// `blocks=2-2-2-2 attention=0-1-1-1 heads=3-6-12-24 width=64 head_units=64`
/// # Deviations from the paper    no pooling behind the first convolution
#[derive(Clone, Debug, PartialEq)]
pub struct AlterNet {
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// How many of them are of attention.
    pub attention: Vec<usize>,
    /// Heads of each stage's attention.
    pub heads: Vec<usize>,
    /// Units of a head.
    pub head_units: usize,
    /// Height and width of a window of attention, at most.
    pub window: usize,
    /// Convolutions of a block.
    pub convolutions: usize,
    /// Step of the first convolution.
    pub stem: usize,
    /// Before each activation.
    pub norm: Normalization,
    /// In blocks of convolutions, and at the end.
    pub activation: Activation,
}

impl Default for AlterNet {
    fn default() -> AlterNet {
        AlterNet {
            width: 16,
            blocks: vec![2, 2, 2],
            attention: vec![0, 1, 1],
            heads: vec![3, 6, 12],
            head_units: 8,
            window: 7,
            convolutions: 2,
            stem: 1,
            norm: Normalization::Batch,
            activation: Activation::Relu,
        }
    }
}

impl Options for AlterNet {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("width", &mut self.width);
        visit("blocks", &mut self.blocks);
        visit("attention", &mut self.attention);
        visit("heads", &mut self.heads);
        visit("head_units", &mut self.head_units);
        visit("window", &mut self.window);
        visit("convolutions", &mut self.convolutions);
        visit("stem", &mut self.stem);
        visit("norm", &mut self.norm);
        visit("activation", &mut self.activation);
    }
}

impl Design for AlterNet {
    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        let owner = "alternet";
        require_image(owner, input)?;
        let AlterNet { blocks, attention, heads, .. } = self;
        require(self.width > 0, owner, "width", "at least 1", self.width)?;
        let stages = (1..=8).contains(&blocks.len());
        let usable = stages && blocks.iter().all(|n| (1..=256).contains(n));
        let expected = "1 to 8 stages of 1 to 256 blocks";
        require(usable, owner, "blocks", expected, blocks.show())?;
        let halves = attention.len() == blocks.len()
            && attention.iter().zip(blocks).all(|(m, n)| *m <= n / 2);
        let expected = format!("for each of the blocks={} at most half as many", blocks.show());
        require(halves, owner, "attention", &expected, attention.show())?;
        let each = heads.len() == blocks.len() && heads.iter().all(|n| *n > 0);
        let expected = format!("at least one for each of {} stages", blocks.len());
        require(each, owner, "heads", &expected, heads.show())?;
        require(self.head_units > 0, owner, "head_units", "at least 1", self.head_units)?;
        let windows = (1..=LARGEST_WINDOW).contains(&self.window);
        let expected = format!("1 to {LARGEST_WINDOW}");
        require(windows, owner, "window", &expected, self.window)?;
        let some = (1..=8).contains(&self.convolutions);
        require(some, owner, "convolutions", "1 to 8", self.convolutions)?;
        require((1..=8).contains(&self.stem), owner, "stem", "1 to 8", self.stem)?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

const LARGEST_WINDOW: usize = 64;

struct Traced {
    options: AlterNet,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let AlterNet { width, blocks, attention, heads, stem, norm, activation, .. } =
            &self.options;
        let mut x = self.kernel(*width, 3, *stem).forward(&scope.enter("stem"), x);
        for (stage, ((&blocks, &attention), &heads)) in
            blocks.iter().zip(attention).zip(heads).enumerate()
        {
            let stage_scope = scope.enter(&format!("layer{}", stage + 1));
            let channels = width.saturating_mul(1 << stage);
            for block in 0..blocks {
                let scope = stage_scope.enter(&block.to_string());
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = match attends(blocks, attention, block) {
                    true => self.attention(&scope, x, channels, heads),
                    false => self.convolutions(&scope, x, channels, stride),
                };
            }
        }
        let x = activation.of(norm.forward(&scope.enter("norm"), x));
        let x = GlobalAveragePool.forward(scope, x);
        Dense::new(self.outputs).forward(&scope.enter("fc"), x)
    }
}

/// Whether a block of a stage is one of attention: every second one from the last.
fn attends(blocks: usize, attention: usize, block: usize) -> bool {
    let behind = blocks.saturating_sub(block + 1);
    behind.is_multiple_of(2) && behind / 2 < attention
}

/// The largest divisor up to a limit.
fn divisor(extent: usize, limit: usize) -> usize {
    (1..=limit.min(extent)).rev().find(|d| extent.is_multiple_of(*d)).unwrap_or(1)
}

impl Traced {
    fn kernel(&self, channels: usize, size: usize, stride: usize) -> Convolution {
        let gain = std::f64::consts::SQRT_2;
        Convolution::new(channels, size)
            .stride(stride)
            .padding(size / 2)
            .bias(self.options.norm == Normalization::None)
            .initializer(Initializer::KaimingNormal { fan: Fan::Out, gain })
    }

    fn convolutions<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        x: Tensor<'b>,
        channels: usize,
        stride: usize,
    ) -> Tensor<'b> {
        let AlterNet { norm, activation, convolutions, .. } = &self.options;
        let ready = activation.of(norm.forward(&scope.enter("bn1"), x));
        let skip = match stride == 1 && x.shape().last() == Some(&channels) {
            true => x,
            false => self.kernel(channels, 1, stride).forward(&scope.enter("shortcut"), ready),
        };
        let mut y = self.kernel(channels, 3, stride).forward(&scope.enter("conv1"), ready);
        for i in 2..=*convolutions {
            y = activation.of(norm.forward(&scope.enter(&format!("bn{i}")), y));
            y = self.kernel(channels, 3, 1).forward(&scope.enter(&format!("conv{i}")), y);
        }
        skip + y
    }

    fn attention<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        x: Tensor<'b>,
        channels: usize,
        heads: usize,
    ) -> Tensor<'b> {
        let AlterNet { norm, head_units, window, .. } = &self.options;
        let ready = Activation::Gelu.of(norm.forward(&scope.enter("bn1"), x));
        let y = self.kernel(channels, 1, 1).forward(&scope.enter("conv"), ready);
        let y = norm.forward(&scope.enter("bn2"), y);
        // After a mistake that the builder keeps, there may be no image any more.
        let extent = |axis: usize| y.shape().get(axis).copied().unwrap_or(1);
        let units = head_units.saturating_mul(heads).saturating_mul(3);
        let attention = WindowAttention {
            window: [divisor(extent(1), *window), divisor(extent(2), *window)],
            heads,
            projections: [
                ("qkv", Dense { bias: false, ..Dense::new(units) }),
                ("proj", Dense::new(channels)),
            ],
        };
        x + attention.forward(&scope.enter("attn"), y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;

    #[test]
    fn a_stage_ends_in_attention() {
        let kinds = |n: usize, m: usize| -> String {
            (0..n).map(|block| if attends(n, m, block) { 'a' } else { 'c' }).collect()
        };
        assert_eq!(kinds(2, 0), "cc");
        assert_eq!(kinds(2, 1), "ca");
        assert_eq!(kinds(3, 1), "cca");
        assert_eq!(kinds(6, 2), "cccaca");
        assert_eq!(kinds(4, 2), "caca");
        assert_eq!(
            [(14, 7), (16, 7), (4, 7), (13, 7), (1, 7)].map(|(e, w)| divisor(e, w)),
            [7, 4, 4, 1, 1]
        );
    }

    #[test]
    fn parameters_by_hand() {
        let build = |text: &str| -> crate::Model {
            text.parse::<Architecture>().unwrap().build(&[28, 28, 1], 10).unwrap()
        };
        let norm = |channels: usize| 2 * channels;
        let block = |from: usize, to: usize| {
            norm(from) + 9 * from * to + if from == to { 0 } else { from * to }
        };
        let ends = 9 * 16 + norm(64) + 65 * 10;
        let stages = [block(16, 16), block(16, 32), block(32, 64)];
        let last = [block(16, 16), block(32, 32), block(64, 64)];
        let plain = ends + stages.iter().chain(&last).sum::<usize>();
        let convolutional = build("alternet convolutions=1 stem=2 attention=0-0-0");
        assert_eq!(convolutional.parameter_count(), plain);
        // Windows of 7x7 in the second stage and of 4x4 in the third.
        let attention = |channels: usize, heads: usize, window: usize| {
            let inside = 8 * heads;
            let table = (2 * window - 1) * (2 * window - 1);
            let layers = channels * channels + channels * 3 * inside + (inside + 1) * channels;
            2 * norm(channels) + layers + table
        };
        let alternating = build("alternet convolutions=1 stem=2");
        let replaced = attention(32, 6, 7) + attention(64, 12, 4);
        assert_eq!(alternating.parameter_count(), plain - last[1] - last[2] + replaced);
        for model in [convolutional, alternating] {
            assert!((60_000..80_000).contains(&model.parameter_count()), "{model:?}");
        }
        // Two convolutions a block, as the published one of 18 layers has.
        let second: usize = [16, 32, 64].map(|c| 2 * block(c, c)).iter().sum();
        let two = build("alternet stem=2 attention=0-0-0").parameter_count();
        assert_eq!(two, plain + second);
    }

    #[test]
    fn stages_that_do_not_fit_each_other_get_one_sentence() {
        let message = |text: &str| {
            text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap_err().to_string()
        };
        assert_eq!(
            message("alternet attention=0-2-1"),
            "option attention of alternet: expected for each of the blocks=2-2-2 at most half as \
             many, got \"0-2-1\""
        );
        assert_eq!(
            message("alternet heads=3-6"),
            "option heads of alternet: expected at least one for each of 3 stages, got \"3-6\""
        );
        assert_eq!(
            message("alternet blocks=none attention=none heads=none"),
            "option blocks of alternet: expected 1 to 8 stages of 1 to 256 blocks, got \"none\""
        );
    }
}
