//! Optimizers by name.

use crate::part::{
    AddDecayedWeights, AscentKind, AscentNorm, AscentScale, AtPoint, ClipByGlobalNorm, DecayOn,
    GradientRule, Momentum, Sam, ScaleByAdam, ScaleByLearningRate, Transformation, UpdateRule,
};
use crate::{TrainError, text};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What gradients are turned into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum; none keeps no buffer.
        momentum: Option<f64>,
        /// Nesterov's look-ahead.
        nesterov: bool,
    },
    /// Adam, or with decoupled weight decay AdamW.
    Adam {
        /// Share of the old first moment.
        beta1: f64,
        /// Share of the old second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Whether weight decay is decoupled from the gradient.
        decoupled: bool,
    },
}

/// An optimizer with its settings.
///
/// Its text is a name with options: `sgd`, `sgd:momentum=0.9,nesterov`, `adam`,
/// `adamw:weight_decay=0.01`. Any of them takes `weight_decay`, `decay_on=all|weights`,
/// `clip` (by the global norm, before anything else) and `rho` (SAM's ascent), beside which may stand
/// `scale=plain|adaptive` (adaptive is ASAM, whose `rho` is about ten times as large),
/// `norm=whole|parameter` and `shard` (examples that ascend together: m-sharpness). Short for common
/// ones: `momentum` and `nesterov` (0.9), `sam` (SGD with momentum 0.9 and `rho` 0.05). The
/// learning rate is a member's own.
///
/// Every number is the default of a scalar input of the training step; a part that is not named
/// here is not in the step.
///
/// # Example
/// ```
/// use thalweg_train::Optimizer;
/// let optimizer: Optimizer = "nesterov:weight_decay=5e-4".parse()?;
/// assert_eq!(optimizer.to_string(), "sgd:momentum=0.9,nesterov=true,weight_decay=0.0005");
/// # Ok::<(), thalweg_train::TrainError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// What gradients are turned into.
    pub base: Base,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Which parameters decay.
    pub decay_on: DecayOn,
    /// Largest global norm of the gradient.
    pub clip: Option<f64>,
    /// Distance of SAM's ascent.
    pub rho: Option<f64>,
    /// What may differ about the ascent.
    pub ascent: AscentKind,
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::sgd()
    }
}

impl Optimizer {
    /// The names that a text may begin with.
    pub const NAMES: [&'static str; 6] = ["sgd", "momentum", "nesterov", "adam", "adamw", "sam"];

    fn of(base: Base) -> Optimizer {
        Optimizer {
            base,
            weight_decay: None,
            decay_on: DecayOn::All,
            clip: None,
            rho: None,
            ascent: AscentKind::default(),
        }
    }

    /// `w - lr g`.
    pub fn sgd() -> Optimizer {
        Optimizer::of(Base::Sgd { momentum: None, nesterov: false })
    }

    /// SGD with momentum.
    pub fn momentum(momentum: f64) -> Optimizer {
        Optimizer::of(Base::Sgd { momentum: Some(momentum), nesterov: false })
    }

    /// SGD with Nesterov's momentum.
    pub fn nesterov(momentum: f64) -> Optimizer {
        Optimizer::of(Base::Sgd { momentum: Some(momentum), nesterov: true })
    }

    /// Adam with PyTorch's defaults.
    pub fn adam() -> Optimizer {
        Optimizer::of(Base::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, decoupled: false })
    }

    /// AdamW with PyTorch's defaults, weight decay 0.01 among them.
    pub fn adamw() -> Optimizer {
        let base = Base::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, decoupled: true };
        Optimizer { weight_decay: Some(0.01), ..Optimizer::of(base) }
    }

    /// The same optimizer with the gradient at SAM's ascended point.
    pub fn with_sam(self, rho: f64) -> Optimizer {
        Optimizer { rho: Some(rho), ..self }
    }

    /// The same optimizer with weight decay.
    pub fn with_weight_decay(self, weight_decay: f64) -> Optimizer {
        Optimizer { weight_decay: Some(weight_decay), ..self }
    }

    /// The traced parts.
    pub fn rule(&self) -> UpdateRule {
        let gradient: Arc<dyn GradientRule> = match self.rho {
            Some(rho) => Arc::new(Sam { rho, kind: self.ascent }),
            None => Arc::new(AtPoint),
        };
        let mut chain: Vec<Arc<dyn Transformation>> = Vec::new();
        if let Some(clip) = self.clip {
            chain.push(Arc::new(ClipByGlobalNorm { clip }));
        }
        let decay = self
            .weight_decay
            .map(|weight_decay| AddDecayedWeights { weight_decay, on: self.decay_on });
        match self.base {
            Base::Sgd { momentum, nesterov } => {
                chain.extend(decay.map(|part| Arc::new(part) as _));
                chain.extend(
                    momentum.map(|momentum| Arc::new(Momentum { momentum, nesterov }) as _),
                );
            }
            Base::Adam { beta1, beta2, eps, decoupled } => {
                let scale = Arc::new(ScaleByAdam { beta1, beta2, eps });
                let decay = decay.map(|part| Arc::new(part) as Arc<dyn Transformation>);
                match decoupled {
                    true => chain.extend([scale as _].into_iter().chain(decay)),
                    false => chain.extend(decay.into_iter().chain([scale as _])),
                }
            }
        }
        chain.push(Arc::new(ScaleByLearningRate { lr: 0.1 }));
        UpdateRule::new(gradient, chain)
    }
}

/// The options that every optimizer takes.
const SHARED: [&str; 7] = ["weight_decay", "decay_on", "clip", "rho", "scale", "norm", "shard"];

impl FromStr for Optimizer {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Optimizer, TrainError> {
        let (name, options) = text::split(text);
        text::once(name, &options)?;
        let mut optimizer = match name {
            "sgd" => Optimizer::sgd(),
            "momentum" => Optimizer::momentum(0.9),
            "nesterov" => Optimizer::nesterov(0.9),
            "adam" => Optimizer::adam(),
            "adamw" => Optimizer::adamw(),
            "sam" => Optimizer::momentum(0.9).with_sam(0.05),
            _ => {
                let expected = format!("one of {}", Optimizer::NAMES.join(", "));
                return Err(TrainError::setting("optimizer", expected, name));
            }
        };
        let share = "a number from 0 to below 1";
        let at_least = "a number of at least 0";
        for (key, value) in options {
            let fraction = || text::number(name, key, value, share, |x| (0.0..1.0).contains(&x));
            let positive = || text::number(name, key, value, at_least, |x| x >= 0.0);
            match (key, &mut optimizer.base) {
                ("momentum", Base::Sgd { momentum, .. }) => *momentum = Some(fraction()?),
                ("nesterov", Base::Sgd { nesterov, .. }) => {
                    *nesterov = text::flag(name, key, value)?;
                }
                ("beta1", Base::Adam { beta1, .. }) => *beta1 = fraction()?,
                ("beta2", Base::Adam { beta2, .. }) => *beta2 = fraction()?,
                ("eps", Base::Adam { eps, .. }) => *eps = positive()?,
                ("weight_decay", _) => optimizer.weight_decay = Some(positive()?),
                ("clip", _) => {
                    let above = "a number above 0";
                    optimizer.clip = Some(text::number(name, key, value, above, |x| x > 0.0)?);
                }
                ("rho", _) => optimizer.rho = Some(positive()?),
                ("decay_on", _) => {
                    optimizer.decay_on = text::choice(name, key, value, &DecayOn::NAMES)?;
                }
                ("scale", _) => {
                    optimizer.ascent.scale = text::choice(name, key, value, &AscentScale::NAMES)?;
                }
                ("norm", _) => {
                    optimizer.ascent.norm = text::choice(name, key, value, &AscentNorm::NAMES)?;
                }
                ("shard", _) => {
                    let count = value.parse().ok().filter(|count: &usize| *count > 0);
                    optimizer.ascent.shard = Some(count.ok_or_else(|| {
                        let what = format!("shard of {name}");
                        TrainError::setting(what, "a number of examples of at least 1", value)
                    })?);
                }
                (_, base) => {
                    let own: &[&str] = match base {
                        Base::Sgd { .. } => &["momentum", "nesterov"],
                        Base::Adam { .. } => &["beta1", "beta2", "eps"],
                    };
                    return Err(text::unknown(name, key, &[own, &SHARED].concat()));
                }
            }
        }
        if matches!(optimizer.base, Base::Sgd { momentum: None, nesterov: true }) {
            let what = format!("nesterov of {name}");
            return Err(TrainError::setting(what, "a momentum beside it", "none"));
        }
        if optimizer.rho.is_none() && optimizer.ascent != AscentKind::default() {
            let what = format!("scale, norm or shard of {name}");
            return Err(TrainError::setting(what, "a rho beside it", "none"));
        }
        Ok(optimizer)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        let name = match self.base {
            Base::Sgd { momentum, nesterov } => {
                options.extend(momentum.map(|momentum| format!("momentum={momentum}")));
                options.extend(nesterov.then(|| "nesterov=true".to_owned()));
                "sgd"
            }
            Base::Adam { beta1, beta2, eps, decoupled } => {
                options.push(format!("beta1={beta1},beta2={beta2},eps={eps}"));
                if decoupled { "adamw" } else { "adam" }
            }
        };
        // Without a number the text would stand for AdamW's default.
        let decay = self.weight_decay.or((name == "adamw").then_some(0.0));
        options.extend(decay.map(|decay| format!("weight_decay={decay}")));
        options.extend((self.decay_on == DecayOn::Weights).then(|| "decay_on=weights".to_owned()));
        options.extend(self.clip.map(|clip| format!("clip={clip}")));
        options.extend(self.rho.map(|rho| format!("rho={rho}")));
        if self.rho.is_some() {
            let AscentKind { scale, norm, shard } = self.ascent;
            options.extend((scale == AscentScale::Adaptive).then(|| "scale=adaptive".to_owned()));
            options.extend((norm == AscentNorm::Parameter).then(|| "norm=parameter".to_owned()));
            options.extend(shard.map(|shard| format!("shard={shard}")));
        }
        f.write_str(&text::join(name, &options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_round() {
        for text in [
            "sgd",
            "momentum",
            "sgd momentum=0.5 nesterov",
            "adam:eps=1e-5,clip=1",
            "adamw:weight_decay=0.1,decay_on=weights",
            "sam:rho=0.1",
            "sam:rho=0.5,scale=adaptive,norm=parameter,shard=16",
        ] {
            let optimizer: Optimizer = text.parse().unwrap();
            assert_eq!(optimizer.to_string().parse(), Ok(optimizer), "{text}");
        }
        // AdamW without decay is not Adam's default text read back as AdamW's.
        let plain = Optimizer { weight_decay: Some(0.0), ..Optimizer::adamw() };
        assert_eq!(plain.to_string().parse(), Ok(plain));
    }

    #[test]
    fn a_wrong_text_gets_one_sentence() {
        let message = |text: &str| text.parse::<Optimizer>().unwrap_err().to_string();
        assert_eq!(
            message("sdg"),
            "optimizer: expected one of sgd, momentum, nesterov, adam, adamw, sam, got sdg"
        );
        assert_eq!(
            message("sgd:momentum=1.5"),
            "momentum of sgd: expected a number from 0 to below 1, got 1.5"
        );
        assert_eq!(
            message("sgd:nesterov"),
            "nesterov of sgd: expected a momentum beside it, got none"
        );
        assert_eq!(
            message("adam:rho=1,rho=2"),
            "rho of adam: expected to be given once, got it twice"
        );
        assert!(message("adam:momentum=0.9").starts_with("option of adam: expected one of beta1"));
        assert_eq!(
            message("sam:shard=0"),
            "shard of sam: expected a number of examples of at least 1, got 0"
        );
        assert_eq!(message("sam:scale=big"), "scale of sam: expected plain or adaptive, got big");
        assert_eq!(
            message("sgd:shard=4"),
            "scale, norm or shard of sgd: expected a rho beside it, got none"
        );
    }

    #[test]
    fn parts_state_what_they_read_and_keep() {
        let rule = "adamw:clip=1,rho=0.1".parse::<Optimizer>().unwrap().rule();
        let names: Vec<_> = rule.hyper_parameters().iter().map(|h| h.name).collect();
        assert_eq!(names, ["rho", "clip", "beta1", "beta2", "eps", "weight_decay", "lr"]);
        let slots: Vec<_> = rule.slots().iter().map(|slot| slot.name).collect();
        assert_eq!(slots, ["exp_avg", "exp_avg_sq"]);
    }
}
