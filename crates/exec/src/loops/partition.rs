//! How a loop is cut into tasks.

use super::build::{fold_columns, narrow_fold_columns};
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
        let outer: usize = body.outer.iter().product();
        let i_step = if body.folds.is_empty() {
            body.columns().min(task.next_multiple_of(LANES))
        } else if outer * body.o * r_tasks * body.i.div_ceil(body.columns()) < threads {
            body.columns().min(narrow_fold_columns(body.folds.len()))
        } else {
            body.columns()
        };
        let row = i_step * reduced;
        let o_step = if r_tasks > 1 { 1 } else { (task / row).clamp(1, body.o.max(1)) };
        Partition {
            outer,
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
    /// The most columns of a region: along `i`.
    pub(super) fn columns(&self) -> usize {
        let most = match self.folds.is_empty() {
            true => TASK_ELEMENTS,
            false => fold_columns(self.i, self.folds.len()),
        };
        self.i.min(most).max(1)
    }
}
