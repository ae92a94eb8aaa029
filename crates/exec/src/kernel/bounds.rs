//! Which memory a kernel may touch, asserted where debug assertions are on.
//!
//! A kernel that works on pointers says at its entry what its operands are ([`within`]); tasks that
//! it hands to the pool inherit that ([`inherit`]) and may add what is their own ([`beside`]); and
//! where its inner parts read or write, they assert that the range lies in one operand ([`reads`],
//! [`writes`]). An inner part that is called without an entry, as its own tests do, checks nothing.
//! In release builds nothing of this is left.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// An operand: its addresses, and whether the kernel may write there.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    addresses: Range<usize>,
    writable: bool,
}

impl Operand {
    /// Elements from `low` to `high`, the last one included, from a base.
    pub(crate) fn new<T>(base: *const T, [low, high]: [isize; 2], writable: bool) -> Operand {
        let at = |offset: isize| base.wrapping_offset(offset) as usize;
        Operand { addresses: at(low)..at(high + 1), writable }
    }

    /// So many elements from a base.
    pub(crate) fn dense<T>(base: *const T, elements: usize, writable: bool) -> Operand {
        Operand::new(base, [0, elements as isize - 1], writable)
    }
}

type Operands = Option<Arc<[Operand]>>;

thread_local! {
    static OPERANDS: RefCell<Operands> = const { RefCell::new(None) };
}

/// Puts back what was there before, also when an assertion fails.
struct Restore(Operands);

impl Drop for Restore {
    fn drop(&mut self) {
        OPERANDS.set(self.0.take());
    }
}

/// Runs a kernel that may touch these operands and nothing else.
pub(crate) fn within<R>(operands: impl FnOnce() -> Vec<Operand>, kernel: impl FnOnce() -> R) -> R {
    if !cfg!(debug_assertions) {
        return kernel();
    }
    let _restore = Restore(OPERANDS.replace(Some(operands().into())));
    kernel()
}

/// Runs a part of a kernel that may touch operands of its own beside the kernel's.
#[inline(always)]
pub(crate) fn beside<R>(own: impl FnOnce() -> Vec<Operand>, part: impl FnOnce() -> R) -> R {
    let known = if cfg!(debug_assertions) { OPERANDS.with_borrow(Clone::clone) } else { None };
    match known {
        None => part(),
        Some(known) => within(|| known.iter().cloned().chain(own()).collect(), part),
    }
}

/// Offsets of the lowest and of the highest element of a box of so many elements and such a stride
/// along each axis; of nothing if one of them has none.
#[inline(always)]
pub(crate) fn reach<const N: usize>(axes: [(usize, isize); N]) -> [isize; 2] {
    let [mut low, mut high] = [0, 0];
    for (extent, stride) in axes {
        if extent == 0 {
            return [0, -1];
        }
        let end = (extent as isize - 1) * stride;
        (low, high) = (low + end.min(0), high + end.max(0));
    }
    [low, high]
}

/// The work of a task with the operands of the thread that hands it out.
pub(crate) fn inherit<A, B>(work: impl Fn(A, B) + Sync) -> impl Fn(A, B) + Sync {
    let operands = if cfg!(debug_assertions) { OPERANDS.with_borrow(Clone::clone) } else { None };
    move |a, b| {
        if !cfg!(debug_assertions) {
            return work(a, b);
        }
        let _restore = Restore(OPERANDS.replace(operands.clone()));
        work(a, b);
    }
}

/// Asserts that elements from `low` to `high`, the last one included, may be read.
#[inline(always)]
pub(crate) fn reads<T>(base: *const T, range: [isize; 2]) {
    if cfg!(debug_assertions) {
        check(&Operand::new(base, range, false));
    }
}

/// Asserts that elements from `low` to `high`, the last one included, may be written.
#[inline(always)]
pub(crate) fn writes<T>(base: *mut T, range: [isize; 2]) {
    if cfg!(debug_assertions) {
        check(&Operand::new(base, range, true));
    }
}

fn check(wanted: &Operand) {
    let inside = |operand: &Operand| {
        operand.addresses.start <= wanted.addresses.start
            && wanted.addresses.end <= operand.addresses.end
            && (operand.writable || !wanted.writable)
    };
    OPERANDS.with_borrow(|operands| {
        if let Some(operands) = operands
            && wanted.addresses.start < wanted.addresses.end
        {
            assert!(operands.iter().any(inside), "{wanted:x?} is in none of {operands:x?}");
        }
    });
}

/// Asserts that a kernel runs within these operands, and that with debug assertions it is noticed
/// if any of them lacks its first or its last byte, or may not be written: what a wrong offset
/// comes to. `work` is memory that is not used to its ends.
#[cfg(test)]
pub(crate) fn assert_watched(what: &str, operands: &[Operand], work: &[Operand], run: impl Fn()) {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    type Change = fn(&mut Operand);
    let ends = |operands: &[Operand]| {
        let all = || operands.iter().chain(work).cloned().collect();
        catch_unwind(AssertUnwindSafe(|| within(all, &run))).is_ok()
    };
    assert!(ends(operands), "{what}");
    let changes: [(&str, Change); 3] = [
        ("lacks its first byte", |operand| operand.addresses.start += 1),
        ("lacks its last byte", |operand| operand.addresses.end -= 1),
        ("may not be written", |operand| operand.writable = false),
    ];
    for (at, operand) in operands.iter().enumerate() {
        for (change, apply) in &changes[..if operand.writable { 3 } else { 2 }] {
            let mut less = operands.to_vec();
            apply(&mut less[at]);
            assert_eq!(ends(&less), !cfg!(debug_assertions), "{what}: operand {at} {change}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Pool;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Whether it runs without a failed assertion on the threads of a pool, with eight elements to
    /// read and eight to write.
    fn runs(work: impl Fn(*const f32, *mut f32) + Sync) -> bool {
        let (x, mut y) = ([1.0f32; 8], [0.0f32; 8]);
        let (from, to) = (x.as_ptr() as usize, y.as_mut_ptr() as usize);
        let pool = Pool::new(2);
        let operands = || {
            let (from, to) = (from as *const f32, to as *mut f32);
            vec![Operand::dense(from, 8, false), Operand::dense(to, 8, true)]
        };
        let kernel = || pool.for_each(4, |_| work(from as *const f32, to as *mut f32));
        catch_unwind(AssertUnwindSafe(|| within(operands, kernel))).is_ok()
    }

    #[test]
    fn what_is_outside_of_an_operand_is_found_where_assertions_are_on() {
        let checked = cfg!(debug_assertions);
        assert!(runs(|x, y| {
            reads(x, [0, 7]);
            reads(x.wrapping_add(7), [-7, 0]);
            reads(y, [3, 7]);
            writes(y, [0, 7]);
        }));
        assert_eq!(runs(|x, _| reads(x, [0, 8])), !checked);
        assert_eq!(runs(|x, _| reads(x, [-1, 2])), !checked);
        assert_eq!(runs(|_, y| writes(y, [8, 8])), !checked);
        assert_eq!(runs(|x, _| writes(x.cast_mut(), [0, 0])), !checked);
    }

    #[test]
    fn a_box_reaches_from_its_lowest_to_its_highest_element() {
        assert_eq!(reach([(3, 4), (2, -1)]), [-1, 8]);
        assert_eq!(reach([(3, 4), (0, 7)]), [0, -1]);
        assert_eq!(reach([]), [0, 0]);
    }

    #[test]
    fn nothing_is_asserted_of_what_has_no_entry() {
        assert!(!runs(|_, _| panic!("seen")));
        reads(std::ptr::dangling::<f32>(), [-5, 5]);
    }
}
