//! Settings as a person says them. The exact text of each stands in `study.toml`.

use crate::study::TrainSettings;
use thalweg_nn::Architecture;
use thalweg_nn::architecture::{Kind, ResidualInit};
use thalweg_nn::layer::{Activation, Classifier, Normalization};
use thalweg_train::part::{AscentKind, AscentNorm, AscentScale};
use thalweg_train::{Base, Optimizer, Schedule, Shape};

/// A training run: `20 epochs in batches of 64, by SGD with .., under ..`.
pub(crate) fn training(settings: &TrainSettings) -> String {
    let length = match (settings.epochs, settings.steps) {
        (0, steps) => count(steps, "step"),
        (epochs, _) => count(epochs, "epoch"),
    };
    let by = settings.optimizer.parse().map_or(settings.optimizer.clone(), |o| optimizer(&o));
    let rates = list(&settings.lr.iter().map(|&lr| number(lr)).collect::<Vec<_>>());
    // Each member has one of them.
    let rates = rates.replace(" and ", " or ");
    let under = match settings.schedule.parse() {
        Ok(found) => schedule(&found, &rates),
        Err(_) => format!("a learning rate of {rates} ({})", settings.schedule),
    };
    let mut text = format!("{length} in batches of {}, by {by}, under {under}", settings.batch);
    match (settings.shift, settings.flip) {
        (0, false) => {}
        (0, true) => text += ", images mirrored at random",
        (shift, flip) => {
            text += if flip { ", images mirrored and shifted" } else { ", images shifted" };
            text += &format!(" by up to {} at random", count(shift as u64, "pixel"));
        }
    }
    text
}

fn optimizer(optimizer: &Optimizer) -> String {
    let (name, mut with) = match optimizer.base {
        Base::Sgd { momentum: None, .. } => ("SGD", Vec::new()),
        Base::Sgd { momentum: Some(share), nesterov } => {
            let kind = if nesterov { "Nesterov momentum" } else { "momentum" };
            ("SGD", vec![format!("{kind} {}", number(share))])
        }
        Base::Adam { beta1, beta2, eps, decoupled } => {
            let mut with = Vec::new();
            if (beta1, beta2, eps) != (0.9, 0.999, 1e-8) {
                let [b1, b2, eps] = [beta1, beta2, eps].map(number);
                with.push(format!("betas {b1} and {b2} and epsilon {eps}"));
            }
            (if decoupled { "AdamW" } else { "Adam" }, with)
        }
    };
    if let Some(decay) = optimizer.weight_decay.filter(|&decay| decay > 0.0) {
        let on = if optimizer.decay_on == Default::default() { "" } else { " (of weights only)" };
        with.push(format!("weight decay {}{on}", number(decay)));
    }
    if let Some(clip) = optimizer.clip {
        with.push(format!("gradients clipped to norm {}", number(clip)));
    }
    let head = match optimizer.rho {
        Some(rho) => {
            let rises = optimizer.rho_rises.iter().map(|&(at, times)| {
                format!(", {} after {}", number(rho * times), count(at, "step"))
            });
            format!("{} on {name}", ascent(rho, &rises.collect::<String>(), optimizer.ascent))
        }
        None => name.to_owned(),
    };
    if with.is_empty() { head } else { format!("{head} with {}", list(&with)) }
}

fn ascent(rho: f64, rises: &str, kind: AscentKind) -> String {
    let name = if kind.scale == AscentScale::Adaptive { "adaptive SAM" } else { "SAM" };
    let of = if kind.norm == AscentNorm::Parameter { " for each parameter" } else { "" };
    let shards = kind.shard.map(|n| format!(", in shards of {}", count(n as u64, "example")));
    let measured = match kind.p {
        2.0 => String::new(),
        p if p.is_infinite() => " in each weight".to_owned(),
        p => format!(" in the norm of order {}", number(p)),
    };
    let shards = shards.unwrap_or_default();
    format!("{name} (rho {}{measured}{of}{rises}{shards})", number(rho))
}

fn schedule(schedule: &Schedule, rate: &str) -> String {
    let percent = |share: f64| format!("{} %", number((share * 1e3).round() / 10.0));
    let to = |floor: f64| match floor {
        0.0 => "zero".to_owned(),
        floor => format!("{} of it", percent(floor)),
    };
    let mut text = match &schedule.shape {
        Shape::Constant => format!("a constant learning rate of {rate}"),
        Shape::Linear { floor } => {
            format!("a learning rate that falls linearly from {rate} to {}", to(*floor))
        }
        Shape::Cosine { floor } => {
            format!("a learning rate that falls along a cosine from {rate} to {}", to(*floor))
        }
        Shape::Step { at, gamma } => {
            let at: Vec<String> = at.iter().map(|&share| percent(share)).collect();
            format!(
                "a learning rate of {rate} that is multiplied by {} after {} of the steps",
                number(*gamma),
                list(&at)
            )
        }
        Shape::WarmUpStableDecay { decay, floor } => format!(
            "a stable learning rate of {rate} that falls linearly to {} over the last {} of the \
             steps",
            to(*floor),
            percent(*decay)
        ),
        Shape::OneCycle { .. } => format!("a one-cycle learning rate that peaks at {rate}"),
        Shape::Table { factors } => format!(
            "a learning rate of {rate} times a table of {}",
            count(factors.len() as u64, "factor")
        ),
    };
    if schedule.warm_up > 0.0 {
        text +=
            &format!(", after a linear warm-up over {} of the steps", percent(schedule.warm_up));
    }
    text
}

/// A network: its kind and what is worth knowing of its options.
pub(crate) fn architecture(architecture: &Architecture) -> String {
    let mut parts = Vec::new();
    let mut ends = Classifier::Dense;
    let (norm, activation) = match &architecture.kind {
        Kind::Linear(_) => (Normalization::None, None),
        Kind::DeepLinear(deep) => {
            parts.push(format!("{}, {} wide", count(deep.depth as u64, "layer"), deep.width));
            (Normalization::None, None)
        }
        Kind::Siren(net) => {
            let hidden: Vec<String> = net.hidden.iter().map(usize::to_string).collect();
            parts.push(format!("hidden layers of {}", list(&hidden)));
            (Normalization::None, Some(Activation::Sine(net.omega)))
        }
        Kind::Mlp(mlp) => {
            let hidden: Vec<String> = mlp.hidden.iter().map(usize::to_string).collect();
            match hidden.len() {
                0 => {}
                1 => parts.push(format!("one hidden layer of {}", hidden[0])),
                _ => parts.push(format!("hidden layers of {}", list(&hidden))),
            }
            (mlp.norm, Some(mlp.activation))
        }
        Kind::ConvNet(net) => {
            let channels: Vec<String> = net.channels.iter().map(usize::to_string).collect();
            parts.push(format!("{} channels", list(&channels)));
            ends = net.classifier;
            (net.norm, Some(net.activation))
        }
        Kind::ResNet(net) => {
            parts.push(format!("{} layers", net.depth));
            parts.push(format!("width {}", net.width));
            parts.extend(match net.init {
                ResidualInit::Plain => None,
                ResidualInit::Zero => Some("blocks that begin as their shortcuts".to_owned()),
                ResidualInit::Fixup => Some("Fixup initialisation".to_owned()),
            });
            ends = net.classifier;
            (net.norm, Some(net.activation))
        }
        Kind::AlterNet(net) => {
            let (blocks, attention) =
                (net.blocks.iter().sum::<usize>(), net.attention.iter().sum::<usize>());
            parts.push(format!("{}, {attention} of attention", count(blocks as u64, "block")));
            parts.push(format!("width {}", net.width));
            (net.norm, Some(net.activation))
        }
        Kind::Vit(net) => {
            parts.push(count(net.depth as u64, "block"));
            parts.push(format!("width {}", net.width));
            parts.push(count(net.heads as u64, "head"));
            parts.push(format!("patches of {0}x{0}", net.patch));
            (Normalization::None, None)
        }
        Kind::Gpt(net) => {
            parts.push(count(net.depth as u64, "block"));
            parts.push(format!("width {}", net.width));
            parts.push(count(net.heads as u64, "head"));
            (Normalization::None, None)
        }
    };
    parts.extend(match norm {
        Normalization::None => None,
        Normalization::Batch => Some("batch norm".to_owned()),
        Normalization::Group => Some("group norm".to_owned()),
        Normalization::Layer => Some("layer norm".to_owned()),
        Normalization::Rms => Some("RMS norm".to_owned()),
    });
    parts.extend(activation.map(|activation| match activation {
        Activation::Relu => "ReLU".to_owned(),
        Activation::Gelu => "GELU".to_owned(),
        Activation::Silu => "SiLU".to_owned(),
        other => other.to_string(),
    }));
    parts.extend((ends == Classifier::Cosine).then(|| "outputs that are cosines".to_owned()));
    let name = match &architecture.kind {
        Kind::Linear(_) => "linear model",
        Kind::DeepLinear(_) => "deep linear network",
        Kind::Siren(_) => "sinusoidal representation network",
        Kind::Mlp(_) => "multi-layer perceptron",
        Kind::ConvNet(_) => "convolutional network",
        Kind::ResNet(net) if net.skip => "residual network",
        Kind::ResNet(_) => "residual network without its skip connections",
        Kind::AlterNet(_) => "residual network with normalisation first",
        Kind::Vit(_) => "vision transformer",
        Kind::Gpt(_) => "decoder-only transformer",
    };
    if parts.is_empty() { name.to_owned() } else { format!("{name}: {}", parts.join(", ")) }
}

fn count(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// `a`, `a and b`, `a, b and c`; of many the first, how many, and the last.
fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] if items.len() > 8 => format!("{first} .. {last} ({})", items.len()),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::TrainOptions;

    fn words(optimizer: &str, schedule: &str) -> String {
        let options = TrainOptions {
            optimizer: Some(optimizer.into()),
            schedule: Some(schedule.into()),
            epochs: Some(1),
            ..TrainOptions::default()
        };
        training(&options.settings(0).unwrap())
    }

    #[test]
    fn training_is_told_in_words() {
        let settings = TrainOptions::default().settings(0).unwrap();
        assert_eq!(
            training(&settings),
            "20 epochs in batches of 64, by SGD with Nesterov momentum 0.9 and weight decay 5e-4, \
             under a one-cycle learning rate that peaks at 0.1"
        );
        assert_eq!(
            words("sgd", "step:warm_up=0.1"),
            "1 epoch in batches of 64, by SGD, under a learning rate of 0.1 that is multiplied by \
             0.1 after 50 % and 75 % of the steps, after a linear warm-up over 10 % of the steps"
        );
        assert_eq!(
            words("adamw:beta1=0.8,decay_on=weights,clip=1,rho=0.05", "cosine:floor=0.01"),
            "1 epoch in batches of 64, by SAM (rho 0.05) on AdamW with betas 0.8 and 0.999 and \
             epsilon 1e-8, weight decay 0.01 (of weights only) and gradients clipped to norm 1, \
             under a learning rate that falls along a cosine from 0.001 to 1 % of it"
        );
        assert_eq!(
            words("sam:rho=0.5,scale=adaptive,norm=parameter,shard=16", "constant"),
            "1 epoch in batches of 64, by adaptive SAM (rho 0.5 for each parameter, in shards of 16 \
             examples) on SGD with momentum 0.9, under a constant learning rate of 0.1"
        );
        assert_eq!(
            words("sam:rho=0.5,p=3,rho_at=10/200,rho_times=2/4", "constant"),
            "1 epoch in batches of 64, by SAM (rho 0.5 in the norm of order 3, 1 after 10 steps, 2 \
             after 200 steps) on SGD with momentum 0.9, under a constant learning rate of 0.1"
        );
    }

    #[test]
    fn each_member_has_one_of_several_rates() {
        let options = TrainOptions { lr: Some(vec![0.1, 0.03, 1e6]), ..TrainOptions::default() };
        let told = training(&options.settings(0).unwrap());
        assert!(told.ends_with("that peaks at 0.1, 0.03 or 1e6"), "{told}");
    }

    #[test]
    fn every_name_has_words_of_its_own() {
        for name in Optimizer::NAMES {
            assert!(!words(name, "constant").contains(':'), "{name}");
        }
        for name in Schedule::NAMES {
            assert!(!words("sgd", name).contains(':'), "{name}");
        }
    }

    #[test]
    fn networks_are_told_in_words() {
        let told = |text: &str| architecture(&text.parse().unwrap());
        assert_eq!(
            told("resnet depth=44 width=4 skip=false"),
            "residual network without its skip connections: 44 layers, width 4, batch norm, ReLU"
        );
        assert_eq!(
            told("mlp hidden=4 activation=tanh"),
            "multi-layer perceptron: one hidden layer of 4, tanh"
        );
        assert_eq!(
            told("resnet depth=8 norm=none init=fixup classifier=cosine"),
            "residual network: 8 layers, width 16, Fixup initialisation, ReLU, outputs that are cosines"
        );
        assert_eq!(told("linear"), "linear model");
        assert_eq!(
            told("vit patch=2 heads=1"),
            "vision transformer: 6 blocks, width 64, 1 head, patches of 2x2"
        );
        assert_eq!(
            told("alternet"),
            "residual network with normalisation first: 6 blocks, 2 of attention, width 16, batch \
             norm, ReLU"
        );
        assert_eq!(told("gpt"), "decoder-only transformer: 4 blocks, width 128, 4 heads");
    }
}
