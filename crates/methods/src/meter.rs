//! What a measurement costs, in passes over the data.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a program does with an example at a point of weight space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Its loss: forward.
    Loss,
    /// Its loss and gradient: forward and backward.
    Gradient,
    /// The product of one vector with its curvature matrix.
    Product,
    /// The second derivative of its loss along one vector, beside the first: forward.
    SecondDerivative,
}

impl Pass {
    /// Every kind, in the order of [`Passes`].
    pub const ALL: [Pass; 4] = [Pass::Loss, Pass::Gradient, Pass::Product, Pass::SecondDerivative];

    /// About how many gradients one is worth: a backward pass is two forward ones, one for what
    /// comes in and one for the weights, and a product differentiates both. A layer's second derivative
    /// takes its weights times the input and both derivatives of that, and the vector's part of the
    /// layer times two of them: five products of matrices for the three of a gradient.
    pub fn in_gradients(self) -> f64 {
        match self {
            Pass::Loss => 1.0 / 3.0,
            Pass::Gradient => 1.0,
            Pass::Product => 2.0,
            Pass::SecondDerivative => 5.0 / 3.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Pass::Loss => "loss",
            Pass::Gradient => "gradient",
            Pass::Product => "product",
            Pass::SecondDerivative => "second derivative",
        }
    }
}

/// Passes over all the examples of an objective; a pass over half of them is half a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passes {
    /// Forward passes.
    pub losses: f64,
    /// Forward and backward passes.
    pub gradients: f64,
    /// Products with a curvature matrix.
    pub products: f64,
    /// Second derivatives of every example's loss along a vector.
    pub second_derivatives: f64,
}

impl Passes {
    /// So many of each.
    pub fn new(losses: usize, gradients: usize, products: usize) -> Passes {
        let [losses, gradients, products] = [losses, gradients, products].map(|n| n as f64);
        Passes { losses, gradients, products, second_derivatives: 0.0 }
    }

    /// About how many gradients it is worth: see [`Pass::in_gradients`].
    pub fn in_gradients(&self) -> f64 {
        self.counts().iter().map(|(n, pass)| n * pass.in_gradients()).sum()
    }

    fn counts(&self) -> [(f64, Pass); 4] {
        let counts = [self.losses, self.gradients, self.products, self.second_derivatives];
        [0, 1, 2, 3].map(|i| (counts[i], Pass::ALL[i]))
    }
}

impl Add for Passes {
    type Output = Passes;

    fn add(self, other: Passes) -> Passes {
        Passes {
            losses: self.losses + other.losses,
            gradients: self.gradients + other.gradients,
            products: self.products + other.products,
            second_derivatives: self.second_derivatives + other.second_derivatives,
        }
    }
}

impl Sum for Passes {
    fn sum<I: Iterator<Item = Passes>>(each: I) -> Passes {
        each.fold(Passes::default(), Add::add)
    }
}

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: f64, pass: Pass| match (n, pass) {
            (1.0, pass) => format!("1 {}", pass.name()),
            (n, Pass::Loss) => format!("{} losses", shown(n)),
            (n, pass) => format!("{} {}s", shown(n), pass.name()),
        };
        let some = self.counts().into_iter().filter(|(n, _)| *n != 0.0);
        let words: Vec<String> = some.map(|(n, pass)| plural(n, pass)).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(" + "))
    }
}

/// A share of a pass to two digits.
fn shown(n: f64) -> String {
    match n {
        n if n.fract() == 0.0 => n.to_string(),
        n if n < 0.1 => format!("{n:.3}"),
        n => format!("{n:.1}"),
    }
}

/// Counts the passes of everything that a [`crate::Context`] computes, by example. What was stored by an
/// earlier run is not done again, and counts as what it took then, if that was counted.
#[derive(Debug, Default)]
pub struct Meter([AtomicU64; 4]);

impl Meter {
    /// So many more examples went through a pass of this kind.
    pub fn add(&self, pass: Pass, examples: u64) {
        self.0[pass as usize].fetch_add(examples, Ordering::Relaxed);
    }

    /// How many examples went through each kind of pass so far.
    pub(crate) fn counts(&self) -> [u64; 4] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Passes over so many examples.
    pub fn passes(&self, examples: usize) -> Passes {
        let n = examples.max(1) as f64;
        let [losses, gradients, products, second_derivatives] =
            self.counts().map(|count| count as f64 / n);
        Passes { losses, gradients, products, second_derivatives }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_over_all_the_examples() {
        let (meter, none) = (Meter::default(), Passes::default());
        meter.add(Pass::Loss, 30);
        meter.add(Pass::Gradient, 10);
        meter.add(Pass::Product, 5);
        let found = meter.passes(10);
        assert_eq!(found, Passes { losses: 3.0, gradients: 1.0, products: 0.5, ..none });
        assert_eq!(found.in_gradients(), 3.0);
        assert_eq!(found.to_string(), "3 losses + 1 gradient + 0.5 products");
        assert_eq!(Passes::new(1, 0, 2).to_string(), "1 loss + 2 products");
        assert_eq!(Passes { gradients: 0.03125, ..none }.to_string(), "0.031 gradients");
        assert_eq!(none.to_string(), "none");
        let sum: Passes = [Passes::new(1, 2, 3), Passes::new(1, 0, 1)].into_iter().sum();
        assert_eq!(sum, Passes::new(2, 2, 4));
        let derived = Passes { second_derivatives: 3.0, ..Passes::new(0, 0, 1) };
        assert_eq!(derived.to_string(), "1 product + 3 second derivatives");
        assert_eq!(derived.in_gradients(), 7.0);
    }
}
