//! How each number of a surface was obtained, in sentences.

use super::plan::{InputSpace, Plan};
use crate::command::{WHOLE_HESSIAN, explain, explain_loss, explain_plane_share, scaling};
use crate::directions::Kind;
use crate::measure::SHARE_PROBES;
use crate::subject::ObjectiveChoice;
use thalweg_methods::surface::Normalize;
use thalweg_record::{Explanation, PlaneShare};

/// How each number of a surface was obtained.
pub(super) fn explanations(
    plan: &Plan,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
    shares: &[PlaneShare],
) -> Vec<Explanation> {
    let how = match &plan.settings.inputs {
        None => format!("{}{}", plan.kind.explanation(), scaling(&plan.config)),
        Some(inputs) => of_inputs(plan, inputs),
    };
    let noise = match samples.0 < samples.1 {
        true => {
            ", and than twice the sum of both losses' standard errors, which bounds that of their \
             difference"
        }
        false => "",
    };
    let minima = format!(
        "Points of the grid from which every way to a lower one climbs, with each point joined to its \
         8 neighbours; points that are not finite are walls. A minimum's persistence is that climb, \
         to the saddle where its basin meets a deeper one; of the lowest it is the range of the \
         surface. Shown are those deeper than {} % of the saddle's level{noise}; all are in the \
         results. What lies between the grid's points, or outside of the plane, is not known.",
        100.0 * plan.settings.measures.minima,
    );
    let loops = format!(
        "Closed ways of low points around a hill that the grid holds whole: classes of the homology of \
         the sets below a level in dimension one, where minima are those in dimension zero. A loop is \
         born at the saddle that closes it and filled at the top of the hill; its persistence is how \
         high that rises over the saddle. Points outside of a loop are joined along rows and columns, \
         as is dual to 8 neighbours inside. A loop around points that are not finite is never filled. \
         Shown are those of hills higher than {} % of their tops{noise}; all are in the results.",
        100.0 * plan.settings.measures.minima,
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
    if plan.two {
        list.push(explain("Loops", loops));
    }
    let held = match plan.kind {
        Kind::Trajectory => Some(("Trajectory in the plane", "checkpoints from the centre")),
        Kind::Plane => Some(("Networks in the plane", "networks from the first")),
        _ => None,
    };
    list.extend(held.map(|(name, distances)| {
        let how = format!(
            "Of the sum of squared distances of all {distances}, the part that lies in the plane; the \
             rest is what the picture leaves out."
        );
        explain(name, how)
    }));
    list.push(curvature_in_plane(plan, shares));
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

/// What share of the curvature the plane holds, or why that is not known.
fn curvature_in_plane(plan: &Plan, shares: &[PlaneShare]) -> Explanation {
    if !shares.iter().any(PlaneShare::is_of_curvature) {
        let how = format!(
            "Not measured is which share of it the directions hold. --plane-share measures it, by {} \
             products with the Hessian. Unless it is asked for, it is left out where these are more \
             than a tenth of the work of the surface; and always where the Hessian is zero or not finite.",
            SHARE_PROBES + 2
        );
        return explain("Curvature in the plane", how);
    }
    let probes = plan.settings.measures.plane_share.unwrap_or(SHARE_PROBES);
    let hessian = match &plan.settings.inputs {
        None => WHOLE_HESSIAN,
        Some(_) => "the Hessian H by what is added to the input",
    };
    let norm = format!(
        "exactly along the directions, and outside of them by Hutchinson's estimate with {probes} \
         random sign vectors, over which the standard error is"
    );
    explain_plane_share(hessian, &norm)
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
