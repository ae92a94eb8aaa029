//! Pooling.

use crate::model::Layer;
use crate::scope::Scope;
use thalweg_graph::{Tensor, Window};

/// The largest element of each window; padding never wins.
///
/// # Shapes    x `[n, height, width, channels]` -> `[n, height', width', channels]`
/// # Gradient  any order; the first of several largest takes it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of the window.
    pub size: usize,
    /// Step.
    pub stride: usize,
    /// Padding on all four sides.
    pub padding: usize,
}

impl Layer for MaxPool {
    fn forward<'b>(&self, _: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        x.window_max(&square(self.size, self.stride, self.padding))
    }
}

/// The mean of each window; padding counts as zeros, as PyTorch's default does.
///
/// # Shapes    x `[n, height, width, channels]` -> `[n, height', width', channels]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Height and width of the window.
    pub size: usize,
    /// Step.
    pub stride: usize,
    /// Padding on all four sides.
    pub padding: usize,
}

impl Layer for AveragePool {
    fn forward<'b>(&self, _: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let sum = x.window_sum(&square(self.size, self.stride, self.padding));
        sum * (1.0 / (self.size * self.size).max(1) as f64)
    }
}

/// The mean over height and width.
///
/// # Shapes    x `[n, height, width, channels]` -> `[n, channels]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool;

impl Layer for GlobalAveragePool {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        if x.rank() != 4 {
            let expected = "[n, height, width, channels]";
            scope.builder().reject("global_average_pool", expected, x.ty().to_string());
            return x;
        }
        x.mean(&[1, 2])
    }
}

fn square(size: usize, stride: usize, padding: usize) -> Window {
    Window::spatial([size; 2], [stride; 2], [(padding, padding); 2])
}
