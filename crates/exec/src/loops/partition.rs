//! How a loop is cut into tasks.

use super::build::fold_columns;
use super::{LANES, Loop};

/// Elements that are worth a task of their own.
const TASK_ELEMENTS: usize = 16 * 1024;
/// Operations on single elements below which a task is not worth a thread's attention.
const TASK_WORK: usize = 16 * 1024;

/// The tasks of a loop: a grid over outer axes, runs of `o`, runs of `i`, and blocks of `r`.
pub(super) struct Partition {
    pub outer: usize,
    pub o_step: usize,
    pub o_tasks: usize,
    pub i_step: usize,
    pub i_tasks: usize,
    pub r_tasks: usize,
}

impl Partition {
    pub(super) fn of(body: &Loop, threads: usize) -> Partition {
        let r_tasks = body.n_blocks();
        let reduced = if body.folds.is_empty() { 1 } else { body.reduced().max(1) };
        // Small loops are cut for all threads, but not into tasks of less than their worth.
        let work = body.loads.len() + body.code.len() + body.folds.len();
        let least = (TASK_WORK / work).min(TASK_ELEMENTS);
        let task = (body.kept() * reduced / (4 * threads)).clamp(least, TASK_ELEMENTS);
        let i_step = match body.folds.is_empty() {
            true => body.columns().min(task.next_multiple_of(LANES)),
            false => body.columns(),
        };
        let row = i_step * reduced;
        let o_step = if r_tasks > 1 { 1 } else { (task / row).clamp(1, body.o.max(1)) };
        Partition {
            outer: body.outer.iter().product(),
            o_step,
            o_tasks: body.o.div_ceil(o_step),
            i_step,
            i_tasks: body.i.div_ceil(i_step),
            r_tasks,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.outer * self.o_tasks * self.i_tasks * self.r_tasks
    }
}

impl Loop {
    /// Columns of a region: along `i`.
    pub(super) fn columns(&self) -> usize {
        let most =
            if self.folds.is_empty() { TASK_ELEMENTS } else { fold_columns(self.folds.len()) };
        self.i.min(most).max(1)
    }
}
