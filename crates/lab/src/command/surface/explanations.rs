//! How each number of a surface was obtained, in sentences.

use super::plan::{InputSpace, Plan};
use crate::command::{explain, explain_loss, scaling};
use crate::directions::Kind;
use crate::subject::ObjectiveChoice;
use thalweg_methods::surface::Normalize;
use thalweg_record::{Explanation, PlaneShare};

/// How each number of a surface was obtained.
pub(super) fn explanations(
    plan: &Plan,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
    share: Option<&PlaneShare>,
) -> Vec<Explanation> {
    let how = match &plan.settings.inputs {
        None => format!("{}{}", plan.kind.explanation(), scaling(&plan.config)),
        Some(inputs) => of_inputs(plan, inputs),
    };
    let minima = format!(
        "Points of the grid from which every way to a lower one climbs, with each point joined to its \
         8 neighbours; points that are not finite are walls. A minimum's persistence is that climb, \
         to the saddle where its basin meets a deeper one; of the lowest it is the range of the \
         surface. Shown are those deeper than {} % of the saddle's level{}; all are in the results. \
         What lies between the grid's points, or outside of the plane, is not known.",
        100.0 * plan.settings.measures.minima,
        if samples.0 < samples.1 {
            ", and than twice the sum of both losses' standard errors, which bounds that of their \
             difference"
        } else {
            ""
        }
    );
    let parabola = "Slope and curvature are the first and second derivative of the loss along a direction, \
                    from the pass that gives the loss (forward mode of forward mode); the parabola \
                    with both touches the loss at the centre. Bends of rectifiers have no part in \
                    the curvature.";
    let mut list = vec![
        explain_loss(objective, samples),
        explain("Surface", how),
        explain("Slope and curvature", parabola),
        explain("Minima", minima),
    ];
    list.extend(share.map(|share| {
        let how = match share.of.as_str() {
            "trajectory" => {
                "Of the sum of squared distances of all checkpoints from the centre, the part that \
                 lies in the plane; the rest is what the picture leaves out."
            }
            _ => {
                "Of the sum of the Hessian's squared eigenvalues (its squared Frobenius norm, by \
                 Hutchinson's estimate with 16 random sign vectors, the plane's eigenvectors taken \
                 out), the part of the two shown. The standard error is over the vectors."
            }
        };
        explain("What the plane holds", how)
    }));
    let measures = &plan.settings.measures;
    if measures.convexity > 0 {
        let how = "The largest and the smallest eigenvalue of the Hessian at each point of a coarser \
                   grid, by Lanczos iteration until both residuals are below 0.01 of the largest or \
                   for 100 products. Shown is |smallest / largest|, as Li et al. (2018) do: small where \
                   the loss is convex or nearly so.";
        list.push(explain("Convexity", how));
    }
    if measures.gradients && plan.kind == Kind::Trajectory {
        let how = "The gradient of the mean loss at each checkpoint, with its own running statistics: its \
                   Euclidean length; its cosine with the way from the checkpoint before to the one \
                   after, near -1 where training goes straight down and near 0 where it goes along a \
                   valley; and its cosine with the gradient at the checkpoint before, near -1 where it \
                   turns round, as from wall to wall. Points lie as far apart as the checkpoints.";
        list.push(explain("Gradient along the trajectory", how));
    } else if measures.gradients {
        let how = "The gradient of the mean loss at each point of the line: its Euclidean length; its \
                   cosine with the line, 1 where the loss rises along the line alone and near 0 where \
                   the line is far from the steepest way; and its cosine with the gradient at the \
                   point before, near -1 where it turns round.";
        list.push(explain("Gradient along the line", how));
    }
    if measures.basin > 0 {
        let unit = match plan.config.normalize {
            Normalize::None => "weights as they are",
            Normalize::Filter => "weights over the root mean square of their filter",
            Normalize::Layer => "weights over the root mean square of their array",
            Normalize::Weight => "shares of each weight",
            Normalize::UnitFilter => "weights times the root of the size of their filter",
            Normalize::UnitLayer => "weights times the root of the size of their array",
            Normalize::UnitSphere => "weights times the root of how many move",
        };
        let how = format!(
            "Along {} random rays the first distance at which the loss is seen to have risen by {}, in \
             coordinates that are {unit}. The volume is omega_n times the mean of r^n over the rays \
             (omega_n that of the unit ball in n coordinates), its standard error by the delta method. \
             Where few rays carry the mean, which is usual in many dimensions, it is too small and its \
             error too; the bound, log omega_n + n times the mean of log r, holds in expectation, and \
             its standard error in any dimension.",
            measures.basin, measures.rise
        );
        list.push(explain("Basin", how));
    }
    list
}

/// The surface in input space, in sentences.
fn of_inputs(plan: &Plan, inputs: &InputSpace) -> String {
    let over = match inputs.example {
        Some(example) => format!("of example {example}"),
        None => "of all examples, to each of which the same is added".to_owned(),
    };
    let what = match inputs.likelihood.as_str() {
        "joint" => {
            "-f(x)[y], the negative logarithm of the likelihood of input and class up to a constant"
        }
        "marginal" => {
            "-logsumexp f(x), the negative logarithm of the likelihood of the input up to a constant"
        }
        _ => "The loss",
    };
    let directions = match plan.kind {
        Kind::Random => "D and E are random unit vectors at right angles.",
        Kind::Files(_) => "D and E were given in a file.",
        _ => plan.kind.explanation(),
    };
    format!(
        "{what} at x + a D + b E over inputs x {over}, in units of the inputs as the network reads \
         them, which are standard deviations where they are normalised. {directions}"
    )
}
