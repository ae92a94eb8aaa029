//! The inner loops, compiled for each instruction set.

use super::{Instruction, fold, tile};
use crate::kernel::Isa;
use thalweg_graph::{DType, Reduction};

/// A table of functions and, for each instruction set, a module that compiles them for it.
macro_rules! bodies {
    (
        $table:ident: $($name:ident: $function:path, ($($argument:ident: $type:ty),*);)*
        => $sets:tt
    ) => {
        pub(super) struct $table {
            $(pub(super) $name: unsafe fn($($type),*),)*
        }
        bodies!(@ $table $sets $($name: $function, ($($argument: $type),*);)*);
    };
    (@ $table:ident [] $($rest:tt)*) => {};
    (@ $table:ident [$set:ident($($attribute:meta),*) $($more:tt)*] $($functions:tt)*) => {
        bodies!(# $table $set($($attribute),*) $($functions)*);
        bodies!(@ $table [$($more)*] $($functions)*);
    };
    (
        # $table:ident $set:ident $attributes:tt
        $($name:ident: $function:path, $arguments:tt;)*
    ) => {
        mod $set {
            use super::{DType, Instruction, Reduction, $table, fold, tile};

            pub(super) const TABLE: $table = $table { $($name),* };
            $(bodies!(! $name: $function, $arguments $attributes);)*
        }
    };
    (
        ! $name:ident: $function:path, ($($argument:ident: $type:ty),*) ($($attribute:meta),*)
    ) => {
        $(#[$attribute])*
        unsafe fn $name($($argument: $type),*) {
            // SAFETY: the caller's promise.
            unsafe { $function($($argument),*) }
        }
    };
}

bodies!(
    Bodies:
    run: tile::run, (instruction: &Instruction, registers: &[*mut u8], n: usize);
    add: fold::add, (
        lanes: *mut u8,
        from: *const u8,
        dtype: DType,
        kind: Reduction,
        first: usize,
        rows: usize,
        columns: usize
    );
    join: fold::join_lanes, (
        lanes: *mut u8,
        dtype: DType,
        kind: Reduction,
        live: usize,
        columns: usize
    );
    runs: fold::runs, (
        from: *const u8,
        to: *mut u8,
        lanes: *mut u8,
        dtype: DType,
        kind: Reduction,
        extents: [usize; 3]
    );
    => [
        avx512(
            cfg(target_arch = "x86_64"),
            target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2")
        )
        avx2(cfg(target_arch = "x86_64"), target_feature(enable = "avx2,fma,bmi2"))
        portable()
    ]
);

impl Bodies {
    /// Those of an instruction set that the machine has.
    pub(super) fn of(isa: Isa) -> Bodies {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::TABLE,
            _ => portable::TABLE,
        }
    }
}
