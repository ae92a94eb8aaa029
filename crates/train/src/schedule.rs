//! Schedules of the learning rate.

use crate::{TrainError, text};
use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// The learning rate's factor over the steps of a run: a pure function of the step.
///
/// Steps `t` count from 0 to `T - 1`. Shares are shares of the `T` steps. Its text is a name with
/// options, as `cosine:warm_up=0.05`.
///
/// # Example
/// ```
/// use thalweg_train::Schedule;
/// let schedule: Schedule = "cosine:floor=0.1".parse()?;
/// assert_eq!(schedule.factor(0, 100), 1.0);
/// assert_eq!(schedule.factor(50, 100), 0.55);
/// # Ok::<(), thalweg_train::TrainError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The curve after the warm-up.
    pub shape: Shape,
    /// Share of the steps in which the factor rises linearly, `(t + 1) / W` for `W` steps; the
    /// shape then runs over the rest.
    pub warm_up: f64,
}

/// The curve of a schedule over `T` steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// One.
    Constant,
    /// `1 - (1 - floor) t / T`.
    Linear {
        /// The factor that is approached at the end.
        floor: f64,
    },
    /// `floor + (1 - floor) (1 + cos(pi t / T)) / 2`, PyTorch's `CosineAnnealingLR`.
    ///
    /// Source: Loshchilov, Hutter, SGDR, 2017, arXiv 1608.03983, equation 5
    Cosine {
        /// The factor that is approached at the end.
        floor: f64,
    },
    /// `gamma^k` after `k` milestones.
    Step {
        /// Shares of the steps at which the factor falls, increasing.
        at: Vec<f64>,
        /// What it is multiplied by.
        gamma: f64,
    },
    /// One, and in the last `decay` share of the steps a straight line to `floor`.
    ///
    /// Source: Hu et al., MiniCPM, 2024, arXiv 2404.06395, section 4
    WarmUpStableDecay {
        /// Share of the steps in which the factor falls.
        decay: f64,
        /// The factor that is approached at the end.
        floor: f64,
    },
    /// Half a cosine from `1 / div` up to one at step `start T - 1`, then half a cosine down to
    /// `1 / (div final_div)` at step `T - 1`: PyTorch's `OneCycleLR`. Momentum stays.
    ///
    /// Source: Smith, Topin, Super-convergence, 2018, arXiv 1708.07120
    OneCycle {
        /// Share of the steps in which the factor rises.
        start: f64,
        /// The first factor is one divided by this.
        div: f64,
        /// The last factor is the first divided by this.
        final_div: f64,
    },
    /// Factor `floor(n t / T)` of `n`: each for as many steps as the others, and one each where there
    /// are as many as steps. One where there is none.
    Table {
        /// The factors, from the first step on.
        factors: Vec<f64>,
    },
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { shape: Shape::Constant, warm_up: 0.0 }
    }
}

impl Schedule {
    /// The names that a text may begin with.
    pub const NAMES: [&'static str; 7] =
        ["constant", "linear", "cosine", "step", "warm-up-stable-decay", "one-cycle", "table"];

    /// PyTorch's one-cycle schedule with its defaults.
    pub fn one_cycle() -> Schedule {
        Schedule { shape: Shape::OneCycle { start: 0.3, div: 25.0, final_div: 1e4 }, warm_up: 0.0 }
    }

    /// The factor at step `step` of `steps`.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        let warm_up = ((self.warm_up * steps as f64).round() as u64).min(steps);
        if step < warm_up {
            return (step + 1) as f64 / warm_up as f64;
        }
        self.shape.factor((step - warm_up) as f64, (steps - warm_up) as f64)
    }
}

impl Shape {
    fn factor(&self, t: f64, steps: f64) -> f64 {
        match self {
            Shape::Constant => 1.0,
            Shape::Linear { floor } => 1.0 - (1.0 - floor) * t / steps,
            Shape::Cosine { floor } => {
                floor + (1.0 - floor) * 0.5 * (1.0 + libm::cos(PI * t / steps))
            }
            Shape::Step { at, gamma } => {
                let passed = at.iter().filter(|&&share| t >= (share * steps).round()).count();
                (0..passed).fold(1.0, |factor, _| factor * gamma)
            }
            Shape::WarmUpStableDecay { decay, floor } => {
                let falling = (decay * steps).round();
                let into = t - (steps - falling);
                if into <= 0.0 { 1.0 } else { 1.0 - (1.0 - floor) * into / falling }
            }
            Shape::OneCycle { start, div, final_div } => {
                let (first, last) = (1.0 / div, 1.0 / (div * final_div));
                let (top, end) = (start * steps - 1.0, steps - 1.0);
                let between = |from: f64, to: f64, share: f64| {
                    to + (from - to) / 2.0 * (1.0 + libm::cos(PI * share))
                };
                if t <= top && top > 0.0 {
                    between(first, 1.0, t / top)
                } else if end > top {
                    between(1.0, last, (t - top) / (end - top))
                } else {
                    1.0
                }
            }
            Shape::Table { factors } => {
                let place = (t * factors.len() as f64 / steps) as usize;
                factors.get(place).or(factors.last()).copied().unwrap_or(1.0)
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Schedule, TrainError> {
        let (name, options) = text::split(text);
        text::once(name, &options)?;
        let mut schedule = Schedule::default();
        schedule.shape = match name {
            "constant" => Shape::Constant,
            "linear" => Shape::Linear { floor: 0.0 },
            "cosine" => Shape::Cosine { floor: 0.0 },
            "step" => Shape::Step { at: vec![0.5, 0.75], gamma: 0.1 },
            "warm-up-stable-decay" | "wsd" => {
                schedule.warm_up = 0.05;
                Shape::WarmUpStableDecay { decay: 0.2, floor: 0.0 }
            }
            "one-cycle" => Schedule::one_cycle().shape,
            "table" => Shape::Table { factors: vec![1.0] },
            _ => {
                let expected = format!("one of {}", Schedule::NAMES.join(", "));
                return Err(TrainError::setting("schedule", expected, name));
            }
        };
        for (key, value) in options {
            let below = "a share from 0 to below 1";
            let share = || text::number(name, key, value, below, |x| (0.0..1.0).contains(&x));
            let any = || text::number(name, key, value, "a number of at least 0", |x| x >= 0.0);
            let above = || text::number(name, key, value, "a number of at least 1", |x| x >= 1.0);
            match (key, &mut schedule.shape) {
                ("warm_up", _) => schedule.warm_up = share()?,
                ("floor", Shape::Linear { floor } | Shape::Cosine { floor }) => *floor = any()?,
                ("floor", Shape::WarmUpStableDecay { floor, .. }) => *floor = any()?,
                ("decay", Shape::WarmUpStableDecay { decay, .. }) => *decay = share()?,
                ("gamma", Shape::Step { gamma, .. }) => *gamma = any()?,
                ("at", Shape::Step { at, .. }) => *at = milestones(name, value)?,
                ("factors", Shape::Table { factors }) => {
                    let expected = "numbers of at least 0 as 1/0.5/0.25";
                    let each = value.split('/');
                    *factors = each
                        .map(|factor| text::number(name, key, factor, expected, |x| x >= 0.0))
                        .collect::<Result<_, _>>()?;
                }
                ("start", Shape::OneCycle { start, .. }) => *start = share()?,
                ("div", Shape::OneCycle { div, .. }) => *div = above()?,
                ("final_div", Shape::OneCycle { final_div, .. }) => *final_div = above()?,
                (_, shape) => {
                    let known: &[&str] = match shape {
                        Shape::Constant => &["warm_up"],
                        Shape::Linear { .. } | Shape::Cosine { .. } => &["warm_up", "floor"],
                        Shape::Step { .. } => &["warm_up", "at", "gamma"],
                        Shape::WarmUpStableDecay { .. } => &["warm_up", "decay", "floor"],
                        Shape::OneCycle { .. } => &["warm_up", "start", "div", "final_div"],
                        Shape::Table { .. } => &["warm_up", "factors"],
                    };
                    return Err(text::unknown(name, key, known));
                }
            }
        }
        Ok(schedule)
    }
}

/// Shares joined by `/`, increasing.
fn milestones(owner: &str, text: &str) -> Result<Vec<f64>, TrainError> {
    let expected = "increasing shares of the steps as 0.5/0.75";
    let wrong = || TrainError::setting(format!("at of {owner}"), expected, text);
    let shares: Vec<f64> =
        text.split('/').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let rising = shares.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = shares.iter().all(|share| (0.0..=1.0).contains(share));
    if rising && inside { Ok(shares) } else { Err(wrong()) }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mut options) = match &self.shape {
            Shape::Constant => ("constant", Vec::new()),
            Shape::Linear { floor } => ("linear", vec![format!("floor={floor}")]),
            Shape::Cosine { floor } => ("cosine", vec![format!("floor={floor}")]),
            Shape::Step { at, gamma } => {
                let at: Vec<_> = at.iter().map(f64::to_string).collect();
                ("step", vec![format!("at={}", at.join("/")), format!("gamma={gamma}")])
            }
            Shape::WarmUpStableDecay { decay, floor } => {
                let options = vec![format!("decay={decay}"), format!("floor={floor}")];
                ("warm-up-stable-decay", options)
            }
            Shape::OneCycle { start, div, final_div } => {
                ("one-cycle", vec![format!("start={start},div={div},final_div={final_div}")])
            }
            Shape::Table { factors } => {
                let factors: Vec<_> = factors.iter().map(f64::to_string).collect();
                ("table", vec![format!("factors={}", factors.join("/"))])
            }
        };
        let always = matches!(self.shape, Shape::WarmUpStableDecay { .. });
        if always || self.warm_up != 0.0 {
            options.push(format!("warm_up={}", self.warm_up));
        }
        f.write_str(&text::join(name, &options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_round() {
        for text in Schedule::NAMES.into_iter().chain([
            "cosine:warm_up=0.1,floor=0.01",
            "step:at=0.3/0.6/0.9,gamma=0.2",
            "wsd:warm_up=0,decay=0.5",
            "one-cycle div=10 final_div=100 start=0.25",
            "table:factors=1/0.3/0.1234567890123,warm_up=0.1",
        ]) {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string().parse(), Ok(schedule), "{text}");
        }
        for text in [
            "",
            "cosin",
            "cosine:gamma=1",
            "step:at=0.7/0.5",
            "linear:warm_up=1",
            "table:factors=1/-1",
            "table:factors=",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    #[test]
    fn curves_pass_through_points_worked_out_by_hand() {
        let at = |text: &str, step| text.parse::<Schedule>().unwrap().factor(step, 100);
        assert_eq!(at("constant:warm_up=0.1", 0), 0.1);
        assert_eq!(at("constant:warm_up=0.1", 9), 1.0);
        assert_eq!(at("constant:warm_up=0.1", 10), 1.0);
        assert_eq!(at("linear", 25), 0.75);
        assert_eq!(at("step", 49), 1.0);
        assert_eq!(at("step", 50), 0.1);
        assert_eq!(at("wsd:warm_up=0", 80), 1.0);
        assert_eq!(at("wsd:warm_up=0", 90), 0.5);
        assert!((at("one-cycle", 0) - 0.04).abs() < 1e-15);
        assert_eq!(at("one-cycle", 29), 1.0);
        assert!((at("one-cycle", 99) - 4e-6).abs() < 1e-15);
        let halves = [(0, 1.0), (49, 1.0), (50, 0.5), (99, 0.5)];
        assert!(halves.iter().all(|&(step, factor)| at("table:factors=1/0.5", step) == factor));
        let each = |factors: Vec<f64>| {
            let steps = factors.len() as u64;
            let table = Schedule { shape: Shape::Table { factors }, warm_up: 0.0 };
            (0..steps).map(|step| table.factor(step, steps)).collect::<Vec<_>>()
        };
        let drawn: Vec<f64> = (0..777).map(|i| f64::from(i).sin().abs()).collect();
        assert_eq!(each(drawn.clone()), drawn);
        for name in Schedule::NAMES {
            let schedule: Schedule = name.parse().unwrap();
            for steps in [1, 2, 3, 7] {
                let all = (0..steps).map(|t| schedule.factor(t, steps));
                assert!(all.clone().all(|f| (0.0..=1.0).contains(&f)), "{name} {steps}");
            }
        }
    }
}
