//! The choice of an initialisation by name.

use super::gain;
use crate::initialize::{Fan, Initializer};
use crate::layer::Activation;
use crate::options::named_field;

/// How the weights of a network are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// PyTorch's default.
    #[default]
    Torch,
    /// Kaiming normal by fan in, with the activation's gain.
    Kaiming,
    /// Xavier uniform, with the activation's gain.
    Xavier,
    /// Orthogonal, with the activation's gain.
    Orthogonal,
    /// Normal with variance `1 / fan_in`.
    Lecun,
    /// That of sinusoidal networks; for other activations as if omega were one.
    Siren,
}

impl Scheme {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Scheme); 6] = [
        ("torch", Scheme::Torch),
        ("kaiming", Scheme::Kaiming),
        ("xavier", Scheme::Xavier),
        ("orthogonal", Scheme::Orthogonal),
        ("lecun", Scheme::Lecun),
        ("siren", Scheme::Siren),
    ];

    /// The initialiser of a layer that `activation` follows.
    pub fn initializer(self, activation: Activation, first: bool) -> Initializer {
        let gain = gain(activation);
        match self {
            Scheme::Torch => Initializer::TORCH_WEIGHT,
            Scheme::Kaiming => Initializer::KaimingNormal { fan: Fan::In, gain },
            Scheme::Xavier => Initializer::XavierUniform { gain },
            Scheme::Orthogonal => Initializer::Orthogonal { gain },
            Scheme::Lecun => Initializer::KaimingNormal { fan: Fan::In, gain: 1.0 },
            Scheme::Siren => {
                let omega = match activation {
                    Activation::Sine(omega) => omega,
                    _ => 1.0,
                };
                Initializer::Siren { first, omega }
            }
        }
    }
}

named_field!(Scheme);
