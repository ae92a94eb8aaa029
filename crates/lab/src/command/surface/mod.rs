//! `thalweg surface`.

mod beside;
mod explanations;
mod input_space;
mod plan;
mod share;

pub use plan::{InputSpace, SurfaceMeasures, SurfaceRequest, SurfaceSettings};

use super::{Outcome, explain_accuracy, provenance, within};
use crate::checkpoints;
use crate::data_source::{DataChoice, PreparedData};
use crate::directions::{Directions, Made};
use crate::effort;
use crate::error::Result;
use crate::measure;
use crate::model_source::{WeightsFile, open_model};
use crate::run_directory::{RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use explanations::explanations;
use plan::plan;
use serde::{Deserialize, Serialize};
use thalweg_methods::{InputObjective, Likelihood, Objective};
use thalweg_nn::ClassLoss;
use thalweg_record::reply::{Body, ClassReply, SurfaceBody};
use thalweg_record::{ModelReport, Report, Surface};

/// `study.toml` of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SurfaceStudy {
    #[serde(flatten)]
    common: Common,
    model: String,
    weights_fingerprints: Vec<String>,
    data: DataChoice,
    objective: ObjectiveChoice,
    surface: SurfaceSettings,
    budget: BudgetSection,
}

/// Minima in the reply, and loops, at most; all are in the results.
const MOST_MINIMA: usize = 100;

/// The loss on a line or a plane through weight space.
///
/// # Errors
/// Options that do not parse or fit each other; models, directions or data that cannot be read or
/// do not fit; a directory that cannot be written; `Interrupted`.
pub fn surface(session: &Session, request: SurfaceRequest) -> Result<Outcome> {
    let plan = plan(&request)?;
    let named = request.checkpoints.as_deref().map(checkpoints::named).transpose()?;
    // Where no model is the centre, it is where the trajectory ends.
    let end = named.as_ref().and_then(|named| named.last()).filter(|_| request.models.is_empty());
    let files: Vec<WeightsFile> = request
        .models
        .iter()
        .chain(end)
        .map(|model| open_model(model, request.architecture.as_deref()))
        .collect::<Result<_>>()?;
    let (choice, data) = PreparedData::choose(&request.data, &files, session.seed)?;
    data.tell(session);
    let wanted = Wanted::new(&request.objective);
    let subject = Subject::new(session, &files[0], &wanted, &data)?;
    let objective_choice = subject.complete(request.objective);
    let study = SurfaceStudy {
        common: Common::new("surface", session),
        model: subject.architecture(),
        weights_fingerprints: files.iter().map(WeightsFile::fingerprint).collect(),
        data: choice.clone(),
        objective: objective_choice,
        surface: plan.settings.clone(),
        budget: BudgetSection::new(session),
    };
    let objective_choice = &study.objective;
    // What the directions are made from is read before anything is written.
    let directions = match &plan.settings.inputs {
        Some(_) => None,
        None => {
            let named = named.as_deref();
            Some(Directions::open(session, &plan.kind, &subject, &files, named, plan.two)?)
        }
    };
    let run = RunDirectory::open("surface", &request.output, &study)?;
    let (run, (found, record, samples, test_accuracy)) = within(run, |run| {
        let test_accuracy = subject.test_accuracy(session)?;
        let units = Units::new(run.join(UNITS));
        let ctx = session.context(&units)?;
        let mut taken_by = objective_choice.clone();
        if let Some(asked) = &plan.settings.inputs
            && asked.likelihood()? != Likelihood::Loss
        {
            // A likelihood is that of outputs as they are, whatever a loss makes of them.
            taken_by.loss = objective_choice.loss.parse::<ClassLoss>()?.loss.to_string();
        }
        let inner = subject.objective(&ctx, &taken_by)?;
        let inputs = match &plan.settings.inputs {
            None => None,
            Some(asked) => {
                let (likelihood, weights) = (asked.likelihood()?, &subject.weights);
                Some(InputObjective::new(&inner, weights, likelihood, asked.example)?)
            }
        };
        let (objective, centre): (&dyn Objective, _) = match &inputs {
            None => (&inner, subject.weights.clone()),
            Some(inputs) => (inputs, inputs.centre()?),
        };
        let made = match (&inputs, &directions) {
            (Some(inputs), _) => {
                let planes = input_space::planes(&ctx, inputs, &plan, request.pairs)?;
                Made { planes, ..Made::default() }
            }
            (None, Some(directions)) => {
                directions.planes(&ctx, &inner, &plan.config, plan.two, request.pairs)?
            }
            (None, None) => Made::default(),
        };
        let axes = [plan.x, plan.y];
        let axes = [0, 1].map(|axis| axes[axis].unwrap_or_else(|| made.around(axis)));
        let [x, y] = axes.map(|axis| axis.coordinates());
        let per_class = plan.settings.measures.per_class;
        let taken = (x.as_slice(), y.as_slice());
        let found =
            plan.effort.take_by_class(&ctx, objective, &centre, &made.planes, taken, per_class)?;
        let mut attributes = measure::attributes(&inner, objective_choice, session.seed);
        attributes.samples = objective.examples() as u64;
        attributes.normalize = plan.settings.normalize.clone();
        attributes.ignore = plan.settings.ignore.clone();
        attributes.directions = plan.kind.name().to_owned();
        attributes.explained_variance = made.explained_variance.clone();
        attributes.plane_shares = made.share.iter().cloned().collect();
        attributes.plane_shares.extend(share::plane_shares(
            &ctx,
            (objective, &centre),
            &made.planes,
            &plan,
            &found,
        )?);
        attributes.places = made.places.clone();
        if let Some(asked) = &plan.settings.inputs {
            attributes.space = Some("inputs".to_owned());
            attributes.loss_name = plan::quantity(asked, &attributes.loss_name);
            // One example is no sample of others.
            attributes.available = match asked.example {
                Some(_) => attributes.samples,
                None => attributes.available,
            };
        }
        let mut record = found.record(attributes)?;
        record.trajectory = made.trajectory;
        if let (Some(trajectory), Some(directions)) = (&mut record.trajectory, &directions)
            && plan.settings.measures.gradients
        {
            let load = |index: usize| directions.weights(index);
            let found = measure::checkpoint_gradients(&ctx, objective, trajectory.x.len(), &load)?;
            trajectory.gradients = Some(found);
        }
        if let Some(plane) = made.planes.first() {
            let at = (objective, &centre);
            beside::measure_beside(&ctx, at, plane, axes, &plan, &mut record)?;
        }
        if let Some(topology) = &mut record.topology {
            topology.threshold = plan.settings.measures.minima;
        }
        record.write_zarr(&run.results())?;
        let samples = (record.attributes.samples, record.attributes.available);
        let samples = (samples.0 as usize, samples.1 as usize);
        Ok((found, record, samples, test_accuracy))
    })?;
    session.console.finish();
    let (adaptive, found) = (found.summary(&record), found.surface);
    let topology = record.topology.clone().unwrap_or_default();
    let body = SurfaceBody {
        loss: measure::loss(&found.centre),
        minimum: record.minimum(),
        maximum: record.maximum(),
        points: record.points() as u64,
        not_finite: record.not_finite() as u64,
        normalize: plan.settings.normalize.clone(),
        ignore: plan.settings.ignore.clone(),
        batch_norm: objective_choice.batch_norm.clone(),
        directions: plan.kind.name().to_owned(),
        line: !plan.two,
        samples: samples.0 as u64,
        adaptive,
        space: record.attributes.space.clone().unwrap_or_else(|| "weights".to_owned()),
        plane_shares: record.attributes.plane_shares.clone(),
        places: record.attributes.places.clone(),
        convexity: record.convexity.as_ref().map(|found| found.summary()),
        basin: record.basin.as_ref().map(|found| found.summary.clone()),
        classes: classes(&record),
        slope: record.parabolas.iter().map(|p| p.slope).collect(),
        curvature: record.parabolas.iter().map(|p| p.curvature).collect(),
        minima: topology.reply(&record, MOST_MINIMA, samples.0 as u64),
        minima_count: topology.prominent().count() as u64,
        minima_threshold: plan.settings.measures.minima,
        loops: topology.loops_reply(MOST_MINIMA, samples.0 as u64),
        loops_count: topology.prominent_loops().count() as u64,
        total_variation: topology.total_variation,
    };
    let mut report = Report::new(
        "The loss around a network",
        record.attributes.loss_name.clone(),
        provenance(session, &choice),
    );
    let network = subject.words();
    report.summary = format!("Around a {network}.");
    report.explanations =
        explanations(&plan, objective_choice, samples, &record.attributes.plane_shares);
    let here = !files[0].is_foreign();
    let accuracy = test_accuracy.map(|_| explain_accuracy(&subject.data, here));
    report.explanations.extend(accuracy);
    let points = record.points() as u64;
    report.explanations.extend(adaptive.map(|summary| effort::explanation(&summary, points)));
    report.models = vec![ModelReport {
        name: subject.name.clone(),
        description: network,
        parameters: subject.model.parameter_count() as u64,
        test_accuracy,
        loss: Some(measure::loss(&found.centre)),
        lines: record.lines(),
        surface: Some(record),
        ..ModelReport::default()
    }];
    Ok(Outcome { body: Body::Surface(Box::new(body)), report, run })
}

/// The lowest and the highest point of each class.
fn classes(record: &Surface) -> Option<Vec<ClassReply>> {
    let found = record.classes.as_ref()?;
    let one = |place: usize| {
        let surface = found.surface(record, place)?;
        Some(ClassReply {
            class: *found.classes.get(place)?,
            examples: surface.attributes.samples,
            minimum: surface.minimum(),
            maximum: surface.maximum(),
        })
    };
    Some((0..found.classes.len()).filter_map(one).collect())
}
