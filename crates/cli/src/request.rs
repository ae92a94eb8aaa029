//! From arguments to what the laboratory is asked.

use crate::arguments::{
    Arguments, DataArguments, Everywhere, ObjectiveArguments, TrainArguments, TrainingArguments,
};
use std::env;
use thalweg_lab::command::TrainRequest;
use thalweg_lab::{Budget, DataChoice, Output, Result, Session, TrainOptions, Verbosity};

/// The session of a command.
pub fn session(arguments: &Arguments) -> Result<Session> {
    let everywhere = &arguments.everywhere;
    let budget = Budget::new(everywhere.threads, everywhere.memory)?;
    let verbosity = match (everywhere.quiet, everywhere.json) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Plain,
        (false, false) => Verbosity::Bars,
    };
    let mut session = Session::new(budget, everywhere.precision, everywhere.seed, verbosity);
    // The program by its name: where it was started from is nobody's concern.
    let words = env::args().skip(1).map(|word| quoted(&word));
    let words: Vec<String> = std::iter::once("thalweg".to_owned()).chain(words).collect();
    session.command_line = Some(words.join(" "));
    Ok(session)
}

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+%@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Where a run goes.
pub fn output(everywhere: &Everywhere) -> Output {
    Output { out: everywhere.out.clone(), resume: everywhere.resume }
}

/// Which data, of this name.
pub fn data(arguments: &DataArguments, default: &str) -> DataChoice {
    DataChoice {
        test_fraction: arguments.test_fraction,
        subsample: arguments.subsample.unwrap_or(0),
        label_noise: arguments.label_noise,
        ..DataChoice::new(arguments.data.clone().unwrap_or_else(|| default.to_owned()))
    }
}

/// How networks are trained, as far as it was given.
pub fn training(arguments: &TrainingArguments) -> TrainOptions {
    TrainOptions {
        loss: arguments.loss.clone(),
        optimizer: arguments.optimizer.clone(),
        schedule: arguments.schedule.clone(),
        weight_decay: arguments.weight_decay,
        batch: arguments.batch,
        epochs: arguments.epochs,
        steps: arguments.steps,
        shift: arguments.shift,
        flip: arguments.flip,
        ..TrainOptions::default()
    }
}

/// What `train` was asked.
pub fn train(arguments: &TrainArguments, everywhere: &Everywhere) -> TrainRequest {
    TrainRequest {
        data: data(&arguments.data, "digits"),
        options: TrainOptions {
            architecture: arguments.arch.clone(),
            lr: arguments.lr.clone().map(|rates| rates.0),
            seeds: arguments.seeds.clone().map(|seeds| seeds.0),
            checkpoints: arguments.checkpoints,
            ..training(&arguments.training)
        },
        output: output(everywhere),
    }
}
