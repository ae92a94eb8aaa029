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
/// `norm=whole|parameter`, `p` (the order of the ascent's norm, `inf` for the largest element),
/// `shard` (examples that ascend together: m-sharpness), and `rho_at=200/400` with
/// `rho_times=2/10` (after so many steps `rho` is so many times what it was at first). Short for common
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
#[derive(Clone, Debug, PartialEq)]
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
    /// What that is multiplied by after so many steps, see [`Sam::rises`].
    pub rho_rises: Vec<(u64, f64)>,
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
            rho_rises: Vec::new(),
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
            Some(rho) => Arc::new(Sam { rho, rises: self.rho_rises.clone(), kind: self.ascent }),
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
const SHARED: [&str; 10] = [
    "weight_decay",
    "decay_on",
    "clip",
    "rho",
    "scale",
    "norm",
    "p",
    "shard",
    "rho_at",
    "rho_times",
];

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
        let (mut rho_at, mut rho_times) = (Vec::new(), Vec::new());
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
                ("p", _) => {
                    let order = value.parse().ok().filter(|order: &f64| *order > 1.0);
                    optimizer.ascent.p = order.ok_or_else(|| {
                        let what = format!("p of {name}");
                        TrainError::setting(what, "a number above 1, or inf", value)
                    })?;
                }
                ("rho_at", _) => {
                    let rises = |steps: &[u64]| steps.windows(2).all(|pair| pair[0] < pair[1]);
                    let expected = "rising numbers of steps as 200/400";
                    rho_at = text::list(name, key, value, expected, rises)?;
                }
                ("rho_times", _) => {
                    let fits = |all: &[f64]| all.iter().all(|x| *x >= 0.0 && x.is_finite());
                    rho_times = text::list(name, key, value, "factors as 2/10", fits)?;
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
        if rho_at.len() != rho_times.len() {
            let what = format!("rho_times of {name}");
            let expected = format!("{}, one for each of rho_at", rho_at.len());
            return Err(TrainError::setting(what, expected, rho_times.len()));
        }
        optimizer.rho_rises = rho_at.into_iter().zip(rho_times).collect();
        let ascends = optimizer.ascent != AscentKind::default() || !optimizer.rho_rises.is_empty();
        if optimizer.rho.is_none() && ascends {
            let what = format!("scale, norm, p, shard or rho_at of {name}");
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
            let AscentKind { scale, norm, p, shard } = self.ascent;
            options.extend((scale == AscentScale::Adaptive).then(|| "scale=adaptive".to_owned()));
            options.extend((norm == AscentNorm::Parameter).then(|| "norm=parameter".to_owned()));
            options.extend((p != 2.0).then(|| format!("p={p}")));
            options.extend(shard.map(|shard| format!("shard={shard}")));
            if !self.rho_rises.is_empty() {
                let joined = |each: &mut dyn Iterator<Item = String>| {
                    each.collect::<Vec<String>>().join("/")
                };
                let at = joined(&mut self.rho_rises.iter().map(|(at, _)| at.to_string()));
                let times = joined(&mut self.rho_rises.iter().map(|(_, times)| times.to_string()));
                options.push(format!("rho_at={at},rho_times={times}"));
            }
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
            "sam:p=inf",
            "adam:rho=0.1,p=1.5,rho_at=10/200,rho_times=0.5/2e3",
        ] {
            let optimizer: Optimizer = text.parse().unwrap();
            assert_eq!(optimizer.to_string().parse(), Ok(optimizer), "{text}");
        }
        let rising: Optimizer = "sam:rho_at=10/200,rho_times=2/10".parse().unwrap();
        assert_eq!(rising.rho_rises, [(10, 2.0), (200, 10.0)]);
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
            "scale, norm, p, shard or rho_at of sgd: expected a rho beside it, got none"
        );
        assert_eq!(message("sam:p=1"), "p of sam: expected a number above 1, or inf, got 1");
        assert!(message("sam:p=nan").starts_with("p of sam"));
        assert_eq!(
            message("sam:rho_at=4/4,rho_times=1/2"),
            "rho_at of sam: expected rising numbers of steps as 200/400, got 4/4"
        );
        assert_eq!(
            message("sam:rho_at=4"),
            "rho_times of sam: expected 1, one for each of rho_at, got 0"
        );
        assert!(message("sam:rho_at=4,rho_times=-1").starts_with("rho_times of sam"));
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
