//! The commands: what was asked to what is left behind.

mod compare;
mod export;
mod export_model;
mod inspect;
mod map;
mod networks;
mod spectrum;
mod surface;
mod train;

pub use compare::{CompareRequest, compare};
pub use export::{ExportFormat, export};
pub use export_model::{ExportModelRequest, ModelFormat, export_model};
pub use inspect::{InspectRequest, inspect};
pub use map::{MapRequest, MapSettings, map};
pub use spectrum::{SpectrumRequest, SpectrumSettings, TraceChoice, spectrum};
pub use surface::{InputSpace, SurfaceMeasures, SurfaceRequest, SurfaceSettings, surface};
pub use thalweg_formats::onnx::export::ImageLayout;
pub use train::{TrainRequest, train};

use crate::class_loss;
use crate::error::{LabError, Result, usage};
use crate::run_directory::RunDirectory;
use crate::session::{Session, device};
use crate::subject::ObjectiveChoice;
use crate::{DataChoice, PreparedData, VERSION};
use thalweg_methods::surface::{DirectionConfig, Normalize};
use thalweg_nn::ClassLoss;
use thalweg_record::reply::Body;
use thalweg_record::{Explanation, Provenance, Report, Spectrum};

/// What a command left: a directory, its reply, and what a report shows.
#[derive(Debug)]
pub struct Outcome {
    /// The directory that was written.
    pub run: RunDirectory,
    /// The keys of the JSON object.
    pub body: Body,
    /// Everything that a report shows.
    pub report: Report,
}

/// Does the work in a directory; takes the directory back if the work fails before anything of
/// value came into it, or for good.
///
/// # Errors
/// Those of the work.
pub fn within<T>(
    run: RunDirectory,
    work: impl FnOnce(&RunDirectory) -> Result<T>,
) -> Result<(RunDirectory, T)> {
    match work(&run) {
        Ok(done) => Ok((run, done)),
        Err(error) => {
            match error.is_passing() {
                true => run.discard_if_empty(),
                false => run.discard_if_unfinished(),
            }
            Err(error)
        }
    }
}

fn provenance(session: &Session, data: &DataChoice) -> Provenance {
    Provenance {
        version: VERSION.to_owned(),
        seed: session.seed,
        device: device(),
        data: data.name.clone(),
        data_fingerprint: data.fingerprint.clone(),
        precision: session.precision.to_string(),
        command: session.command_line.clone(),
    }
}

/// What a loss is and its unit.
pub(crate) fn loss_name(text: &str) -> String {
    let Ok(loss) = text.parse::<ClassLoss>() else { return text.to_owned() };
    let (name, words) = (class_loss::plain_name(loss.loss), class_loss::words(&loss));
    match name.strip_suffix(NATS) {
        Some(name) => format!("{name}{words}{NATS}"),
        None => format!("{name}{words}"),
    }
}

const NATS: &str = " (nats)";

/// Random probes, targets, lines or rays that an option may ask for.
const MOST_DRAWS: usize = 1_000_000;

/// Refuses more draws than anyone can mean.
fn check_draws(option: &str, draws: usize) -> Result<()> {
    match draws > MOST_DRAWS {
        true => Err(LabError::Usage(format!("{option} {draws}: expected at most {MOST_DRAWS}"))),
        false => Ok(()),
    }
}

/// How directions are made, from the options `--normalize` and `--ignore`.
fn direction_config(
    normalize: Option<&str>,
    default: Normalize,
    ignore: &[String],
) -> Result<DirectionConfig> {
    let normalize = match normalize {
        Some(text) => text.parse().map_err(|e| usage("--normalize")(&e))?,
        None => default,
    };
    let ignore = ignore.join(",").parse().map_err(|e| usage("--ignore")(&e))?;
    Ok(DirectionConfig { normalize, ignore })
}

/// The scaling of directions, as sentences that follow another one.
fn scaling(config: &DirectionConfig) -> String {
    let mut how = match config.normalize {
        Normalize::Filter => {
            " Each filter of a direction (an output unit with its whole fan-in, a bias or a \
             normalisation factor for itself) is scaled once to the norm of the weights' filter."
        }
        Normalize::Layer => " Each array of a direction is scaled to the norm of the weights'.",
        Normalize::Weight => " Each element of a direction is multiplied by its weight.",
        Normalize::UnitFilter => {
            " Each filter of a direction (an output unit with its whole fan-in, a bias or a \
             normalisation factor for itself) is scaled once to norm one."
        }
        Normalize::UnitLayer => " Each array of a direction is scaled to norm one.",
        Normalize::UnitSphere => " Each direction is scaled to norm one.",
        Normalize::None => " They are used as they are.",
    }
    .to_owned();
    let held: Vec<&str> = [
        (config.ignore.bias, "biases"),
        (config.ignore.norm, "the factors and summands of normalisation layers"),
    ]
    .into_iter()
    .filter_map(|(held, what)| held.then_some(what))
    .collect();
    if !held.is_empty() {
        how += &format!(" Held at the centre: {}.", held.join(", and "));
    }
    how
}

pub(crate) fn explain(quantity: &str, how: impl Into<String>) -> Explanation {
    Explanation { quantity: quantity.to_owned(), how: how.into() }
}

/// On which examples accuracy is counted, and what the networks knew of them.
fn explain_accuracy(data: &PreparedData, trained_here: bool) -> Explanation {
    let n = data.test.len();
    let (part, knew) = match (trained_here, data.is_whole()) {
        (true, _) => ("test ", "neither training nor any choice saw them"),
        (false, true) => ("", "whether training saw them is not known here"),
        (false, false) => ("test ", "whether training saw them is not known here"),
    };
    let how = format!(
        "Share of the {n} {part}examples that are classified correctly, with the running \
         statistics; {knew}."
    );
    explain("Accuracy", how)
}

fn explain_loss(objective: &ObjectiveChoice, (samples, available): (usize, usize)) -> Explanation {
    let part = match objective.split.as_str() {
        "test" => "test ",
        "all" => "",
        _ => "training ",
    };
    let examples = match samples == available {
        true => format!("all {available} {part}examples"),
        false => format!(
            "{samples} of the {available} {part}examples, stratified by class where each has \
             one; its standard error covers the choice of the sample and knows that the population is finite"
        ),
    };
    let statistics = match objective.batch_norm.as_str() {
        "batch" => format!("the statistics of each batch of {}", objective.batch),
        "recalibrated" => {
            format!("statistics taken anew at each point, in batches of {}", objective.batch)
        }
        _ => "the running statistics of training, frozen".to_owned(),
    };
    let classes = objective.loss.parse::<ClassLoss>().map(|loss| class_loss::explanation(&loss));
    let how = format!(
        "Mean of {} over {examples}. Batch normalisation, where there is any, uses \
         {statistics}.{}",
        loss_name(&objective.loss),
        classes.unwrap_or_default()
    );
    explain("Loss", how)
}

/// How many eigenvalues of which end.
fn sides(top: usize, bottom: usize) -> String {
    match (top, bottom) {
        (top, 0) => format!("{top} largest"),
        (0, bottom) => format!("{bottom} smallest"),
        (top, bottom) => format!("{top} largest and {bottom} smallest"),
    }
}

fn explain_eigenvalues(matrix: &str, top: usize, bottom: usize, tolerance: f64) -> Explanation {
    let sides = sides(top, bottom);
    explain(
        "Eigenvalues",
        format!(
            "The {sides} of the {matrix} of this loss, by Lanczos iteration with full \
             reorthogonalisation until every residual |Hv - λv| of the unit vectors found is below \
             {tolerance} of the largest, and then from a random vector outside of them until no copy \
             of a multiple one would be missed but with a probability of 0.001; for {} products at \
             most. An eigenvalue lies within its residual of the value given.",
            crate::measure::most_products(top + bottom)
        ),
    )
}

fn explain_trace(known: usize, probes: usize, tolerance: f64) -> Explanation {
    let vectors = match tolerance > 0.0 {
        true => format!(
            "random sign vectors z, of which eight at a time are taken until the standard error is \
             {} % of the trace (of 8 and 16 a third and two thirds of that), at most {probes}",
            100.0 * tolerance
        ),
        false => format!("{probes} random sign vectors z"),
    };
    let how = match known {
        0 => format!("the mean of zᵀHz over {vectors}"),
        _ => format!(
            "the sum of the eigenvalues found, and the mean of wᵀHw over {vectors}, where w is z \
             without its part along the eigenvectors found"
        ),
    };
    let error = "Their standard error is for the examples taken.";
    explain("Trace", format!("Hutchinson's estimate: {how}. {error}"))
}

/// What share of the curvature a plane holds: of which Hessian, and how the norm of the whole is known.
fn explain_plane_share(hessian: &str, norm: &str) -> Explanation {
    let how = format!(
        "|UᵀHU|² / |H|² in Frobenius norms, with U an orthonormal basis of the plane's directions and \
         {hessian}: of the sum of the squares of all entries of H the part on the plane, whose UᵀHU is \
         the Hessian of what the picture shows. On eigenvectors it is the sum of their squared \
         eigenvalues over that of all. Of the rest the picture says nothing. |UᵀHU|² is exact, by a \
         product with H for each direction; |H|² is estimated, {norm}. For the examples taken."
    );
    explain("Curvature in the plane", how)
}

/// The Hessian that a plane of weights holds a share of.
const WHOLE_HESSIAN: &str = "the Hessian H at the centre by all weights, biases and factors, also those \
                             that the plane holds still";

/// What a spectrum on a sample says of all the examples; nothing where all were taken.
fn explain_sample(
    spectrum: &Spectrum,
    (samples, available): (usize, usize),
) -> Option<Explanation> {
    if samples == available {
        return None;
    }
    let Some(vectors) = Some(spectrum.products.sampling_error).filter(|&n| n > 0) else {
        let how = "These numbers are those of the matrix on the examples taken: their errors do \
                   not hold the choice of the sample.";
        return Some(explain("Spectrum of a sample", how));
    };
    let which = match (spectrum.top.len() + spectrum.bottom.len(), spectrum.trace) {
        (0, _) => "random sign vectors",
        (_, None) => "the eigenvectors found",
        _ => "the eigenvectors found and random sign vectors",
    };
    let mut how = format!(
        "Another sample would give other numbers. By how much, the second derivatives of the loss \
         of each example along {vectors} vectors say: {which}, with a forward pass for each vector."
    );
    if spectrum.trace.is_some() {
        how += " The standard error of the trace holds this, with that over its own vectors added \
                in squares.";
    }
    if spectrum.top.len() + spectrum.bottom.len() > 0 {
        how += " The sampling error of an eigenvalue is one to first order, its eigenvector held: \
                on a sample the largest eigenvalues also tend to be too large, the more so the closer \
                they lie together, and that it does not hold.";
    }
    if spectrum.density.is_some() {
        how += " The density is that of the examples taken.";
    }
    Some(explain("Spectrum of a sample", how))
}
