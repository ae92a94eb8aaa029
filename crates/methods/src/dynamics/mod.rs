//! Where training leads: networks whose end can be worked out, how far one is from it, and what has
//! become of units, features and weights on the way.

mod abstention;
mod alternet_build_up;
mod brownian_control;
mod condition_report;
mod dead_units;
mod deep_linear_collapse;
mod deep_q_learning;
mod feature_rank;
mod feature_variance;
mod free_features;
mod frequency_noise;
mod gaussian_nll;
mod generalization_monitor;
mod grokking_delay;
mod interference;
mod interventions;
mod kernel_alignment;
mod learning_rate_sweep;
mod learning_rate_transfer;
mod lesion;
mod linearised;
mod loss_curve;
mod loss_deceleration;
mod memorised_groups;
mod meta_init;
mod moe_transformer;
mod nap;
mod neural_collapse;
mod ood_score;
mod optimal_constant;
mod output_scale;
mod plasticity_probe;
mod quadratic_single_index;
mod relative_log_amplitude;
mod routing_observer;
mod routing_pathways;
mod scaled_residual;
mod sharpness_by_scale;
mod spectral_norm;
mod stability_report;
mod tangent_kernel;
mod weight_conditioning;
mod weight_norm;
mod weight_rank;

pub use abstention::{abstention_rewards, mean_reward};
pub use alternet_build_up::{BuildUp, BuildUpConfig, BuildUpTrial, alternet_build_up};
pub use brownian_control::brownian_control;
pub use condition_report::{LayerCondition, condition_number, condition_report};
pub use dead_units::{DeadUnits, DeadUnitsConfig, LayerUnits, dead_units};
pub use deep_linear_collapse::{
    ClassCollapse, CollapseBranches, CollapseConfig, collapse_branches, collapse_fold,
    collapse_threshold, deep_linear_collapse,
};
pub use deep_q_learning::{
    ActionValues, DeepQConfig, DeepQLearning, DeepQMember, DeepQMetrics, DeepQNets,
};
pub use feature_rank::{FeatureRank, FeatureRankConfig, FeatureRanks, feature_rank};
pub use feature_variance::{BlockVariance, feature_variance_by_depth};
pub use free_features::free_features;
pub use frequency_noise::{
    FrequencyNoiseConfig, FrequencyNoiseRobustness, NoiseBand, band_noise,
    frequency_noise_robustness,
};
pub use gaussian_nll::{gaussian_nll, with_gaussian_nll};
pub use generalization_monitor::{
    MetricCorrelation, monitor_report, moving_average, sustained_gain,
};
pub use grokking_delay::{GrokkingDelay, grokking_delay};
pub use interference::{
    GradientInterference, Interference, PositionLosses, gradient_interference, interference,
    zero_sum_report,
};
pub use interventions::{reset_last_layer, robust_adam, shrink_and_perturb};
pub use kernel_alignment::{Centring, kernel_alignment, kernel_drift};
pub use learning_rate_sweep::{LearningRateSweep, Look, SweepConfig, learning_rate_sweep};
pub use learning_rate_transfer::{LearningRateTransfer, learning_rate_transfer};
pub use lesion::{Lesion, Lesions, lesions};
pub use linearised::linearised;
pub use loss_curve::{LogBlock, leading_digit_steps, log_blocks, smooth_over_log_windows};
pub use loss_deceleration::{
    Deceleration, DecelerationConfig, OffsetLaw, fit_deceleration, fit_offset_law,
    information_criterion,
};
pub use memorised_groups::{
    GroupDelay, SampleGroup, grokking_delays, group_by_checkpoint, memorised_at, pair_groups,
};
pub use meta_init::{MetaInit, MetaInitConfig, gradient_quotient, meta_init};
pub use moe_transformer::MoeTransformer;
pub use nap::{
    NapAffine, NapConfig, NapScope, NormTrace, StepKind, effective_rates, insert_norm, nap,
    projected_weights, radial_gradients, replay_elr_schedule, replay_layer_rates, replayed_rate,
    replayed_rates, weight_norms,
};
pub use neural_collapse::{
    Collapse, CollapseTarget, LayerCollapse, NeuralCollapse, frame_distance, neural_collapse,
    neural_collapse_by_layer, simplex_frame, within_class_variability,
};
pub use ood_score::{OodScoreConfig, ood_score, random_convolution_features};
pub use optimal_constant::{
    Constant, constant_distance, gaussian_constant, numeric_constant, optimal_constant,
};
pub use output_scale::output_scale;
pub use plasticity_probe::{
    Plasticity, PlasticityConfig, interference_objective, plasticity_probe,
};
pub use quadratic_single_index::{
    LazyNetwork, PopulationTerms, QuadraticSingleIndex, kernel_descent,
};
pub use relative_log_amplitude::{BlockAmplitudes, block_amplitudes, relative_log_amplitude};
pub use routing_observer::{RoutingObservation, RoutingObserver};
pub use routing_pathways::{
    Pathway, PathwayDistance, PathwaySymbols, edit_distance, pathway, pathway_consistency,
    pathway_distance, pathway_text, pathways, router_rows, routing_dimension,
};
pub use scaled_residual::ScaledResidual;
pub use sharpness_by_scale::{
    SharpnessAt, SharpnessConfig, SizedRun, relative_gaps, sharpness_by_scale,
};
pub use spectral_norm::{SpectralNormConfig, largest_singular_value, spectral_norm};
pub use stability_report::{SharpnessReading, StabilityConfig, StabilityReport, stability_report};
pub use tangent_kernel::{TangentFeatures, tangent_features};
pub use weight_conditioning::{
    ConditioningConfig, LineLength, LineNorm, Lines, ScaledWeights, WeightScaling,
};
pub use weight_norm::{WeightNorm, WeightNorms, weight_norm};
pub use weight_rank::{WeightRank, WeightRanks, weight_rank};
