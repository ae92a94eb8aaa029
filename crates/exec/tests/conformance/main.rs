//! The conformance suite: every operation, every transformation of every operation, and functions
//! made of them, against the oracle.
//!
//! A case is a function and operands away from its kinks (`cases/`). Every case is run on every
//! executor, differentiated forward against differences and backward against forward, to the
//! third order, and batched against stacked members. What has no derivative is in the exemption
//! table with its reason; one table has the tolerances.

mod batching;
mod case;
mod cases;
mod compare;
mod coverage;
mod derivatives;
mod draw;
mod executors;
mod exemptions;
mod interface;
mod loops;
mod simplification;
mod snapshots;
mod tolerance;
mod transforms;

use case::Case;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Checks every case, and then says which have failed: each has told its own story by then.
fn check_each(cases: &[Case], check: fn(&Case)) {
    let fails = |case: &&Case| catch_unwind(AssertUnwindSafe(|| check(case))).is_err();
    let failed: Vec<&str> = cases.iter().filter(fails).map(|case| case.name.as_str()).collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
}

macro_rules! families {
    ($($family:ident),*) => {$(
        mod $family {
            use crate::cases::$family::cases;
            use crate::{batching, check_each, derivatives, executors, interface, simplification};

            #[test]
            fn executors_agree_with_the_oracle() {
                check_each(&cases(), executors::executors_agree_with_the_oracle);
            }

            #[test]
            fn forward_mode_agrees_with_differences() {
                check_each(&cases(), derivatives::forward_mode_agrees_with_differences);
            }

            #[test]
            fn reverse_mode_agrees_with_forward_mode() {
                check_each(&cases(), derivatives::reverse_mode_agrees_with_forward_mode);
            }

            #[test]
            fn batching_agrees_with_stacking() {
                check_each(&cases(), batching::batching_agrees_with_stacking);
            }

            #[test]
            fn simplified_graphs_keep_their_values() {
                check_each(&cases(), simplification::simplified_graphs_keep_their_values);
            }

            #[test]
            fn graphs_and_values_agree() {
                check_each(&cases(), interface::graphs_and_values_agree);
            }

            #[test]
            fn linear_maps_agree_with_both_modes() {
                check_each(&cases(), interface::linear_maps_agree_with_both_modes);
            }
        }
    )*};
}

families!(elementwise, structural, along_axes, contraction, linear_algebra, control, composite);
