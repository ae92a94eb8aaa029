//! What `surface` takes beside its plane.

use clap::Args;

/// What is measured beside the loss.
#[derive(Debug, Args)]
#[command(next_help_heading = "Beside the loss")]
pub struct MeasureArguments {
    /// The depth from which on a minimum of the surface is shown and counted, as a share of the
    /// level of the saddle that it ends at; and the height of a hill inside of a loop, as a share of
    /// its top.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, allow_negative_numbers = true)]
    pub minima: f64,
    /// Take the largest and the smallest eigenvalue of the Hessian on a coarser grid of so many
    /// points a side: where the loss is convex. Each point takes some dozens of gradients.
    #[arg(long, value_name = "N", num_args = 0..=1, default_value_t = 0,
          default_missing_value = "11")]
    pub convexity: u64,
    /// Measure how far the basin around the centre reaches along so many random rays, and its
    /// volume. Each ray takes 96 evaluations.
    #[arg(long, value_name = "RAYS", num_args = 0..=1, default_value_t = 0,
          default_missing_value = "64")]
    pub basin: usize,
    /// The basin ends where the loss has risen by so much.
    #[arg(long, value_name = "X", default_value_t = 0.1, allow_negative_numbers = true)]
    pub rise: f64,
    /// A surface for each class too, from the same evaluations.
    #[arg(long)]
    pub per_class: bool,
    /// The gradient at each point of a line, or at each checkpoint of --directions trajectory: its
    /// length, its cosine with the line or the way of the training, and that with the gradient at the
    /// point before. A gradient a point.
    #[arg(long)]
    pub gradients: bool,
    /// Measure the share of the curvature at the centre that the plane holds, by so many random
    /// vectors, of which each takes a product with the Hessian [default: 14 where that is less than a
    /// tenth of the work of the surface, else 0].
    #[arg(long, value_name = "VECTORS", num_args = 0..=1, default_missing_value = "14")]
    pub plane_share: Option<usize>,
}

/// In the space of inputs.
#[derive(Debug, Args)]
#[command(next_help_heading = "In input space")]
pub struct InputSpaceArguments {
    /// The loss over what is added to the input, with the weights as they are. Directions: random,
    /// gradient, signs (of the gradient), or files of x.input and y.input.
    #[arg(long)]
    pub in_input_space: bool,
    /// Of this example alone, by its place among those of --split and --samples from 0 on [default:
    /// all, the same added to each].
    #[arg(long, value_name = "N", requires = "in_input_space")]
    pub example: Option<usize>,
    /// What is shown: the loss, or the outputs as negative log-likelihoods of input and class
    /// (joint) or of the input (marginal).
    #[arg(long, value_name = "OF", default_value = "loss", requires = "in_input_space")]
    pub likelihood: String,
}
