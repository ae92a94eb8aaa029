//! From arguments to what the laboratory is asked.

use crate::arguments::{
    CompareArguments, DataArguments, DescribeArguments, Everywhere, ExportArguments,
    InspectArguments, MapArguments, ObjectiveArguments, ReadingArguments, ReproduceArguments,
    SpectrumArguments, SurfaceArguments, TrainArguments, TrainingArguments,
};
use std::env;
use thalweg_lab::command::{
    CompareRequest, ExportFormat, ExportModelRequest, ImageLayout, InputSpace, InspectRequest,
    MapRequest, MapSettings, ModelFormat, SpectrumRequest, SpectrumSettings, SurfaceMeasures,
    SurfaceRequest, TrainRequest,
};
use thalweg_lab::{
    Budget, DataConfig, DataOptions, ObjectiveChoice, Output, Precision, Result, Session,
    TrainOptions, Verbosity, WatchOptions,
};
use thalweg_papers::ReproduceRequest;

/// The session of a command.
pub fn session(everywhere: &Everywhere) -> Result<Session> {
    let budget = Budget::new(everywhere.threads, everywhere.memory)?;
    let verbosity = match (everywhere.quiet, everywhere.json) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Plain,
        (false, false) => Verbosity::Bars,
    };
    let mut session = Session::new(budget, everywhere.precision, everywhere.seed, verbosity);
    // The program by its name: where it was started from is nobody's concern.
    let words = env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
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
fn output(everywhere: &Everywhere) -> Output {
    Output { out: everywhere.out.clone(), resume: everywhere.resume }
}

/// Which data, as far as it was given.
fn data(arguments: &DataArguments) -> DataOptions {
    DataOptions {
        name: arguments.data.clone(),
        test_fraction: arguments.test_fraction,
        subsample: arguments.subsample,
        label_noise: arguments.label_noise,
        ..reading(&arguments.reading)
    }
}

/// How data are read, as far as it was given.
fn reading(arguments: &ReadingArguments) -> DataOptions {
    DataOptions {
        context: arguments.context,
        config: DataConfig {
            task: arguments.task,
            target: arguments.target.clone(),
            leave_out: arguments.leave_out.clone(),
            header: arguments.header,
            delimiter: arguments.delimiter,
            resize: arguments.resize,
            channels: arguments.channels,
            scale: arguments.scale.clone(),
            tokens: arguments.tokens.clone(),
            reading: arguments.reading,
            ..DataConfig::default()
        },
        ..DataOptions::default()
    }
}

/// Which data are to be described.
pub fn described(arguments: &DescribeArguments) -> DataOptions {
    DataOptions { name: arguments.data.clone(), ..reading(&arguments.reading) }
}

/// On what a loss is evaluated.
fn objective(arguments: &ObjectiveArguments) -> ObjectiveChoice {
    ObjectiveChoice {
        split: arguments.split.clone().unwrap_or_default(),
        samples: arguments.samples.0.unwrap_or(0),
        batch: arguments.batch,
        batch_norm: arguments.batch_norm.clone(),
        loss: arguments.loss.clone().unwrap_or_default(),
        output: arguments.loss_on.clone(),
    }
}

/// How networks are trained, as far as it was given.
fn training(arguments: &TrainingArguments) -> TrainOptions {
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
    let usual = WatchOptions::default();
    TrainRequest {
        model: arguments.model.clone(),
        data: data(&arguments.data),
        options: TrainOptions {
            architecture: arguments.arch.clone(),
            lr: arguments.lr.clone().map(|rates| rates.0),
            seeds: arguments.seeds.clone().map(|seeds| seeds.0),
            checkpoints: arguments.checkpoints,
            watch: WatchOptions {
                instruments: arguments.watch.clone(),
                budget: arguments.watch_budget.unwrap_or(usual.budget),
                examples: arguments.watch_samples.unwrap_or(usual.examples),
            },
            ..training(&arguments.training)
        },
        output: output(everywhere),
    }
}

/// What `map` was asked.
pub fn map(arguments: &MapArguments, everywhere: &Everywhere) -> MapRequest {
    MapRequest {
        models: arguments.models.clone(),
        architectures: arguments.arch.clone(),
        training: TrainOptions {
            lr: arguments.lr.map(|lr| vec![lr]),
            seeds: arguments.train_seed.map(|seed| vec![seed]),
            ..training(&arguments.training)
        },
        data: data(&arguments.data),
        settings: MapSettings {
            grid: arguments.grid,
            line: arguments.line,
            normalize: arguments.normalize.clone(),
            ignore: arguments.ignore.clone(),
            samples: arguments.samples.0,
            top: arguments.top,
            probes: arguments.probes,
            rho: arguments.rho,
            roughness_directions: arguments.roughness_directions,
            tolerance: arguments.effort.tolerance,
            exact: arguments.effort.exact,
        },
        output: output(everywhere),
    }
}

/// What `surface` was asked.
pub fn surface(arguments: &SurfaceArguments, everywhere: &Everywhere) -> SurfaceRequest {
    SurfaceRequest {
        models: arguments.models.clone(),
        architecture: arguments.arch.clone(),
        data: data(&arguments.data),
        objective: objective(&arguments.objective),
        directions: arguments.directions.clone(),
        checkpoints: arguments.checkpoints.clone(),
        normalize: arguments.normalize.clone(),
        ignore: arguments.ignore.clone(),
        x: arguments.x,
        y: arguments.y,
        line: arguments.line,
        pairs: arguments.pairs,
        tolerance: arguments.effort.tolerance,
        exact: arguments.effort.exact,
        measures: SurfaceMeasures {
            minima: arguments.measures.minima,
            convexity: arguments.measures.convexity,
            basin: arguments.measures.basin,
            rise: arguments.measures.rise,
            per_class: arguments.measures.per_class,
            gradients: arguments.measures.gradients,
            plane_share: arguments.measures.plane_share,
        },
        inputs: arguments.inputs.in_input_space.then(|| InputSpace {
            example: arguments.inputs.example,
            likelihood: arguments.inputs.likelihood.clone(),
        }),
        output: output(everywhere),
    }
}

/// What `spectrum` was asked.
pub fn spectrum(arguments: &SpectrumArguments, everywhere: &Everywhere) -> SpectrumRequest {
    SpectrumRequest {
        model: arguments.model.clone(),
        architecture: arguments.arch.clone(),
        data: data(&arguments.data),
        objective: objective(&arguments.objective),
        top: arguments.top,
        trace: arguments.trace,
        settings: SpectrumSettings {
            top: 0,
            bottom: arguments.bottom,
            tolerance: arguments.tolerance.unwrap_or(match everywhere.precision {
                Precision::F32 => 1e-3,
                Precision::F64 => 1e-6,
            }),
            trace_probes: 0,
            trace_tolerance: 0.0,
            trace_exact: false,
            density_probes: arguments.density,
            density_method: arguments.density_by.clone(),
            of: arguments.of.clone(),
            layer: arguments.layer.clone(),
            parameters: arguments.parameters.clone(),
            between: arguments.between.clone(),
            class: arguments.class,
            examples: arguments.examples.clone(),
            relative_to: arguments.relative_to.clone(),
            damping: arguments.damping,
            draws: arguments.draws,
            preconditioned: arguments.preconditioned,
            estimator: arguments.estimator.clone(),
        },
        output: output(everywhere),
    }
}

/// What `compare` was asked.
pub fn compare(arguments: &CompareArguments, everywhere: &Everywhere) -> CompareRequest {
    CompareRequest {
        models: arguments.models.clone(),
        architecture: arguments.arch.clone(),
        data: data(&arguments.data),
        objective: objective(&arguments.objective),
        instruments: arguments.instruments.clone(),
        output: output(everywhere),
    }
}

/// What `reproduce` was asked.
pub fn reproduce(arguments: &ReproduceArguments, everywhere: &Everywhere) -> ReproduceRequest {
    ReproduceRequest {
        slugs: arguments.slugs.clone(),
        all: arguments.all,
        sample: arguments.sample,
        results: arguments.write_results.clone(),
        output: output(everywhere),
    }
}

/// What `inspect` was asked.
pub fn inspect(arguments: &InspectArguments) -> InspectRequest {
    InspectRequest { model: arguments.model.clone(), architecture: arguments.arch.clone() }
}

/// What `export` was asked.
pub enum Export {
    /// The arrays of a run.
    Tables(ExportFormat),
    /// Models.
    Models(ExportModelRequest),
}

/// What is exported, and as what.
pub fn export(arguments: &ExportArguments, everywhere: &Everywhere) -> Export {
    let format = match (arguments.onnx, arguments.safetensors, arguments.npz) {
        (true, _, _) => ModelFormat::Onnx {
            layout: match arguments.channels_last {
                true => ImageLayout::ChannelsLast,
                false => ImageLayout::ChannelsFirst,
            },
            normalise: !arguments.no_normalization,
        },
        (_, true, _) => ModelFormat::Safetensors,
        (_, _, true) => return Export::Tables(ExportFormat::Npz),
        _ => return Export::Tables(ExportFormat::Csv),
    };
    Export::Models(ExportModelRequest {
        model: arguments.model.clone(),
        architecture: arguments.arch.clone(),
        format,
        precision: everywhere.precision,
        out: everywhere.out.clone(),
    })
}
